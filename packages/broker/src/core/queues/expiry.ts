import type { Cursor } from '../cursor/cursor.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import { noTimer, type TimerTarget, type TimerWheel } from '../timers/wheel.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'

export interface ExpiryHost {
  readonly cell: QueueStreams
  readonly wheel: TimerWheel
  nowMs(): number
  monotonicMs(): number
  soon(run: () => void): void
}

/** So many messages are dropped in one turn. */
const dropsPerTurnMax = 256
/** When its time cannot be found out, it is tried again after this. */
const retryMs = 1000

/**
 * Drops what waits too long at the head of a queue, whether or not somebody consumes. Only the head is looked at: what is behind it is
 * younger, and what was returned is looked at when it comes to the head.
 */
export class Expiry implements TimerTarget {
  readonly #cursor: Cursor
  readonly #ttlMs: number
  readonly #host: ExpiryHost
  readonly #reader: RecordReader
  readonly #unwatch: (() => void)[]
  #timer = noTimer
  #isReading = false
  #isClosed = false

  constructor(cursor: Cursor, ttlMs: number, host: ExpiryHost) {
    this.#cursor = cursor
    this.#ttlMs = ttlMs
    this.#host = host
    this.#reader = new RecordReader(host.cell, cursor.stream)
    // What is appended is younger than the head; what is returned may be older.
    const grown = (): void => {
      if (this.#timer === noTimer) this.#look(0)
    }
    this.#unwatch = [host.cell.watch(cursor.stream, false, grown), cursor.watch({ returned: () => this.#look(0) })]
    grown()
  }

  due(): void {
    this.#timer = noTimer
    if (this.#isReading || this.#isClosed) return
    for (let left = dropsPerTurnMax; left > 0; left--) if (!this.#step()) return
    this.#host.soon(() => this.due())
  }

  close(): void {
    this.#isClosed = true
    this.#host.wheel.cancel(this.#timer)
    for (const unwatch of this.#unwatch) unwatch()
    this.#reader.clear()
  }

  #look(afterMs: number): void {
    const { wheel } = this.#host
    wheel.cancel(this.#timer)
    this.#timer = wheel.at(this.#host.monotonicMs() + afterMs, this)
  }

  /** Whether the head was dropped; else it is known when to look again, or will be. */
  #step(): boolean {
    const cursor = this.#cursor
    const head = cursor.nextAvailable()
    const end = this.#host.cell.bounds(cursor.stream)?.endOffset ?? 0
    if (head >= end) {
      this.#reader.clear()
      return false
    }
    const found = this.#reader.find(head)
    if (found === 'unread') return this.#read(head)
    const leftMs = found === 'found' ? this.#reader.record.timestampMs + this.#ttlMs - this.#host.nowMs() : 0
    if (leftMs > 0) {
      this.#reader.clear()
      this.#look(leftMs)
      return false
    }
    cursor.drop(head, head, found === 'found' ? 'expired' : 'gap')
    return true
  }

  /** Whether it is there at once. */
  #read(offset: number): boolean {
    this.#isReading = true
    const isThere = this.#reader.read(offset, true, error => {
      this.#isReading = false
      if (!this.#isClosed) this.#look(error === undefined ? 0 : retryMs)
    })
    if (isThere) this.#isReading = false
    return isThere
  }
}
