import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import type { CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { Fenced } from '../../storage/errors.ts'
import type { ConsumerId, CursorId, CursorStore, Settlement } from '../cursor/cursor.ts'
import type { Groups } from '../groups/groups.ts'
import type { GroupName } from '../groups/requests.ts'
import type { Limits } from '../limits.ts'
import { atomically, durably } from '../refusals.ts'
import type { Topic } from '../topic.ts'
import type { GroupConfig } from '../groups/assigned/machine.ts'
import { cursorsMade, factOf, groupRemoved, shareFacts, topicDropped, topicForgotten } from './facts.ts'
import { ShareGroupsMachine } from './machine.ts'
import { settingsReader, type ShareSettings } from './settings.ts'
import { SharePartition } from './share-partition.ts'
import { Taking, type TakeRequest, type TakeResult } from './taking.ts'

export interface ShareGroupsOptions {
  ledger: Ledger
  cell: CellClient
  cursors: CursorStore
  limits: Pick<Limits, 'shareInFlightMax'>
  topics: {
    byId(id: string): Topic | undefined
    /** Cursors of topics that are about to be removed go in the same block. */
    beforeRemove(run: (topic: Topic) => void): void
  }
  /** Who is in the groups, and their settings. */
  groups: Pick<Groups, 'settings' | 'config' | 'watchShared'>
}

/** Where a group stands in a partition. */
export interface SharePosition {
  readonly topicId: string
  readonly partition: number
  /** All below is settled. */
  readonly startOffset: number
  /** Records that nobody has settled yet. */
  readonly lag: number
}

export interface ShareMove {
  readonly topicId: string
  readonly partition: number
  readonly offset: number
}

/** What is kept of a group while it is in use. */
class LiveGroup {
  readonly partitions = new Map<string, Map<number, SharePartition>>()
  /** For each member, the consumers that stand for it in the cursors. */
  readonly members = new Map<string, Map<SharePartition, ConsumerId>>()
}

/**
 * The records of groups whose members share partitions: each record goes to one member at a time, which accepts it, rejects it
 * or gives it back. For each partition a group has one cursor; who is in the groups is not known here.
 *
 * Verbs decide before they return, like those of cursors; what must last waits for the block of the cursor's last fact.
 */
export class ShareGroups {
  readonly #options: ShareGroupsOptions
  readonly #machine: ShareGroupsMachine
  readonly #live = new Map<string, Map<string, LiveGroup>>()
  readonly #takings = new Set<() => void>()
  readonly #settingsOf: (config: GroupConfig) => ShareSettings
  #lastSeq = -1
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: ShareGroupsOptions) {
    const machine = options.ledger.machine(machineKinds.shareGroups)
    assert(machine instanceof ShareGroupsMachine)
    this.#options = options
    this.#machine = machine
    this.#settingsOf = settingsReader(options.groups.settings)
    options.topics.beforeRemove(topic => this.#forgetTopic(topic))
    options.groups.watchShared({
      left: (name, memberId) => this.release(name, memberId),
      removing: name => this.#removeGroup(name),
    })
  }

  /** Nobody is given anything any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  settings({ namespace, group }: GroupName): ShareSettings {
    return this.#settingsOf(this.#options.groups.config(namespace, group))
  }

  /**
   * Makes the group begin in all partitions of these topics in which it has not begun yet: where its settings say, or at the
   * start in those that were added since. Resolves when that is durable; rejects with `BrokerError`.
   */
  async prepare(name: GroupName, topicIds: Iterable<string>): Promise<void> {
    for (const topicId of topicIds) {
      const topic = this.#options.topics.byId(topicId)
      if (topic === undefined || this.#missing(name, topic).length === 0) continue
      const starts = await this.#startsOf(name, topic)
      this.#begin(name, topicId, starts)
    }
    await this.#durable()
  }

  #missing({ namespace, group }: GroupName, { id, partitions }: Topic): number[] {
    const known = this.#machine.get(namespace, group)?.get(id)
    if (known?.size === partitions.length) return []
    return [...partitions.keys()].filter(partition => known?.has(partition) !== true)
  }

  /** By partition. Only a point in time has to be looked for. */
  async #startsOf(name: GroupName, topic: Topic): Promise<Map<number, number>> {
    const { cell, ledger } = this.#options
    const isKnown = this.#machine.get(name.namespace, name.group)?.has(topic.id) === true
    const start = isKnown ? 'earliest' : this.settings(name).start
    const starts = new Map<number, number>()
    for (const partition of this.#missing(name, topic)) {
      const stream = topic.partitions[partition]
      const bounds = stream === undefined ? undefined : cell.bounds(stream)
      if (stream === undefined || bounds === undefined) continue
      if (start === 'earliest') starts.set(partition, bounds.startOffset)
      else if (start === 'latest') starts.set(partition, bounds.endOffset)
      else {
        const found = await cell.offsetAtTime(stream, ledger.clock.nowMs() - start)
        starts.set(partition, found?.offset ?? bounds.endOffset)
      }
    }
    return starts
  }

  /** What has been done by others in the meantime is left as it is. */
  #begin(name: GroupName, topicId: string, starts: ReadonlyMap<number, number>): void {
    const topic = this.#options.topics.byId(topicId)
    if (topic === undefined || this.#isClosed) return
    this.#write(() => {
      const cursors: { partition: number; cursor: CursorId }[] = []
      for (const partition of this.#missing(name, topic)) {
        const stream = topic.partitions[partition]
        const start = starts.get(partition)
        if (stream === undefined || start === undefined) continue
        cursors.push({ partition, cursor: this.#options.cursors.create(stream, start).id })
      }
      if (cursors.length > 0) this.#fact(shareFacts.cursorsMade, cursorsMade, { ...name, topicId, cursors })
    })
  }

  /** Undefined when the group has not begun there. */
  partition({ namespace, group }: GroupName, topicId: string, partition: number): SharePartition | undefined {
    const known = this.#live.get(namespace)?.get(group)?.partitions.get(topicId)?.get(partition)
    if (known !== undefined || this.#isClosed) return known
    const id = this.#machine.get(namespace, group)?.get(topicId)?.get(partition)
    const cursor = id === undefined ? undefined : this.#options.cursors.open(id)
    if (cursor === undefined) return undefined
    const { cell, limits, ledger } = this.#options
    const host = {
      cell,
      inFlightMax: limits.shareInFlightMax,
      soon: (run: () => void) => void ledger.clock.after(0, run),
      settings: () => this.settings({ namespace, group }),
    }
    const opened = new SharePartition(host, topicId, partition, cursor)
    const live = this.#liveGroup(namespace, group)
    const partitions = live.partitions.get(topicId)
    if (partitions === undefined) live.partitions.set(topicId, new Map([[partition, opened]]))
    else partitions.set(partition, opened)
    return opened
  }

  #liveGroup(namespace: string, group: string): LiveGroup {
    let groups = this.#live.get(namespace)
    if (groups === undefined) this.#live.set(namespace, (groups = new Map()))
    let live = groups.get(group)
    if (live === undefined) groups.set(group, (live = new LiveGroup()))
    return live
  }

  /**
   * Takes records for a member, or waits for them; calls `done` once, with nothing when there was nothing in time. Never after
   * the returned cancel.
   */
  take(name: GroupName, memberId: string, request: TakeRequest, done: (result: TakeResult) => void): () => void {
    if (this.#isClosed) {
      done({ taken: [], release: () => {} })
      return () => {}
    }
    const { cell, ledger } = this.#options
    const host = {
      cell,
      after: (delayMs: number, run: () => void) => ledger.clock.after(delayMs, run),
      consumerOf: (partition: SharePartition) => this.#consumerOf(name, memberId, partition),
    }
    const taking = new Taking(host, request, result => {
      this.#takings.delete(taking.stop)
      done(result)
    })
    this.#takings.add(taking.stop)
    taking.start()
    return () => {
      this.#takings.delete(taking.stop)
      taking.cancel()
    }
  }

  #consumerOf({ namespace, group }: GroupName, memberId: string, partition: SharePartition): ConsumerId {
    const { members } = this.#liveGroup(namespace, group)
    let consumers = members.get(memberId)
    if (consumers === undefined) members.set(memberId, (consumers = new Map()))
    let consumer = consumers.get(partition)
    if (consumer === undefined) consumers.set(partition, (consumer = partition.cursor.join(memberId, 'session')))
    return consumer
  }

  /** All of `settlements`, or none and false when the member does not hold one of the records. What is settled below is passed over. */
  settle(
    { namespace, group }: GroupName,
    memberId: string,
    partition: SharePartition,
    settlements: readonly Settlement[],
  ): boolean {
    const { floor, next } = partition.cursor
    const open: Settlement[] = []
    for (const settlement of settlements) {
      if (settlement.last >= next) return false
      if (settlement.last < floor) continue
      open.push(settlement.first < floor ? { ...settlement, first: floor } : settlement)
    }
    if (open.length === 0) return true
    const consumer = this.#live.get(namespace)?.get(group)?.members.get(memberId)?.get(partition)
    if (consumer === undefined || partition.isClosed) return false
    try {
      if (!partition.cursor.settle(consumer, open)) return false
    } catch (error) {
      // The broker is about to end: whoever holds it then gets it again.
      if (error instanceof Fenced) return false
      throw error
    }
    // There may be room for more in flight.
    partition.wakeSoon()
    return true
  }

  /** Calls `run(argument)` when block `seq` is durable: that of what was settled. */
  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    this.#options.ledger.whenDurable(seq, run, argument)
  }

  /** The member is gone, or has lost track: what it holds is given back. */
  release({ namespace, group }: GroupName, memberId: string): void {
    const members = this.#live.get(namespace)?.get(group)?.members
    const consumers = members?.get(memberId)
    if (consumers === undefined || this.#isClosed) return
    members?.delete(memberId)
    for (const [partition, consumer] of consumers) partition.cursor.leave(consumer)
  }

  /** Where the group stands in all partitions in which it has begun. */
  positions(name: GroupName): SharePosition[] {
    const positions: SharePosition[] = []
    for (const [topicId, cursors] of this.#machine.get(name.namespace, name.group) ?? []) {
      for (const partition of cursors.keys()) {
        const position = this.position(name, topicId, partition)
        if (position !== undefined) positions.push(position)
      }
    }
    return positions
  }

  position(name: GroupName, topicId: string, partition: number): SharePosition | undefined {
    const found = this.partition(name, topicId, partition)
    return found && { topicId, partition, startOffset: found.cursor.floor, lag: found.lag }
  }

  /** Whether the group has begun in any partition of the topic. */
  knows({ namespace, group }: GroupName, topicId: string): boolean {
    return this.#machine.get(namespace, group)?.has(topicId) === true
  }

  /** Calls `run(argument)` when all that can be seen of positions now is durable. */
  allSettled<A>(run: (argument: A) => void, argument: A): void {
    const { ledger } = this.#options
    ledger.whenDurable(ledger.openSeq, run, argument)
  }

  /** Lets the group begin anew at these offsets. That it has no members is the caller's to see to. Rejects with `BrokerError`. */
  async move(name: GroupName, moves: readonly ShareMove[]): Promise<void> {
    for (const { topicId, partition, offset } of moves) {
      const present = this.partition(name, topicId, partition)
      if (present === undefined) this.#begin(name, topicId, new Map([[partition, offset]]))
      else this.#write(() => present.cursor.move(offset))
    }
    this.#lastSeq = this.#options.ledger.openSeq
    await this.#durable()
  }

  /** Makes the group forget a topic: it begins anew when it comes back. Rejects with `BrokerError`. */
  async forget(name: GroupName, topicId: string): Promise<void> {
    const cursors = this.#machine.get(name.namespace, name.group)?.get(topicId)
    if (cursors === undefined) return
    this.#write(() => {
      this.#drop(name, topicId, cursors.values())
      this.#fact(shareFacts.topicDropped, topicDropped, { ...name, topicId })
    })
    await this.#durable()
  }

  /** The group is gone: so are its positions. */
  #removeGroup(name: GroupName): void {
    const topics = this.#machine.get(name.namespace, name.group)
    if (topics !== undefined) {
      for (const [topicId, cursors] of topics) this.#drop(name, topicId, cursors.values())
      this.#fact(shareFacts.groupRemoved, groupRemoved, { ...name })
    }
    this.#live.get(name.namespace)?.delete(name.group)
  }

  #forgetTopic({ id: topicId }: Topic): void {
    let isKnown = false
    for (const { namespace, group, cursors } of this.#machine.all()) {
      const ids = cursors.get(topicId)
      if (ids === undefined) continue
      isKnown = true
      this.#drop({ namespace, group }, topicId, ids.values())
    }
    if (isKnown) this.#fact(shareFacts.topicForgotten, topicForgotten, { topicId })
  }

  #drop({ namespace, group }: GroupName, topicId: string, cursors: Iterable<CursorId>): void {
    const live = this.#live.get(namespace)?.get(group)
    const partitions = live?.partitions.get(topicId)
    for (const partition of partitions?.values() ?? []) {
      partition.close()
      for (const consumers of live?.members.values() ?? []) consumers.delete(partition)
    }
    live?.partitions.delete(topicId)
    for (const cursor of cursors) this.#options.cursors.remove(cursor)
  }

  /** Sends home all who wait. Positions are found again after the restart. */
  close(): void {
    this.#isClosed = true
    for (const stop of this.#takings) stop()
    this.#takings.clear()
  }

  #fact<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    this.#lastSeq = this.#options.ledger.fact(machineKinds.shareGroups, type, factOf(codec, value))
  }

  #write(run: () => void): void {
    atomically(this.#options.ledger, run)
  }

  #durable(): Promise<void> {
    return durably(this.#options.ledger, this.#lastSeq)
  }
}
