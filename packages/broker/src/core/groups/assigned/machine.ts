import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { FactContext, Machine } from '../../../cell/machine.ts'
import {
  checkVersion,
  epochRaised,
  factVersion,
  groupConfigured,
  groupRemoved,
  kindNumbers,
  memberMoved,
  memberRemoved,
  memberSet,
  memberStateNumbers,
  membershipFacts,
  readFact,
  storedGroup,
  targetsSet,
  type MemberFields,
} from './facts.ts'
import { fromStored, noPartitions, toStored, type PartitionMap } from './partitions.ts'

/** `exclusive`: a partition is read by one member at a time. `shared`: by any number of them. */
export type AssignedKind = keyof typeof kindNumbers

/**
 * `stable`: has its target. `revoking`: must give up partitions before it goes on to the next epoch. `waiting`: some of its
 * target is still held by others.
 */
export type MemberState = keyof typeof memberStateNumbers

/** A member of an assigned group. Replaced as a whole, never changed. */
export interface Membership extends MemberFields {
  /** 0: has not been told of any assignment; -2: away, comes back under its instance id. */
  readonly epoch: number
  readonly previousEpoch: number
  readonly state: MemberState
  /** What it may read. */
  readonly assigned: PartitionMap
  /** What it had and has not confirmed to have given up. */
  readonly revoking: PartitionMap
  /** What it is to have in the end. */
  readonly target: PartitionMap
}

export interface AssignedRecord {
  readonly namespace: string
  readonly id: string
  readonly kind: AssignedKind
  /** Grows with each change that the assignment depends on. */
  readonly epoch: number
  /** The epoch for which the targets were computed. */
  readonly assignmentEpoch: number
  /** Stands for the topics and partition counts that the epoch was raised for. */
  readonly topicsHash: string
  /** In the order in which they came. */
  readonly members: ReadonlyMap<string, Membership>
  /** Block time at which the last member left; 0 while there are members. */
  readonly emptiedMs: number
  /** The block of the last change: what an answer that reveals this state waits for. */
  readonly seq: number
  holderOf(instanceId: string): Membership | undefined
  /** Who has the partition, assigned or not yet given up. Only in exclusive groups. */
  ownerOf(topicId: string, partition: number): string | undefined
}

const noHash = '0'.repeat(32)
const kinds = new Map<number, AssignedKind>(
  Object.entries(kindNumbers).map(([kind, number]) => [number, kind as AssignedKind]),
)
const states = new Map<number, MemberState>(
  Object.entries(memberStateNumbers).map(([state, number]) => [number, state as MemberState]),
)

/** Invariant: `instances` and `owners` say nothing that does not follow from `members`. */
class GroupState implements AssignedRecord {
  readonly namespace: string
  readonly id: string
  readonly kind: AssignedKind
  epoch = 0
  assignmentEpoch = 0
  topicsHash = noHash
  readonly members = new Map<string, Membership>()
  emptiedMs = 0
  seq = -1
  readonly #instances = new Map<string, string>()
  readonly #owners = new Map<string, Map<number, string>>()

  constructor(namespace: string, id: string, kind: AssignedKind) {
    this.namespace = namespace
    this.id = id
    this.kind = kind
  }

  holderOf(instanceId: string): Membership | undefined {
    const id = this.#instances.get(instanceId)
    return id === undefined ? undefined : this.members.get(id)
  }

  ownerOf(topicId: string, partition: number): string | undefined {
    return this.#owners.get(topicId)?.get(partition)
  }

  put(member: Membership): void {
    const before = this.members.get(member.memberId)
    if (before !== undefined) this.#unindex(before)
    this.members.set(member.memberId, member)
    if (member.instanceId !== null) this.#instances.set(member.instanceId, member.memberId)
    if (this.kind === 'exclusive')
      for (const held of [member.assigned, member.revoking]) this.#own(held, member.memberId)
  }

  remove(memberId: string): void {
    const member = this.members.get(memberId)
    if (member === undefined) return
    this.#unindex(member)
    this.members.delete(memberId)
  }

  #own(held: PartitionMap, memberId: string): void {
    for (const [topicId, partitions] of held) {
      let owners = this.#owners.get(topicId)
      if (owners === undefined) this.#owners.set(topicId, (owners = new Map()))
      for (const partition of partitions) owners.set(partition, memberId)
    }
  }

  #unindex({ memberId, instanceId, assigned, revoking }: Membership): void {
    if (instanceId !== null && this.#instances.get(instanceId) === memberId) this.#instances.delete(instanceId)
    for (const held of [assigned, revoking]) {
      for (const [topicId, partitions] of held) {
        const owners = this.#owners.get(topicId)
        if (owners === undefined) continue
        for (const partition of partitions) if (owners.get(partition) === memberId) owners.delete(partition)
        if (owners.size === 0) this.#owners.delete(topicId)
      }
    }
  }
}

/** The settings of a group by name; only what was set. */
export type GroupConfig = ReadonlyMap<string, string>

export interface ConfiguredGroup {
  readonly group: string
  readonly config: GroupConfig
  readonly seq: number
}

const noConfig: GroupConfig = new Map()

/** The members of all assigned groups with what each has and is to have; and the settings of groups of all kinds. */
export class MembershipsMachine implements Machine {
  readonly #namespaces = new Map<string, Map<string, GroupState>>()
  readonly #configs = new Map<string, Map<string, ConfiguredGroup>>()

  get(namespace: string, id: string): AssignedRecord | undefined {
    return this.#namespaces.get(namespace)?.get(id)
  }

  *all(): Generator<AssignedRecord> {
    for (const groups of this.#namespaces.values()) yield* groups.values()
  }

  /** Groups of one namespace. */
  list(namespace: string): Iterable<AssignedRecord> {
    return this.#namespaces.get(namespace)?.values() ?? []
  }

  get count(): number {
    let count = 0
    for (const groups of this.#namespaces.values()) count += groups.size
    return count
  }

  config(namespace: string, group: string): GroupConfig {
    return this.#configs.get(namespace)?.get(group)?.config ?? noConfig
  }

  /** Groups that have settings, whether they exist or not. */
  configured(namespace: string): Iterable<ConfiguredGroup> {
    return this.#configs.get(namespace)?.values() ?? []
  }

  get configuredCount(): number {
    let count = 0
    for (const groups of this.#configs.values()) count += groups.size
    return count
  }

  apply(type: number, payload: Buffer, at: FactContext): void {
    switch (type) {
      case membershipFacts.memberSet:
        return this.#set(readFact(memberSet, payload), at)
      case membershipFacts.memberRemoved:
        return this.#removeMember(readFact(memberRemoved, payload), at)
      case membershipFacts.epochRaised: {
        const { namespace, group, epoch, topicsHash } = readFact(epochRaised, payload)
        Object.assign(this.#existing(namespace, group, at), { epoch, topicsHash })
        return
      }
      case membershipFacts.targetsSet:
        return this.#target(readFact(targetsSet, payload), at)
      case membershipFacts.memberMoved:
        return this.#move(readFact(memberMoved, payload), at)
      case membershipFacts.groupRemoved: {
        const { namespace, group } = readFact(groupRemoved, payload)
        return removeNested(this.#namespaces, namespace, group)
      }
      case membershipFacts.groupConfigured:
        return this.#configure(readFact(groupConfigured, payload), at.seq)
      default:
        throw new Error(`The memberships have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  #set({ namespace, group: id, kind, ...fields }: Infer<typeof memberSet>, at: FactContext): void {
    const group = this.#open(namespace, id, kind)
    group.seq = at.seq
    group.emptiedMs = 0
    const before = group.members.get(fields.memberId) ?? newcomer
    const { epoch, previousEpoch, state, assigned, revoking, target } = before
    group.put({ ...ownBytes(fields), epoch, previousEpoch, state, assigned, revoking, target })
  }

  #removeMember({ namespace, group: id, memberId }: Infer<typeof memberRemoved>, at: FactContext): void {
    const group = this.#existing(namespace, id, at)
    group.remove(memberId)
    if (group.members.size === 0) group.emptiedMs = at.timeMs
  }

  #target({ namespace, group: id, epoch, targets }: Infer<typeof targetsSet>, at: FactContext): void {
    const group = this.#existing(namespace, id, at)
    group.assignmentEpoch = epoch
    for (const { memberId, target } of targets) {
      const member = group.members.get(memberId)
      if (member !== undefined) group.put({ ...member, target: fromStored(target) })
    }
  }

  #move(fact: Infer<typeof memberMoved>, at: FactContext): void {
    const group = this.#existing(fact.namespace, fact.group, at)
    const member = group.members.get(fact.memberId)
    if (member !== undefined) group.put({ ...member, ...positionOf(fact) })
  }

  #configure({ namespace, group, config }: Infer<typeof groupConfigured>, seq: number): void {
    if (config.length === 0) return removeNested(this.#configs, namespace, group)
    let groups = this.#configs.get(namespace)
    if (groups === undefined) this.#configs.set(namespace, (groups = new Map()))
    groups.set(group, { group, config: new Map(config.map(({ name, value }) => [name, value])), seq })
  }

  #open(namespace: string, id: string, kindNumber: number): GroupState {
    let groups = this.#namespaces.get(namespace)
    if (groups === undefined) this.#namespaces.set(namespace, (groups = new Map()))
    let group = groups.get(id)
    if (group === undefined) {
      const kind = kinds.get(kindNumber)
      if (kind === undefined) throw new Error(`Groups of kind ${kindNumber} are known only to a newer broker`)
      groups.set(id, (group = new GroupState(namespace, id, kind)))
    }
    return group
  }

  #existing(namespace: string, id: string, at: FactContext): GroupState {
    const group = this.#namespaces.get(namespace)?.get(id)
    if (group === undefined) throw new Error(`A fact for a group that does not exist: ${JSON.stringify(id)}`)
    group.seq = at.seq
    return group
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.count)
    for (const group of this.all()) {
      const { namespace, id, epoch, assignmentEpoch, topicsHash, emptiedMs } = group
      const members = Array.from(group.members.values(), member => ({
        ...member,
        state: memberStateNumbers[member.state],
        assigned: toStored(member.assigned),
        revoking: toStored(member.revoking),
        target: toStored(member.target),
      }))
      const rest = { epoch, assignmentEpoch, topicsHash, emptiedMs, members }
      storedGroup.write(out, { namespace, group: id, kind: kindNumbers[group.kind], ...rest }, factVersion)
    }
    out.u32(this.configuredCount)
    for (const [namespace, groups] of this.#configs) {
      for (const { group, config } of groups.values()) {
        groupConfigured.write(out, { namespace, group, config: settingsOf(config) }, factVersion)
      }
    }
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    this.#namespaces.clear()
    this.#configs.clear()
    for (let left = from.u32(); left > 0; left--) {
      const { namespace, group: id, kind, members, ...rest } = storedGroup.read(from, version)
      const group = Object.assign(this.#open(namespace, id, kind), rest)
      for (const { target, epoch, previousEpoch, state, assigned, revoking, ...fields } of members) {
        const position = positionOf({ epoch, previousEpoch, state, assigned, revoking })
        group.put({ ...ownBytes(fields), ...position, target: fromStored(target) })
      }
    }
    for (let left = from.u32(); left > 0; left--) this.#configure(groupConfigured.read(from, version), -1)
  }
}

const newcomer = {
  epoch: 0,
  previousEpoch: 0,
  state: 'stable',
  assigned: noPartitions,
  revoking: noPartitions,
  target: noPartitions,
} as const

type Position = Pick<Membership, 'epoch' | 'previousEpoch' | 'state' | 'assigned' | 'revoking'>
type StoredPosition = Pick<Infer<typeof memberMoved>, 'epoch' | 'previousEpoch' | 'state' | 'assigned' | 'revoking'>

function positionOf({ epoch, previousEpoch, state: number, assigned, revoking }: StoredPosition): Position {
  const state = states.get(number)
  if (state === undefined) throw new Error(`Members of state ${number} are known only to a newer broker`)
  return { epoch, previousEpoch, state, assigned: fromStored(assigned), revoking: fromStored(revoking) }
}

/** The payload of a fact is only lent: what is kept of it is copied. */
function ownBytes(fields: MemberFields): MemberFields {
  const { classic } = fields
  if (classic === null) return fields
  const offers = classic.offers.map(({ name, metadata }) => ({ name, metadata: keptCopy(metadata) }))
  return { ...fields, classic: { ...classic, offers } }
}

export const settingsOf = (config: GroupConfig): { name: string; value: string }[] =>
  Array.from(config, ([name, value]) => ({ name, value }))

function removeNested<T>(outer: Map<string, Map<string, T>>, namespace: string, id: string): void {
  const inner = outer.get(namespace)
  if (inner?.delete(id) === true && inner.size === 0) outer.delete(namespace)
}
