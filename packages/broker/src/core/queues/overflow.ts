import type { Cursor } from '../cursor/cursor.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'

interface OverflowOptions {
  cursor: Cursor
  cell: QueueStreams
  soon(run: () => void): void
  /** Whether there is too much, if so many of what waits were gone. */
  isOver(goneCount: number): boolean
  /** How many messages may be dropped now. */
  room(): number
  /** A message is about to be dropped. */
  left(record: RecordView): void
}

/** So many messages are dropped in one turn. */
const dropsPerTurnMax = 1024

/** Drops what waits longest while there is too much. */
export class Overflow {
  readonly #options: OverflowOptions
  readonly #reader: RecordReader
  #isReading = false
  #isScheduled = false
  #isClosed = false

  constructor(options: OverflowOptions) {
    this.#options = options
    this.#reader = new RecordReader(options.cell, options.cursor.stream)
  }

  /** There may be too much: what is in memory goes within this call. */
  look(): void {
    if (this.#isReading || this.#isClosed || !this.#options.isOver(0)) return
    const max = Math.min(dropsPerTurnMax, this.#options.room())
    let count = 0
    while (count < max && this.#options.isOver(0)) {
      const dropped = this.#drop(max - count)
      if (dropped === 0) break
      count += dropped
    }
    if (count > 0 && count === max) this.#later()
    else if (!this.#isReading) this.#reader.clear()
  }

  close(): void {
    this.#isClosed = true
    this.#reader.clear()
  }

  /** Neighbours at the head, up to so many; returns how many. 0: none can go now. */
  #drop(max: number): number {
    const { cursor, cell, isOver, left } = this.#options
    const first = cursor.nextAvailable()
    const end = cell.bounds(cursor.stream)?.endOffset ?? 0
    let next = first
    while (next - first < max && next < end && cursor.nextAvailable(next) === next && isOver(next - first)) {
      const found = this.#reader.find(next)
      if (found === 'unread') break
      if (found === 'found') left(this.#reader.record)
      next++
    }
    if (next > first) cursor.drop(first, next - 1, 'over-length')
    else if (first < end) return this.#read(first) ? this.#drop(max) : 0
    return next - first
  }

  /** Whether it is there at once. What cannot be read is tried again when something comes. */
  #read(offset: number): boolean {
    this.#isReading = true
    const isThere = this.#reader.read(offset, false, error => {
      this.#isReading = false
      if (error === undefined) this.#later()
    })
    if (isThere) this.#isReading = false
    return isThere
  }

  #later(): void {
    if (this.#isScheduled || this.#isClosed) return
    this.#isScheduled = true
    this.#options.soon(() => {
      this.#isScheduled = false
      this.look()
    })
  }
}
