import assert from 'node:assert/strict'
import type { StreamId } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import { Fenced } from '../../storage/errors.ts'
import { noTimer, type TimerTarget, type TimerWheel } from '../timers/wheel.ts'
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
} from './cursor.ts'
import { dropReasons } from './cursor.ts'
import { consumerKinds, cursorFacts, factWriter as writer, returnedHow, type ReturnedHow } from './facts.ts'
import type { Holder } from './leases.ts'
import type { CursorMachine } from './machine.ts'
import { Ranges } from './ranges.ts'

/** What a cursor needs of the cell that it lives in. */
export interface CursorHost {
  readonly ledger: Ledger
  readonly wheel: TimerWheel
  /** The wall clock, as it was when the broker started, moved on by the monotonic one: it never jumps. */
  leaseClockMs(): number
  /** What must be subtracted from that to get the monotonic clock. */
  readonly leaseSkewMs: number
}

const nameBytesMax = 64 * 1024
/** So many leases run out in one turn. */
const expiredPerTurnMax = 8192

/** Decides over the machine, in the process that owns the cell. */
export class CellCursor implements Cursor, TimerTarget {
  readonly id: CursorId
  deliveryLimit = 0
  heir: Cursor['heir']
  #seq = -1
  readonly #host: CursorHost
  readonly #machine: CursorMachine
  #watchers: CursorWatcher[] = []
  #timer = noTimer
  #timerMs = Infinity
  #removed = false

  constructor(id: CursorId, machine: CursorMachine, host: CursorHost) {
    this.id = id
    this.#machine = machine
    this.#host = host
  }

  /** After a restart: those who had no more than a session are gone, the other leases run on. */
  restart(): void {
    for (const { kind } of this.consumers()) {
      if (kind !== 'session') continue
      this.#fact(cursorFacts.restarted, [])
      break
    }
    this.#arm(this.#machine.leases.earliestDeadline())
  }

  /** The machine is gone. */
  removed(): void {
    this.#removed = true
    this.#host.wheel.cancel(this.#timer)
  }

  get stream(): StreamId {
    return this.#machine.stream
  }
  get floor(): number {
    return this.#machine.floor
  }
  get next(): number {
    return this.#machine.next
  }
  get inFlightCount(): number {
    return this.#machine.inFlightCount
  }
  get returnedCount(): number {
    return this.#machine.pending.returnedCount
  }
  get ackedCount(): number {
    return this.#machine.ackedCount
  }
  get droppedCount(): number {
    return this.#machine.droppedCount
  }
  get settledAboveFloor(): number {
    const { floor, next, pending } = this.#machine
    return next - floor - pending.pendingCount
  }
  get seq(): number {
    return this.#seq
  }
  get heldBytes(): number {
    return this.#machine.leases.heldBytes
  }
  get givenBack(): Cursor['givenBack'] {
    return this.#machine.givenBack
  }
  set givenBack(tell: Cursor['givenBack']) {
    this.#machine.givenBack = tell
  }

  join(name: string, kind: ConsumerKind): ConsumerId {
    assert(Buffer.byteLength(name) <= nameBytesMax, 'the name of a consumer is too long')
    writer.begin()
    writer.number(consumerKinds.indexOf(kind))
    writer.text(name)
    this.#write(cursorFacts.joined)
    return this.#machine.newestConsumer
  }

  consumerNamed(name: string): ConsumerId | undefined {
    for (const holder of this.#machine.leases.holders.values()) if (holder.name === name) return holder.id
    return undefined
  }

  consumer(id: ConsumerId): CursorConsumer | undefined {
    return this.#machine.leases.holders.get(id)
  }

  consumers(): Iterable<CursorConsumer> {
    return this.#machine.leases.holders.values()
  }

  leave(consumer: ConsumerId, how: 'counted' | 'uncounted' = 'counted'): void {
    const holder = this.#machine.leases.holders.get(consumer)
    if (!holder) return
    const { returnedCount, floor } = this
    const exhausted = how === 'counted' && this.deliveryLimit > 0 ? this.#exhaustedOf(holder) : noRanges
    this.#dropRanges(exhausted, 'delivery-limit')
    this.#fact(cursorFacts.left, [consumer, returnedHow[how]])
    if (this.returnedCount > returnedCount) this.#tellReturned(floor)
  }

  nextAvailable(from = 0): number {
    return Math.min(this.#machine.pending.nextReturned(from), Math.max(from, this.#machine.next))
  }

  acquire(consumer: ConsumerId, wanted: AcquireRequest, sink: LeaseSink): number {
    assert(this.#machine.leases.holders.has(consumer), `consumer ${consumer} is not known`)
    const deadlineMs = this.#deadline(wanted.leaseMs)
    const count = this.#give(cursorFacts.acquired, wanted, sink, consumer, deadlineMs)
    if (deadlineMs > 0 && count > 0) this.#arm(deadlineMs)
    return count
  }

  take(wanted: Omit<AcquireRequest, 'leaseMs'>, sink: LeaseSink): number {
    const { floor } = this
    const count = this.#give(cursorFacts.acked, wanted, sink)
    this.#tellFloor(floor)
    return count
  }

  /** What is returned first, then what is ready. The fact's numbers come before the ranges. */
  #give(type: number, { max, from = 0, to }: AcquireRequest, sink: LeaseSink, head = -1, second = -1): number {
    const machine = this.#machine
    const taken = machine.pending.returnedCount > 0 ? this.#gatherReturned(from, to, max) : noRanges
    const fresh = machine.next
    const freshEnd = from <= fresh ? Math.min(fresh + max - taken.count, to) : fresh
    const freshCount = Math.max(0, freshEnd - fresh)
    if (taken.count + freshCount === 0) return 0
    this.#begin(type, head, second)
    for (let at = 0; at < taken.length; at++) this.#range(taken.first(at), taken.last(at))
    if (freshCount > 0) this.#range(fresh, freshEnd - 1)
    this.#end()
    for (let at = 0; at < taken.length; at++) sink.run(taken.first(at), taken.last(at), taken.tag(at))
    if (freshCount > 0) sink.run(fresh, freshEnd - 1, 1)
    return taken.count + freshCount
  }

  /** Returned offsets of [from, to), tagged with the count of the delivery to come. Those at their limit are dropped on the way. */
  #gatherReturned(from: number, to: number, max: number): Ranges {
    const { pending } = this.#machine
    const taken = new Ranges()
    const exhausted = new Ranges()
    for (let offset = pending.nextReturned(from); offset < to && taken.count < max;) {
      const count = this.#machine.deliveryCount(offset)
      if (this.#isExhausted(count)) exhausted.add(offset, offset)
      else taken.add(offset, offset, count + 1)
      offset = pending.nextReturned(offset + 1)
    }
    this.#dropRanges(exhausted, 'delivery-limit')
    return taken
  }

  claim(consumer: ConsumerId, first: number, last: number, leaseMs?: number): number {
    const { leases, pending } = this.#machine
    assert(leases.holders.has(consumer), `consumer ${consumer} is not known`)
    const deadlineMs = this.#deadline(leaseMs)
    let count = 0
    this.#begin(cursorFacts.acquired, consumer, deadlineMs)
    for (let offset = pending.nextPending(first); offset <= last; offset = pending.nextPending(offset + 1)) {
      if (this.#machine.holderOf(offset) === 0) continue
      this.#range(offset, offset)
      count++
    }
    this.#end()
    if (deadlineMs > 0) this.#arm(deadlineMs)
    return count
  }

  ack(consumer: ConsumerId, first: number, last = first): number {
    if (first !== last) return this.#settleRanges(cursorFacts.acked, this.#heldBy(consumer, first, last))
    if (this.#machine.holderOf(first) !== consumer) return 0
    const { floor } = this.#machine
    this.#begin(cursorFacts.acked, -1)
    this.#range(first, first)
    this.#end()
    this.#tellFloor(floor)
    return 1
  }

  reject(consumer: ConsumerId, first: number, last = first): number {
    const held = this.#heldBy(consumer, first, last)
    this.#dropRanges(held, 'rejected')
    return held.count
  }

  discard(consumer: ConsumerId, first: number, last: number, reason: DropReason): number {
    const held = this.#heldBy(consumer, first, last)
    this.#discardRanges(held, reason)
    return held.count
  }

  release(consumer: ConsumerId, first: number, last = first, how: 'counted' | 'uncounted' = 'counted'): number {
    const held = this.#heldBy(consumer, first, last)
    this.#returnRanges(held, how)
    return held.count
  }

  extend(consumer: ConsumerId, first: number, last: number, leaseMs: number): number {
    const held = this.#heldBy(consumer, first, last)
    this.#extendRanges(held, leaseMs)
    return held.count
  }

  weigh(offset: number, bytes: number): void {
    const { leases } = this.#machine
    const slot = leases.find(offset)
    if (slot >= 0) leases.setBytes(slot, bytes)
  }

  holds(consumer: ConsumerId, first: number, last: number): boolean {
    if (first < this.floor || last >= this.next || last < first) return false
    // Cheaper than looking at each when there cannot be enough.
    const holder = this.#machine.leases.holders.get(consumer)
    if (!holder || holder.inFlightCount < last - first + 1) return false
    for (let offset = first; offset <= last; offset++) if (this.#machine.holderOf(offset) !== consumer) return false
    return true
  }

  settle(consumer: ConsumerId, settlements: readonly Settlement[]): boolean {
    const sorted = settlements.toSorted((a, b) => a.first - b.first)
    let previous = -1
    for (const { first, last } of sorted) {
      if (first <= previous || !this.holds(consumer, first, last)) return false
      previous = last
    }
    this.#host.ledger.atomic(() => {
      const of = (outcome: Settlement['outcome']): Ranges => {
        const ranges = new Ranges()
        for (const step of sorted) if (step.outcome === outcome) ranges.add(step.first, step.last)
        return ranges
      }
      this.#settleRanges(cursorFacts.acked, of('ack'))
      this.#dropRanges(of('reject'), 'rejected')
      this.#returnRanges(of('release'), 'counted')
      for (const step of sorted) {
        if (step.outcome === 'extend') this.#extendRanges(new Ranges(step.first, step.last), step.leaseMs)
      }
    })
    return true
  }

  drop(first: number, last: number, reason: DropReason): number {
    const { next, pending } = this.#machine
    const ranges = new Ranges()
    const heir = this.heir?.(reason) ?? 0
    for (let offset = pending.nextPending(first); offset <= last; offset = pending.nextPending(offset + 1)) {
      if (heir === 0 || this.#machine.holderOf(offset) !== heir) ranges.add(offset, offset)
    }
    // What is ready is settled in order only, as it is taken.
    if (first <= next && last >= next) ranges.add(next, last)
    this.#dropRanges(ranges, reason)
    return ranges.count
  }

  pick(first: number, last: number): number {
    const machine = this.#machine
    const { floor } = machine
    if (first === last && (first === machine.next || machine.stateOf(first) === 'returned')) {
      this.#begin(cursorFacts.acked, -1)
      this.#range(first, first)
      this.#end()
      this.#tellFloor(floor)
      return 1
    }
    if (first > machine.next) this.#fact(cursorFacts.surfaced, [first])
    const { pending, next } = machine
    const ranges = new Ranges()
    for (let offset = pending.nextReturned(first); offset <= last; offset = pending.nextReturned(offset + 1)) {
      ranges.add(offset, offset)
    }
    if (last >= next) ranges.add(Math.max(first, next), last)
    return this.#settleRanges(cursorFacts.acked, ranges)
  }

  purge(end: number): number {
    const { pending, next } = this.#machine
    const ranges = new Ranges()
    for (let offset = pending.nextReturned(0); offset < end; offset = pending.nextReturned(offset + 1)) {
      ranges.add(offset, offset)
    }
    if (end > next) ranges.add(next, end - 1)
    this.#dropRanges(ranges, 'purged')
    return ranges.count
  }

  move(offset: number): void {
    const { floor } = this
    this.#fact(cursorFacts.moved, [offset])
    this.#tellFloor(floor)
    this.#tellReturned(offset)
  }

  stateOf(offset: number): MessageState {
    return this.#machine.stateOf(offset)
  }

  deliveryCount(offset: number): number {
    return this.#machine.deliveryCount(offset)
  }

  holder(offset: number): ConsumerId | undefined {
    const holder = this.#machine.holderOf(offset)
    return holder === 0 ? undefined : holder
  }

  pending(from = this.floor, to = this.next): Iterable<PendingRun> {
    return this.#machine.runs(from, to)
  }

  watch(watcher: CursorWatcher): () => void {
    this.#watchers = [...this.#watchers, watcher]
    return () => {
      this.#watchers = this.#watchers.filter(other => other !== watcher)
    }
  }

  /** The wheel says that a lease may have run out. For the wheel alone. */
  due(): void {
    this.#timer = noTimer
    this.#timerMs = Infinity
    if (this.#removed) return
    try {
      this.#expire()
    } catch (error) {
      // The cell has stopped: whoever owns it next will see to it.
      if (!(error instanceof Fenced)) throw error
    }
  }

  #expire(): void {
    const { leases } = this.#machine
    const offsets = leases.due(this.#host.leaseClockMs(), expiredPerTurnMax)
    const ranges = new Ranges()
    for (const offset of offsets) ranges.add(offset, offset, this.#machine.holderOf(offset))
    this.#returnRanges(ranges, 'expired')
    for (const watcher of this.#watchers) {
      if (!watcher.expired) continue
      for (let at = 0; at < ranges.length; at++) watcher.expired(ranges.tag(at), ranges.first(at), ranges.last(at))
    }
    this.#arm(leases.earliestDeadline())
  }

  /** Ranges of [first, last] that the consumer holds. */
  #heldBy(consumer: ConsumerId, first: number, last: number): Ranges {
    const { leases } = this.#machine
    const held = new Ranges()
    const holder = leases.holders.get(consumer)
    if (!holder || holder.newest < 0) return held
    if (last - first > 4 * holder.inFlightCount) {
      for (const offset of this.#offsetsOf(holder)) if (offset >= first && offset <= last) held.add(offset, offset)
      return held
    }
    const end = Math.min(last, this.next - 1)
    for (let offset = Math.max(first, this.floor); offset <= end; offset++) {
      if (this.#machine.holderOf(offset) === consumer) held.add(offset, offset)
    }
    return held
  }

  /** All that a consumer holds, ascending. */
  #offsetsOf(holder: Holder): Float64Array {
    const { leases } = this.#machine
    const offsets = new Float64Array(holder.inFlightCount)
    let count = 0
    for (let slot = holder.newest; slot >= 0; slot = leases.olderThan(slot)) offsets[count++] = leases.offsetOf(slot)
    return offsets.sort()
  }

  #exhaustedOf(holder: Holder): Ranges {
    const ranges = new Ranges()
    for (const offset of this.#offsetsOf(holder)) {
      if (this.#isExhausted(this.#machine.deliveryCount(offset))) ranges.add(offset, offset)
    }
    return ranges
  }

  #isExhausted(deliveryCount: number): boolean {
    return this.deliveryLimit > 0 && deliveryCount >= this.deliveryLimit
  }

  #returnRanges(ranges: Ranges, how: ReturnedHow): void {
    if (ranges.count === 0) return
    let back = ranges
    if (how !== 'uncounted' && this.deliveryLimit > 0) {
      back = new Ranges()
      const exhausted = new Ranges()
      for (const offset of ranges.offsets()) {
        const target = this.#isExhausted(this.#machine.deliveryCount(offset)) ? exhausted : back
        target.add(offset, offset)
      }
      this.#dropRanges(exhausted, 'delivery-limit')
    }
    if (back.count === 0) return
    this.#begin(cursorFacts.returned, returnedHow[how])
    for (let at = 0; at < back.length; at++) this.#range(back.first(at), back.last(at))
    this.#end()
    this.#tellReturned(lowestOf(back))
  }

  #extendRanges(ranges: Ranges, leaseMs: number): void {
    if (ranges.count === 0) return
    const deadlineMs = this.#deadline(leaseMs)
    this.#begin(cursorFacts.extended, deadlineMs)
    for (let at = 0; at < ranges.length; at++) this.#range(ranges.first(at), ranges.last(at))
    this.#end()
    this.#arm(deadlineMs)
  }

  #dropRanges(ranges: Ranges, reason: DropReason): void {
    const heir = ranges.count === 0 ? undefined : this.heir?.(reason)
    if (heir === undefined) return this.#discardRanges(ranges, reason)
    this.#begin(cursorFacts.acquired, heir, 0)
    for (let at = 0; at < ranges.length; at++) this.#range(ranges.first(at), ranges.last(at))
    this.#end()
    for (const watcher of this.#watchers) {
      for (let at = 0; at < ranges.length; at++) watcher.inherited?.(ranges.first(at), ranges.last(at), reason)
    }
  }

  #discardRanges(ranges: Ranges, reason: DropReason): void {
    this.#settleRanges(cursorFacts.dropped, ranges, dropReasons[reason])
    if (ranges.count === 0) return
    for (const watcher of this.#watchers) {
      for (let at = 0; at < ranges.length; at++) watcher.dropped?.(ranges.first(at), ranges.last(at), reason)
    }
  }

  #settleRanges(type: number, ranges: Ranges, head = -1): number {
    if (ranges.count === 0) return 0
    const { floor } = this
    this.#begin(type, head)
    for (let at = 0; at < ranges.length; at++) this.#range(ranges.first(at), ranges.last(at))
    this.#end()
    this.#tellFloor(floor)
    return ranges.count
  }

  #tellFloor(before: number): void {
    const { floor } = this
    if (floor !== before) for (const watcher of this.#watchers) watcher.floorMoved?.(floor)
  }

  #tellReturned(from: number): void {
    for (const watcher of this.#watchers) watcher.returned?.(from)
  }

  /** In milliseconds since 1970; 0: none. */
  #deadline(leaseMs: number | undefined): number {
    return leaseMs === undefined ? 0 : Math.max(1, Math.ceil(this.#host.leaseClockMs() + leaseMs))
  }

  #arm(deadlineMs: number): void {
    if (deadlineMs >= this.#timerMs) return
    const { wheel, leaseSkewMs } = this.#host
    wheel.cancel(this.#timer)
    this.#timerMs = deadlineMs
    this.#timer = wheel.at(deadlineMs - leaseSkewMs, this)
  }

  // Facts with ranges: `#begin`, `#range` in ascending order, `#end`. Too many ranges become several facts.
  #factType = 0
  #factHead = -1
  #factSecond = -1

  /** `head` and `second` come before the ranges; -1: nothing. */
  #begin(type: number, head: number, second = -1): void {
    this.#factType = type
    this.#factHead = head
    this.#factSecond = second
    this.#beginAgain()
  }

  #beginAgain(): void {
    writer.begin()
    if (this.#factHead >= 0) writer.number(this.#factHead)
    if (this.#factSecond >= 0) writer.number(this.#factSecond)
    writer.ranges(this.#machine.floor)
  }

  #range(first: number, last: number): void {
    if (writer.full) {
      this.#write(this.#factType)
      this.#beginAgain()
    }
    writer.range(first, last)
  }

  #end(): void {
    if (writer.count > 0) this.#write(this.#factType)
  }

  #fact(type: number, numbers: readonly number[]): void {
    writer.begin()
    for (const value of numbers) writer.number(value)
    this.#write(type)
  }

  #write(type: number): void {
    this.#seq = this.#host.ledger.fact(this.id, type, writer.take())
  }
}

const noRanges = new Ranges()

/** They need not ascend. */
function lowestOf(ranges: Ranges): number {
  let lowest = Infinity
  for (let at = 0; at < ranges.length; at++) lowest = Math.min(lowest, ranges.first(at))
  return lowest
}
