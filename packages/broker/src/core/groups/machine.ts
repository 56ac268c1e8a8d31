import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { FactContext, Machine } from '../../cell/machine.ts'
import {
  checkVersion,
  emptied,
  groupFacts,
  offsetsCommitted,
  offsetsPending,
  offsetsRemoved,
  readFact,
  removed,
  stabilised,
  stateVersion,
  storedGroup,
  topicForgotten,
  transactionEnded,
  type StoredMember,
  type StoredTopic,
} from './facts.ts'

/** An offset that a group asked to keep: the next one that it will read. Replaced as a whole, never changed. */
export interface CommittedOffset {
  readonly offset: number
  /** Epoch of the last record read, or -1. */
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedMs: number
  /** Wall clock after which it may be removed whatever the group does, or -1. */
  readonly expiresMs: number
}

/** By topic id, then by partition. */
export type GroupOffsets = ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>>

/** What is known of a group after a restart. */
export interface GroupRecord {
  readonly namespace: string
  readonly id: string
  /** Of the last stable generation, or the one in which the group became empty. */
  readonly generation: number
  /** Null while nobody has ever joined: the group only keeps offsets. */
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly leader: string | null
  /** Empty: nobody is in the group. */
  readonly members: readonly StoredMember[]
  /** Block time at which the last member left; 0 before that. */
  readonly emptiedMs: number
  readonly offsets: GroupOffsets
  /** Offsets in transactions that are open, by producer id. Undefined while there are none. */
  readonly pending: ReadonlyMap<number, GroupOffsets> | undefined
  /** The block of the last change: what an answer that reveals this state waits for. */
  readonly seq: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Offsets = Map<string, Map<number, CommittedOffset>>
type State = Omit<Mutable<GroupRecord>, 'offsets' | 'pending'> & {
  offsets: Offsets
  pending: Map<number, Offsets> | undefined
}

/** Committed offsets and memberships of all groups, as the journal has them. */
export class GroupsMachine implements Machine {
  readonly #namespaces = new Map<string, Map<string, State>>()

  get(namespace: string, id: string): GroupRecord | undefined {
    return this.#namespaces.get(namespace)?.get(id)
  }

  *all(): Generator<GroupRecord> {
    for (const groups of this.#namespaces.values()) yield* groups.values()
  }

  /** Groups of one namespace. */
  list(namespace: string): Iterable<GroupRecord> {
    return this.#namespaces.get(namespace)?.values() ?? []
  }

  get count(): number {
    let count = 0
    for (const groups of this.#namespaces.values()) count += groups.size
    return count
  }

  apply(type: number, payload: Buffer, at: FactContext): void {
    switch (type) {
      case groupFacts.offsetsCommitted:
        return this.#commit(readFact(offsetsCommitted, payload), at)
      case groupFacts.offsetsRemoved:
        return this.#removeOffsets(readFact(offsetsRemoved, payload), at)
      case groupFacts.topicForgotten:
        return this.#forget(readFact(topicForgotten, payload).topicId, at)
      case groupFacts.stabilised:
        return this.#stabilise(readFact(stabilised, payload), at)
      case groupFacts.emptied:
        return this.#empty(readFact(emptied, payload), at)
      case groupFacts.removed:
        return this.#remove(readFact(removed, payload))
      case groupFacts.offsetsPending:
        return this.#pend(readFact(offsetsPending, payload), at)
      case groupFacts.transactionEnded:
        return this.#endTransaction(readFact(transactionEnded, payload), at)
      default:
        throw new Error(`The groups have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  #commit(fact: Infer<typeof offsetsCommitted>, at: FactContext): void {
    const group = this.#open(fact.namespace, fact.group)
    group.seq = at.seq
    addOffsets(group.offsets, fact.topics, at.timeMs, fact.expiresMs)
    // What was committed later counts, however the transaction ends.
    for (const [producerId, pending] of group.pending ?? []) {
      for (const { topicId, partitions } of fact.topics) {
        for (const { partition } of partitions) takeOut(pending, topicId, partition)
      }
      if (pending.size === 0) forgetPending(group, producerId)
    }
  }

  #pend(fact: Infer<typeof offsetsPending>, at: FactContext): void {
    const group = this.#open(fact.namespace, fact.group)
    group.seq = at.seq
    group.pending ??= new Map()
    let pending = group.pending.get(fact.producerId)
    if (pending === undefined) group.pending.set(fact.producerId, (pending = new Map()))
    addOffsets(pending, fact.topics, at.timeMs, -1)
  }

  #endTransaction(fact: Infer<typeof transactionEnded>, at: FactContext): void {
    const group = this.#namespaces.get(fact.namespace)?.get(fact.group)
    const pending = group?.pending?.get(fact.producerId)
    if (group === undefined || pending === undefined) return
    group.seq = at.seq
    forgetPending(group, fact.producerId)
    if (!fact.isCommitted) return
    for (const [topicId, partitions] of pending) {
      let offsets = group.offsets.get(topicId)
      if (offsets === undefined) group.offsets.set(topicId, (offsets = new Map()))
      for (const [partition, committed] of partitions) offsets.set(partition, { ...committed, committedMs: at.timeMs })
    }
  }

  #removeOffsets(fact: Infer<typeof offsetsRemoved>, at: FactContext): void {
    const group = this.#open(fact.namespace, fact.group)
    group.seq = at.seq
    for (const { topicId, partitions } of fact.topics) {
      const offsets = group.offsets.get(topicId)
      if (offsets === undefined) continue
      for (const partition of partitions) offsets.delete(partition)
      if (offsets.size === 0) group.offsets.delete(topicId)
    }
  }

  #forget(topicId: string, at: FactContext): void {
    for (const groups of this.#namespaces.values()) {
      for (const group of groups.values()) if (forgetTopic(group, topicId)) group.seq = at.seq
    }
  }

  #stabilise(fact: Infer<typeof stabilised>, at: FactContext): void {
    const group = this.#open(fact.namespace, fact.group)
    group.seq = at.seq
    group.generation = fact.generation
    group.protocolType = fact.protocolType
    group.protocol = fact.protocol
    group.leader = fact.leader
    // The payload is only lent: what is kept of it is copied.
    group.members = fact.members.map(ownBytes)
    group.emptiedMs = 0
  }

  #empty(fact: Infer<typeof emptied>, at: FactContext): void {
    const group = this.#open(fact.namespace, fact.group)
    group.seq = at.seq
    group.generation = fact.generation
    group.protocolType = fact.protocolType
    group.protocol = null
    group.leader = null
    group.members = []
    group.emptiedMs = at.timeMs
  }

  #remove({ namespace, group }: Infer<typeof removed>): void {
    const groups = this.#namespaces.get(namespace)
    if (groups === undefined) return
    groups.delete(group)
    if (groups.size === 0) this.#namespaces.delete(namespace)
  }

  #open(namespace: string, id: string): State {
    let groups = this.#namespaces.get(namespace)
    if (groups === undefined) this.#namespaces.set(namespace, (groups = new Map()))
    let group = groups.get(id)
    if (group === undefined) {
      const nobody = { generation: 0, protocolType: null, protocol: null, leader: null, members: [] }
      group = { namespace, id, ...nobody, emptiedMs: 0, offsets: new Map(), pending: undefined, seq: -1 }
      groups.set(id, group)
    }
    return group
  }

  save(out: Writer): void {
    out.u8(stateVersion)
    out.u32(this.count)
    for (const { id, offsets, pending: open, members, ...rest } of this.all()) {
      const pending = Array.from(open ?? [], ([producerId, topics]) => ({ producerId, topics: storedTopics(topics) }))
      const stored = { ...rest, group: id, members: [...members], topics: storedTopics(offsets), pending }
      storedGroup.write(out, stored, stateVersion)
    }
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8(), stateVersion)
    this.#namespaces.clear()
    for (let left = from.u32(); left > 0; left--) {
      const { namespace, group: id, topics, pending, members, ...rest } = storedGroup.read(from, version)
      const group = this.#open(namespace, id)
      Object.assign(group, rest, { members: members.map(ownBytes) })
      group.offsets = offsetsIn(topics)
      if (pending.length === 0) continue
      group.pending = new Map(pending.map(({ producerId, topics }) => [producerId, offsetsIn(topics)]))
    }
  }
}

function addOffsets(
  to: Offsets,
  topics: Infer<typeof offsetsPending>['topics'],
  committedMs: number,
  expiresMs: number,
): void {
  for (const { topicId, partitions } of topics) {
    let offsets = to.get(topicId)
    if (offsets === undefined) to.set(topicId, (offsets = new Map()))
    for (const { partition, offset, leaderEpoch, metadata } of partitions) {
      offsets.set(partition, { offset, leaderEpoch, metadata, committedMs, expiresMs })
    }
  }
}

function takeOut(offsets: Offsets, topicId: string, partition: number): void {
  const partitions = offsets.get(topicId)
  if (partitions?.delete(partition) && partitions.size === 0) offsets.delete(topicId)
}

function forgetPending(group: State, producerId: number): void {
  group.pending?.delete(producerId)
  if (group.pending?.size === 0) group.pending = undefined
}

/** Whether there was anything to forget. */
function forgetTopic(group: State, topicId: string): boolean {
  let found = group.offsets.delete(topicId)
  for (const [producerId, offsets] of group.pending ?? []) {
    if (offsets.delete(topicId)) found = true
    if (offsets.size === 0) forgetPending(group, producerId)
  }
  return found
}

const storedTopics = (offsets: GroupOffsets): StoredTopic[] =>
  Array.from(offsets, ([topicId, partitions]) => ({
    topicId,
    partitions: Array.from(partitions, ([partition, committed]) => ({ partition, ...committed })),
  }))

function offsetsIn(topics: readonly StoredTopic[]): Offsets {
  const found: Offsets = new Map()
  for (const { topicId, partitions } of topics) {
    const offsets = new Map<number, CommittedOffset>()
    for (const { partition, ...committed } of partitions) offsets.set(partition, committed)
    found.set(topicId, offsets)
  }
  return found
}

const ownBytes = (member: StoredMember): StoredMember => ({
  ...member,
  subscription: keptCopy(member.subscription),
  assignment: keptCopy(member.assignment),
})
