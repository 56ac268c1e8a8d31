import type { Cursor } from '../cursor/cursor.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import { unlessFenced } from '../refusals.ts'
import { noTimer, type TimerTarget, type TimerWheel } from '../timers/wheel.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'

export interface ExpiryHost {
  readonly cell: QueueStreams
  readonly wheel: TimerWheel
  nowMs(): number
  monotonicMs(): number
  soon(run: () => void): void
}

export interface ExpiryOptions {
  cursor: Cursor
  host: ExpiryHost
  /** Milliseconds until the message is too old; 0 and less: it is. Infinity: it never is. */
  leftMs(record: RecordView): number
  /** How many messages may be dropped now; when it is 0, `goOn` is called as soon as it is more. */
  room(): number
  /** A message is about to be dropped. */
  left(record: RecordView): void
}

/** So many messages are dropped in one turn. */
const dropsPerTurnMax = 1024
/** When its time cannot be found out, it is tried again after this. */
const retryMs = 1000
/** No timer is set for longer: clocks may be changed. */
const lookMsMax = 24 * 3600 * 1000

/**
 * Drops what waits too long at the head of a queue, whether or not somebody consumes. Only the head is looked at: what is behind it waits, however
 * old it is, until it comes to the head.
 */
export class Expiry implements TimerTarget {
  readonly #options: ExpiryOptions
  readonly #reader: RecordReader
  #timer = noTimer
  /** What the timer is for; -1: for whatever is there then. */
  #head = -1
  #dueMs = 0
  #isReading = false
  #isScheduled = false
  #isClosed = false

  constructor(options: ExpiryOptions) {
    this.#options = options
    this.#reader = new RecordReader(options.host.cell, options.cursor.stream)
  }

  /** The head may be another one, or may have another time. `afterMs`: that is soon enough. */
  look(afterMs = 0): void {
    if (this.#isReading || this.#isClosed) return
    const { cursor, host } = this.#options
    const isKnown = this.#head < 0 ? this.#dueMs <= host.monotonicMs() + afterMs : this.#head === cursor.nextAvailable()
    if (this.#timer === noTimer || !isKnown) this.#set(afterMs, -1)
  }

  /** There is room again. */
  goOn(): void {
    if (!this.#isReading && !this.#isClosed) this.#later()
  }

  /** What is known of the head is not true any more: times were changed. */
  changed(): void {
    if (!this.#isReading && !this.#isClosed) this.#set(0, -1)
  }

  /** For the wheel alone. */
  due(): void {
    this.#timer = noTimer
    unlessFenced(() => this.#turn())
  }

  #turn(): void {
    if (this.#isReading || this.#isClosed) return
    const max = Math.min(dropsPerTurnMax, this.#options.room())
    if (max > 0) this.#sweep(max)
  }

  close(): void {
    this.#isClosed = true
    this.#options.host.wheel.cancel(this.#timer)
    this.#reader.clear()
  }

  #set(afterMs: number, head: number): void {
    const { wheel, monotonicMs } = this.#options.host
    wheel.cancel(this.#timer)
    this.#head = head
    this.#dueMs = monotonicMs() + Math.min(afterMs, lookMsMax)
    this.#timer = wheel.at(this.#dueMs, this)
  }

  /** Drops what is too old at the head, up to so many; and goes on in a later turn, or when it is time. */
  #sweep(max: number): void {
    const { cursor, host } = this.#options
    const end = host.cell.bounds(cursor.stream)?.endOffset ?? 0
    const first = cursor.nextAvailable()
    if (first >= end) return this.#reader.clear()
    let next = first
    // Neighbours go together.
    while (next - first < max && next < end && cursor.nextAvailable(next) === next && this.#leftMs(next) <= 0) {
      this.#options.left(this.#reader.record)
      next++
    }
    if (next > first) cursor.drop(first, next - 1, 'expired')
    else if (this.#reader.find(first) === 'unread') return this.#read(first)
    else if (this.#reader.find(first) === 'absent') cursor.drop(first, first, 'gap')
    else return this.#wait(first)
    this.#later()
  }

  /** Until the message is too old; Infinity, too, when that is not known. */
  #leftMs(offset: number): number {
    return this.#reader.find(offset) === 'found' ? this.#options.leftMs(this.#reader.record) : Infinity
  }

  #wait(head: number): void {
    const leftMs = this.#leftMs(head)
    this.#reader.clear()
    if (leftMs !== Infinity) this.#set(leftMs, head)
  }

  #read(offset: number): void {
    this.#isReading = true
    const isThere = this.#reader.read(offset, true, error => {
      this.#isReading = false
      if (this.#isClosed) return
      if (error === undefined) this.#later()
      else this.#set(retryMs, -1)
    })
    if (!isThere) return
    this.#isReading = false
    this.#later()
  }

  #later(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#options.host.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }
}
