import assert from 'node:assert/strict'
import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import type { Header } from '../message.ts'
import { decodeArguments, encodeArguments } from '../routing/arguments.ts'
import { checkVersion, factVersion, policyFacts, policyRemoved, policySet, readFact } from './facts.ts'

/**
 * Whose policies they are: those of users, and those of operators, who set bounds to what users can ask for. Written to disk as the index: never
 * reorder.
 */
export const policyRanks = ['user', 'operator'] as const
export type PolicyRank = (typeof policyRanks)[number]

/** To what a policy applies. Written to disk as the index: only ever append. */
export const policyTargets = ['all', 'queues', 'exchanges', 'classic_queues', 'quorum_queues', 'streams'] as const
export type PolicyTarget = (typeof policyTargets)[number]

/** Settings for all queues and exchanges of a namespace whose names match. Immutable. */
export interface Policy {
  readonly rank: PolicyRank
  readonly namespace: string
  readonly name: string
  /** A regular expression that is looked for anywhere in a name. */
  readonly pattern: string
  readonly target: PolicyTarget
  /** Of those that apply, the one with the highest does, and only that one. */
  readonly priority: number
  /** As they were given, by name. */
  readonly definition: readonly Header[]
}

type PolicyFact = Infer<typeof policySet>

/** Which policies there are, by namespace and then by name. */
export class PoliciesMachine implements Machine {
  readonly policies: Readonly<Record<PolicyRank, Map<string, Map<string, Policy>>>> = {
    user: new Map(),
    operator: new Map(),
  }
  count = 0

  get(rank: PolicyRank, namespace: string, name: string): Policy | undefined {
    return this.policies[rank].get(namespace)?.get(name)
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case policyFacts.policySet:
        return this.#set(readFact(policySet, payload))
      case policyFacts.policyRemoved: {
        const { rank, namespace, name } = readFact(policyRemoved, payload)
        return this.#remove(rankOf(rank), namespace, name)
      }
      default:
        throw new Error(`Policies have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.count)
    for (const rank of policyRanks) {
      for (const named of this.policies[rank].values()) {
        for (const policy of named.values()) policySet.write(out, policyFact(policy), factVersion)
      }
    }
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) this.#set(policySet.read(from, version))
  }

  #set({ rank: index, target: targetIndex, definition, ...rest }: PolicyFact): void {
    const target = policyTargets[targetIndex]
    assert(target, 'a policy is for what this release does not know')
    const policy: Policy = {
      ...rest,
      rank: rankOf(index),
      target,
      definition: decodeArguments(keptCopy(definition)),
    }
    const { rank, namespace, name } = policy
    if (!this.get(rank, namespace, name)) this.count++
    const named = this.policies[rank].get(namespace)
    if (named) named.set(name, policy)
    else this.policies[rank].set(namespace, new Map([[name, policy]]))
  }

  #remove(rank: PolicyRank, namespace: string, name: string): void {
    const named = this.policies[rank].get(namespace)
    assert(named && named.delete(name), `There is no policy ${name}`)
    this.count--
    if (named.size === 0) this.policies[rank].delete(namespace)
  }
}

function rankOf(index: number): PolicyRank {
  const rank = policyRanks[index]
  assert(rank, 'a policy is of a rank that this release does not know')
  return rank
}

export function policyFact({ rank, target, definition, ...rest }: Policy): PolicyFact {
  return {
    ...rest,
    rank: policyRanks.indexOf(rank),
    target: policyTargets.indexOf(target),
    definition: encodeArguments(definition),
  }
}
