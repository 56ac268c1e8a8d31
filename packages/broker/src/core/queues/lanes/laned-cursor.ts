import assert from 'node:assert/strict'
import type { StreamId } from '../../../cell/client.ts'
import type {
  AcquireRequest,
  ConsumerId,
  ConsumerKind,
  Cursor,
  CursorConsumer,
  CursorId,
  CursorWatcher,
  DropReason,
  LeaseSink,
  MessageState,
  PendingRun,
  Settlement,
  Tally,
} from '../../cursor/cursor.ts'
import type { QueueStreams } from '../../volatile/volatile-streams.ts'
import { laneIndexOf, laneOffsets } from './lane-offsets.ts'
import type { LaneStream } from './laned-streams.ts'

interface LanedCursorOptions {
  /** Of the queue's own lane. */
  id: CursorId
  stream: StreamId
  laneCount: number
  /** Those of the lanes. */
  streams: QueueStreams
  atomic(run: () => void): void
}

interface Lane extends LaneStream {
  readonly base: number
  readonly cursor: Cursor
  /** Consumers of the queue, as the lane knows them, and the other way round. */
  readonly consumers: Map<ConsumerId, ConsumerId>
  readonly known: Map<ConsumerId, ConsumerId>
  trimmedTo: number
}

/** A lane is trimmed each time that so many more messages at its beginning are settled. */
const trimEvery = 4096

/**
 * The cursors of a queue's lanes as one: offsets are places (`lane-offsets.ts`), and what is available is taken from the most urgent lane that has
 * any. Consumers join a lane when they are first given something of it.
 *
 * As the places of what is ready do not follow each other, `next` is no more than what makes the count right: the end of all places less what is
 * ready. Ranges that a caller names lie within one lane, or mean whole lanes.
 */
export class LanedCursor implements Cursor {
  readonly id: CursorId
  readonly stream: StreamId
  readonly floor = 0
  readonly #options: LanedCursorOptions
  readonly #end: number
  /** The most urgent first. */
  readonly #lanes: Lane[] = []
  readonly #consumers = new Map<ConsumerId, LanedConsumer>()
  #newestConsumer = 0
  #watchers: CursorWatcher[] = []
  #deliveryLimit = 0
  #heir: Cursor['heir']
  #givenBack: Cursor['givenBack']

  constructor(options: LanedCursorOptions) {
    this.#options = options
    this.id = options.id
    this.stream = options.stream
    this.#end = options.laneCount * laneOffsets
  }

  /** Takes in a lane as it is after a start, or when it was made. */
  add({ index, stream }: LaneStream, cursor: Cursor): void {
    const base = index * laneOffsets
    const lane: Lane = {
      index,
      stream,
      base,
      cursor,
      consumers: new Map(),
      known: new Map(),
      trimmedTo: cursor.floor,
    }
    const at = this.#lanes.findIndex(other => other.index > index)
    this.#lanes.splice(at < 0 ? this.#lanes.length : at, 0, lane)
    for (const { id, name, kind } of cursor.consumers()) {
      const found = this.consumerNamed(name) ?? this.join(name, kind)
      lane.consumers.set(found, id)
      lane.known.set(id, found)
    }
    cursor.deliveryLimit = this.#deliveryLimit
    this.#bequeath(lane)
    this.#weighReturns(lane)
    this.#relay(lane)
  }

  #relay(lane: Lane): void {
    const { base, cursor, known } = lane
    const tell = (run: (watcher: CursorWatcher) => void): void => this.#watchers.forEach(run)
    cursor.watch({
      returned: from => tell(watcher => watcher.returned?.(from + base)),
      dropped: (first, last, reason) => tell(watcher => watcher.dropped?.(first + base, last + base, reason)),
      inherited: (first, last, reason) => tell(watcher => watcher.inherited?.(first + base, last + base, reason)),
      expired: (consumer, first, last) => {
        const holder = known.get(consumer)
        if (holder !== undefined) tell(watcher => watcher.expired?.(holder, first + base, last + base))
      },
      floorMoved: floor => this.#trim(lane, floor),
    })
  }

  #trim(lane: Lane, floor: number): void {
    if (floor - lane.trimmedTo < trimEvery) return
    lane.trimmedTo = floor
    // When the cell closes before it is done, the next start does it.
    this.#options.streams.trim(lane.stream, floor).catch(() => {})
  }

  get next(): number {
    return this.#end - this.#sum(lane => Math.max(0, this.#visibleEnd(lane) - lane.cursor.next))
  }
  get inFlightCount(): number {
    return this.#sum(({ cursor }) => cursor.inFlightCount)
  }
  get returnedCount(): number {
    return this.#sum(({ cursor }) => cursor.returnedCount)
  }
  get ackedCount(): number {
    return this.#sum(({ cursor }) => cursor.ackedCount)
  }
  get droppedCount(): number {
    return this.#sum(({ cursor }) => cursor.droppedCount)
  }
  get settledAboveFloor(): number {
    return this.#sum(({ cursor }) => cursor.settledAboveFloor)
  }
  get seq(): number {
    let seq = -1
    for (const { cursor } of this.#lanes) seq = Math.max(seq, cursor.seq)
    return seq
  }

  get deliveryLimit(): number {
    return this.#deliveryLimit
  }
  set deliveryLimit(limit: number) {
    this.#deliveryLimit = limit
    for (const { cursor } of this.#lanes) cursor.deliveryLimit = limit
  }

  get heir(): Cursor['heir'] {
    return this.#heir
  }
  set heir(heir: Cursor['heir']) {
    this.#heir = heir
    for (const lane of this.#lanes) this.#bequeath(lane)
  }

  #bequeath(lane: Lane): void {
    const heir = this.#heir
    lane.cursor.heir = heir && (reason => this.#joined(lane, heir(reason)))
  }

  get givenBack(): Cursor['givenBack'] {
    return this.#givenBack
  }
  set givenBack(givenBack: Cursor['givenBack']) {
    this.#givenBack = givenBack
    for (const lane of this.#lanes) this.#weighReturns(lane)
  }

  #weighReturns({ base, cursor }: Lane): void {
    const givenBack = this.#givenBack
    cursor.givenBack = givenBack && ((offset, bytes) => givenBack(offset + base, bytes))
  }

  weigh(place: number, bytes: number): void {
    const lane = this.#laneOf(place)
    lane?.cursor.weigh(place - lane.base, bytes)
  }
  get heldBytes(): number {
    return this.#sum(({ cursor }) => cursor.heldBytes)
  }

  // Consumers

  join(name: string, kind: ConsumerKind): ConsumerId {
    const consumer = new LanedConsumer(++this.#newestConsumer, name, kind, this.#lanes)
    this.#consumers.set(consumer.id, consumer)
    return consumer.id
  }

  consumerNamed(name: string): ConsumerId | undefined {
    for (const consumer of this.#consumers.values()) if (consumer.name === name) return consumer.id
    return undefined
  }

  consumer(id: ConsumerId): CursorConsumer | undefined {
    return this.#consumers.get(id)
  }

  consumers(): Iterable<CursorConsumer> {
    return this.#consumers.values()
  }

  leave(consumer: ConsumerId, how: 'counted' | 'uncounted' = 'counted'): void {
    for (const { cursor, consumers, known } of this.#lanes) {
      const id = consumers.get(consumer)
      if (id === undefined) continue
      cursor.leave(id, how)
      consumers.delete(consumer)
      known.delete(id)
    }
    this.#consumers.delete(consumer)
  }

  /** The consumer as the lane knows it; it joins when it has not yet. */
  #joined(lane: Lane, consumer: ConsumerId | undefined): ConsumerId | undefined {
    const known = consumer === undefined ? undefined : this.#consumers.get(consumer)
    if (!known) return undefined
    const present = lane.consumers.get(known.id)
    if (present !== undefined) return present
    const id = lane.cursor.join(known.name, known.kind)
    const joined = lane.cursor.consumer(id)
    if (joined) joined.tally = known.tally
    lane.consumers.set(known.id, id)
    lane.known.set(id, known.id)
    return id
  }

  // Taking

  nextAvailable(from = 0): number {
    for (const lane of this.#lanes) {
      if (lane.base + laneOffsets <= from) continue
      const at = lane.cursor.nextAvailable(Math.max(0, from - lane.base))
      if (at < this.#visibleEnd(lane)) return lane.base + at
    }
    return this.#end
  }

  acquire(consumer: ConsumerId, { max, from, to, leaseMs }: AcquireRequest, sink: LeaseSink): number {
    const taking = this.#taking(from, to, sink)
    if (!taking) return 0
    const id = this.#joined(taking.lane, consumer)
    assert(id !== undefined, `consumer ${consumer} is not known`)
    return taking.lane.cursor.acquire(id, { ...taking.range, max, leaseMs }, taking.sink)
  }

  take({ max, from, to }: Omit<AcquireRequest, 'leaseMs'>, sink: LeaseSink): number {
    const taking = this.#taking(from, to, sink)
    return taking ? taking.lane.cursor.take({ ...taking.range, max }, taking.sink) : 0
  }

  /** What can be taken at once lies in one lane: the most urgent one. */
  #taking(
    from: number | undefined,
    to: number,
    sink: LeaseSink,
  ): { lane: Lane; range: { from: number; to: number }; sink: LeaseSink } | undefined {
    const first = from ?? this.nextAvailable()
    const lane = this.#laneOf(first)
    if (!lane) return undefined
    const { base } = lane
    const range = { from: first - base, to: Math.min(to - base, this.#visibleEnd(lane)) }
    return { lane, range, sink: { run: (start, end, count) => sink.run(start + base, end + base, count) } }
  }

  claim(consumer: ConsumerId, first: number, last: number, leaseMs?: number): number {
    return this.#within(first, last, (lane, from, to) => {
      const id = this.#joined(lane, consumer)
      assert(id !== undefined, `consumer ${consumer} is not known`)
      return lane.cursor.claim(id, from, to, leaseMs)
    })
  }

  // Settling

  ack(consumer: ConsumerId, first: number, last = first): number {
    return this.#held(consumer, first, last, (cursor, id, from, to) => cursor.ack(id, from, to))
  }

  release(consumer: ConsumerId, first: number, last = first, how: 'counted' | 'uncounted' = 'counted'): number {
    return this.#held(consumer, first, last, (cursor, id, from, to) => cursor.release(id, from, to, how))
  }

  reject(consumer: ConsumerId, first: number, last = first): number {
    return this.#held(consumer, first, last, (cursor, id, from, to) => cursor.reject(id, from, to))
  }

  discard(consumer: ConsumerId, first: number, last: number, reason: DropReason): number {
    return this.#held(consumer, first, last, (cursor, id, from, to) => cursor.discard(id, from, to, reason))
  }

  extend(consumer: ConsumerId, first: number, last: number, leaseMs: number): number {
    return this.#held(consumer, first, last, (cursor, id, from, to) => cursor.extend(id, from, to, leaseMs))
  }

  holds(consumer: ConsumerId, first: number, last: number): boolean {
    const lane = this.#laneOf(first)
    const id = lane?.consumers.get(consumer)
    if (!lane || id === undefined || laneIndexOf(last) !== lane.index) return false
    return lane.cursor.holds(id, first - lane.base, last - lane.base)
  }

  settle(consumer: ConsumerId, settlements: readonly Settlement[]): boolean {
    if (!settlements.every(({ first, last }) => this.holds(consumer, first, last))) return false
    let isDone = true
    this.#options.atomic(() => {
      for (const lane of this.#lanes) {
        const { base, index } = lane
        const inner = settlements
          .filter(({ first }) => laneIndexOf(first) === index)
          .map(step => ({ ...step, first: step.first - base, last: step.last - base }))
        const id = lane.consumers.get(consumer)
        if (inner.length > 0 && id !== undefined) isDone = lane.cursor.settle(id, inner) && isDone
      }
    })
    return isDone
  }

  // Without a consumer

  drop(first: number, last: number, reason: DropReason): number {
    return this.#within(first, last, ({ cursor }, from, to) => cursor.drop(from, to, reason))
  }

  pick(first: number, last: number): number {
    return this.#within(first, last, ({ cursor }, from, to) => cursor.pick(from, to))
  }

  /** All that was taken, durable or not. */
  purge(): number {
    let count = 0
    this.#options.atomic(() => {
      for (const lane of this.#lanes) count += lane.cursor.purge(this.#takenEnd(lane))
    })
    return count
  }

  move(): void {
    assert.fail('a queue with lanes has no place to begin anew at')
  }

  // Looking

  stateOf(place: number): MessageState {
    const lane = this.#laneOf(place)
    return lane ? lane.cursor.stateOf(place - lane.base) : 'ready'
  }

  deliveryCount(place: number): number {
    const lane = this.#laneOf(place)
    return lane ? lane.cursor.deliveryCount(place - lane.base) : 0
  }

  holder(place: number): ConsumerId | undefined {
    const lane = this.#laneOf(place)
    const holder = lane?.cursor.holder(place - lane.base)
    return holder === undefined ? undefined : lane?.known.get(holder)
  }

  *pending(from = 0, to = this.#end): Iterable<PendingRun> {
    for (const { base, cursor, known } of this.#lanes) {
      const [first, end] = [Math.max(cursor.floor, from - base), Math.min(cursor.next, to - base)]
      if (first >= end) continue
      for (const run of cursor.pending(first, end)) {
        yield { ...run, first: run.first + base, last: run.last + base, consumer: known.get(run.consumer) ?? -1 }
      }
    }
  }

  /** Places of all that may wait at present. */
  present(): { from: number; to: number }[] {
    return this.#lanes.map(lane => ({ from: lane.base + lane.cursor.floor, to: lane.base + this.#visibleEnd(lane) }))
  }

  /** Up to `max` places of messages that are not settled, from `from` on. */
  unsettled(from: number, max: number): number[] {
    const places: number[] = []
    const add = (first: number, last: number): void => {
      for (let place = Math.max(from, first); place <= last && places.length < max; place++) places.push(place)
    }
    for (const lane of this.#lanes) {
      const { base, cursor } = lane
      if (base + laneOffsets <= from || places.length >= max) continue
      for (const { first, last } of cursor.pending()) add(first + base, last + base)
      add(cursor.next + base, this.#visibleEnd(lane) - 1 + base)
    }
    return places
  }

  /** Messages that were ever appended, and are durable. */
  get appendedCount(): number {
    return this.#sum(lane => this.#visibleEnd(lane))
  }

  watch(watcher: CursorWatcher): () => void {
    this.#watchers = [...this.#watchers, watcher]
    return () => {
      this.#watchers = this.#watchers.filter(other => other !== watcher)
    }
  }

  #laneOf(place: number): Lane | undefined {
    const index = laneIndexOf(place)
    return this.#lanes.find(lane => lane.index === index)
  }

  #visibleEnd({ stream }: LaneStream): number {
    return this.#options.streams.bounds(stream)?.endOffset ?? 0
  }

  #takenEnd(lane: LaneStream): number {
    return this.#visibleEnd(lane) + this.#options.streams.unsettled(lane.stream)
  }

  #sum(of: (lane: Lane) => number): number {
    let sum = 0
    for (const lane of this.#lanes) sum += of(lane)
    return sum
  }

  /** Of each lane that has places in [first, last]; what is appended later is in no range. */
  #within(first: number, last: number, run: (lane: Lane, from: number, to: number) => number): number {
    let count = 0
    for (const lane of this.#lanes) {
      const from = Math.max(0, first - lane.base)
      const to = Math.min(last - lane.base, this.#takenEnd(lane) - 1)
      if (from <= to) count += run(lane, from, to)
    }
    return count
  }

  #held(
    consumer: ConsumerId,
    first: number,
    last: number,
    run: (cursor: Cursor, consumer: ConsumerId, from: number, to: number) => number,
  ): number {
    return this.#within(first, last, ({ cursor, consumers }, from, to) => {
      const id = consumers.get(consumer)
      return id === undefined ? 0 : run(cursor, id, from, to)
    })
  }
}

/** One consumer in all lanes. */
class LanedConsumer implements CursorConsumer {
  readonly id: ConsumerId
  readonly name: string
  readonly kind: ConsumerKind
  readonly #lanes: readonly Lane[]
  #tally: Tally | undefined

  constructor(id: ConsumerId, name: string, kind: ConsumerKind, lanes: readonly Lane[]) {
    this.id = id
    this.name = name
    this.kind = kind
    this.#lanes = lanes
  }

  get inFlightCount(): number {
    let count = 0
    for (const consumer of this.#inLanes()) count += consumer.inFlightCount
    return count
  }

  get tally(): Tally | undefined {
    return this.#tally
  }
  set tally(tally: Tally | undefined) {
    this.#tally = tally
    for (const consumer of this.#inLanes()) consumer.tally = tally
  }

  *#inLanes(): Generator<CursorConsumer> {
    for (const { cursor, consumers } of this.#lanes) {
      const id = consumers.get(this.id)
      const consumer = id === undefined ? undefined : cursor.consumer(id)
      if (consumer) yield consumer
    }
  }
}
