import assert from 'node:assert/strict'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { Header } from '../message.ts'
import { NamePattern } from '../name-pattern.ts'
import { quote } from '../names.ts'
import { queueTypeIn } from '../queues/arguments.ts'
import { atomically, durably } from '../refusals.ts'
import { encodeArguments } from '../routing/arguments.ts'
import { factOf, policyFacts, policyRemoved, policySet } from './facts.ts'
import { PoliciesMachine, policyFact, policyRanks, type Policy, type PolicyRank } from './machine.ts'
import {
  alternateIn,
  checkDefinition,
  mergedDefinitions,
  mergedSettings,
  queueSettingsOf,
  retentionIn,
} from './policy-settings.ts'

export interface PoliciesOptions {
  ledger: Ledger
  limits: Limits
}

/** What a policy can apply to. `config` is that of a queue: it tells of which type it is. */
export interface Governed {
  readonly kind: 'queue' | 'topic' | 'exchange'
  readonly namespace: string
  readonly name: string
  readonly config?: ReadonlyMap<string, string>
}

/** Which policies apply to something, and what they say together. */
export interface Governing {
  readonly policy: Policy | undefined
  readonly operatorPolicy: Policy | undefined
  readonly definition: readonly Header[]
}

/** Is told which of a namespace may be under another policy now. */
export type PolicyWatcher = (namespace: string, mayConcern: (name: string) => boolean) => void

const nameBytesMax = 255
const patternBytesMax = 1024
const definitionBytesMax = 16 * 1024

/**
 * Policies: settings for all queues and exchanges whose names match a pattern, now and later. Of each rank only one applies, that of the highest
 * priority. Methods that change something decide before they first wait, take effect at once on what is there, resolve when that is durable, and
 * reject with `BrokerError`.
 */
export class Policies {
  readonly #options: PoliciesOptions
  readonly #machine: PoliciesMachine
  readonly #patterns = new WeakMap<Policy, NamePattern>()
  readonly #watchers = new Set<PolicyWatcher>()

  /** Over a cell that has been recovered. */
  constructor(options: PoliciesOptions) {
    const machine = options.ledger.machine(machineKinds.policies)
    assert(machine instanceof PoliciesMachine)
    this.#options = options
    this.#machine = machine
  }

  get(rank: PolicyRank, namespace: string, name: string): Policy | undefined {
    return this.#machine.get(rank, namespace, name)
  }

  /** Those of one namespace, or of all. */
  list(rank: PolicyRank, namespace?: string): Policy[] {
    const all = this.#machine.policies[rank]
    if (namespace !== undefined) return [...(all.get(namespace)?.values() ?? [])]
    return Array.from(all.values(), named => [...named.values()]).flat()
  }

  /** In place of one of the same rank and name, if there is one. */
  async set(policy: Policy): Promise<void> {
    const { ledger, limits } = this.#options
    const { rank, namespace, name } = policy
    const before = this.get(rank, namespace, name)
    checkPolicy(policy)
    if (!before && this.#machine.count >= limits.policiesMax) {
      throw new BrokerError('limit-reached', `there are ${limits.policiesMax} policies, which is the most allowed`)
    }
    const payload = factOf(policySet, policyFact(policy))
    const seq = atomically(ledger, () => ledger.fact(machineKinds.policies, policyFacts.policySet, payload))
    this.#tell([before, this.get(rank, namespace, name)])
    await durably(ledger, seq)
  }

  /** Resolves with whether it was there. */
  async remove(rank: PolicyRank, namespace: string, name: string): Promise<boolean> {
    const { ledger } = this.#options
    const present = this.get(rank, namespace, name)
    if (present) {
      const payload = factOf(policyRemoved, { rank: policyRanks.indexOf(rank), namespace, name })
      atomically(ledger, () => ledger.fact(machineKinds.policies, policyFacts.policyRemoved, payload))
      this.#tell([present])
    }
    await durably(ledger, ledger.openSeq)
    return present !== undefined
  }

  /** With the namespace go its policies. */
  async forgetNamespace(namespace: string): Promise<void> {
    const names = policyRanks.flatMap(rank => this.list(rank, namespace))
    await Promise.all(names.map(({ rank, name }) => this.remove(rank, namespace, name)))
  }

  /** Which policies apply. */
  governing(of: Governed): Governing {
    const policy = this.#winner('user', of)
    const operatorPolicy = this.#winner('operator', of)
    const both = [policy, operatorPolicy].flatMap(each => (each ? [each.definition] : []))
    return { policy, operatorPolicy, definition: mergedDefinitions(both) }
  }

  /** The settings that a queue has by its own and by policies. */
  settingsOf(of: Governed & { config: ReadonlyMap<string, string> }): ReadonlyMap<string, string> {
    const given = policyRanks.flatMap(rank => this.#winner(rank, of) ?? [])
    if (given.length === 0) return of.config
    return mergedSettings([of.config, ...given.map(({ definition }) => queueSettingsOf(definition))])
  }

  /**
   * How long, and how much, a topic is to keep at the most; -1: no policy bounds it. Only policies that are for streams alone say so: one for all
   * queues must not take away what somebody else keeps in a topic.
   */
  retentionOf(namespace: string, name: string): { ms: number; bytes: number } {
    let [ms, bytes] = [-1, -1]
    for (const rank of policyRanks) {
      const policy = this.#winner(rank, { kind: 'topic', namespace, name })
      if (policy?.target !== 'streams') continue
      const found = retentionIn(policy.definition)
      ms = smallerBound(ms, found.ms)
      bytes = smallerBound(bytes, found.bytes)
    }
    return { ms, bytes }
  }

  /** The alternate exchange that a policy gives to an exchange. */
  alternateOf(namespace: string, name: string): string | undefined {
    const policy = this.#winner('user', { kind: 'exchange', namespace, name })
    return policy && alternateIn(policy.definition)
  }

  /** Calls the watcher, after a change, until the returned function is called. */
  watch(watcher: PolicyWatcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #winner(rank: PolicyRank, of: Governed): Policy | undefined {
    const named = this.#machine.policies[rank].get(of.namespace)
    let best: Policy | undefined
    for (const policy of named?.values() ?? []) {
      if (best && !comesBefore(policy, best)) continue
      if (isFor(policy, of) && this.#matches(policy, of.name)) best = policy
    }
    return best
  }

  #matches(policy: Policy, name: string): boolean {
    let pattern = this.#patterns.get(policy)
    if (!pattern) this.#patterns.set(policy, (pattern = new NamePattern(policy.pattern)))
    try {
      return pattern.matches(name)
    } catch (error) {
      // Too costly for this name: it does not match.
      if (error instanceof BrokerError) return false
      throw error
    }
  }

  #tell(changed: readonly (Policy | undefined)[]): void {
    const policies = changed.filter(policy => policy !== undefined)
    const [first] = policies
    if (!first) return
    const mayConcern = (name: string): boolean => policies.some(policy => this.#matches(policy, name))
    for (const watcher of this.#watchers) watcher(first.namespace, mayConcern)
  }
}

/** Of two bounds; negative: there is none. */
export function smallerBound(one: number, other: number): number {
  if (one < 0) return other
  return other < 0 ? one : Math.min(one, other)
}

/** Higher priorities first; of equal ones, the name decides, so that it is always the same. */
const comesBefore = (policy: Policy, best: Policy): boolean =>
  policy.priority > best.priority || (policy.priority === best.priority && policy.name < best.name)

function isFor({ target }: Policy, { kind, config }: Governed): boolean {
  switch (target) {
    case 'all':
      return true
    case 'exchanges':
      return kind === 'exchange'
    case 'streams':
      return kind === 'topic'
    case 'queues':
      return kind !== 'exchange'
    case 'classic_queues':
    case 'quorum_queues':
      return kind === 'queue' && `${queueTypeIn(config ?? new Map())}_queues` === target
  }
}

function checkPolicy({ rank, name, pattern, target, priority, definition }: Policy): void {
  const nameBytes = Buffer.byteLength(name)
  if (nameBytes === 0 || nameBytes > nameBytesMax) {
    throw new BrokerError('name-invalid', `the name of a policy has 1 to ${nameBytesMax} bytes, not ${nameBytes}`)
  }
  if (/\p{Cc}/u.test(name)) throw new BrokerError('name-invalid', `${quote(name)} has control characters`)
  if (Buffer.byteLength(pattern) > patternBytesMax) {
    throw new BrokerError('pattern-invalid', `a pattern has at most ${patternBytesMax} bytes`)
  }
  // Whatever it may cost, it is found out before it is kept.
  new NamePattern(pattern).matches('')
  if (!Number.isInteger(priority) || Math.abs(priority) > 0x7fff_ffff) {
    throw new BrokerError('request-invalid', `the priority of a policy is an integer of 32 bits, not ${priority}`)
  }
  if (rank === 'operator' && target === 'exchanges') {
    throw new BrokerError('request-invalid', 'operator policies are for queues')
  }
  checkDefinition(rank, definition)
  if (encodeArguments(definition).length > definitionBytesMax) {
    throw new BrokerError('limit-reached', `a policy has at most ${definitionBytesMax} bytes of definition`)
  }
}
