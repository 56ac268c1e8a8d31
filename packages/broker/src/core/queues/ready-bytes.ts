import type { Cursor } from '../cursor/cursor.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'

interface ReadyBytesOptions {
  cursor: Cursor
  cell: QueueStreams
  soon(run: () => void): void
  /** All is counted. */
  counted(): void
}

/** So many messages are counted in one turn. */
const countedPerTurnMax = 1024

export const bodyBytes = ({ valueBytes }: RecordView): number => Math.max(0, valueBytes)

/**
 * Bytes of the bodies of messages that wait, without memory for each: what comes and goes is added and subtracted when it passes by. What was there
 * before this start has to be read once, which is done when somebody needs the figure; until then it is estimated from what is stored.
 *
 * Invariant: `#counted` is the sum over all messages that wait but those of [`#from`, `#to`), which are still to be read.
 */
export class ReadyBytes {
  readonly #options: ReadyBytesOptions
  readonly #reader: RecordReader
  #counted = 0
  #from: number
  #to: number
  #isRunning = false
  #isClosed = false

  constructor(options: ReadyBytesOptions) {
    const { cursor, cell } = options
    this.#options = options
    this.#reader = new RecordReader(cell, cursor.stream)
    this.#from = cursor.floor
    this.#to = cell.bounds(cursor.stream)?.endOffset ?? 0
    // What comes back was weighed when it was given out, in this life.
    cursor.givenBack = (offset, bytes) => {
      if (this.#isCounted(offset)) this.#counted += bytes
    }
    if (this.#left === 0) this.#from = this.#to
  }

  /** Whether `bytes` is more than an estimate. */
  get isExact(): boolean {
    return this.#from >= this.#to
  }

  get bytes(): number {
    if (this.isExact) return Math.max(0, this.#counted)
    const { cursor, cell } = this.#options
    const bounds = cell.bounds(cursor.stream)
    const stored = bounds ? Math.max(1, bounds.endOffset - bounds.startOffset) : 1
    return Math.max(0, Math.round(this.#counted + (this.#left * cell.sizeBytes(cursor.stream)) / stored))
  }

  /** A message has come. */
  added(bytes: number): void {
    this.#counted += bytes
  }

  /** A message no longer waits; if somebody holds it now, its weight is kept. */
  left(record: RecordView): void {
    const bytes = bodyBytes(record)
    if (this.#isCounted(record.offset)) this.#counted -= bytes
    this.#options.cursor.weigh(record.offset, bytes)
  }

  /** Nothing waits any more, durable or not. */
  purged(): void {
    this.#counted = 0
    this.#from = this.#to
    this.#reader.clear()
  }

  /** Messages have gone that nobody has looked at: what is left must be counted. */
  lost(): void {
    const { cursor, cell } = this.#options
    this.#from = cursor.floor
    this.#to = cell.bounds(cursor.stream)?.endOffset ?? 0
    this.#counted = 0
    this.count()
  }

  /** Reads what is not counted yet, in later turns. */
  count(): void {
    if (this.isExact || this.#isRunning || this.#isClosed) return
    this.#isRunning = true
    this.#options.soon(() => this.#turn())
  }

  close(): void {
    this.#isClosed = true
    this.#options.cursor.givenBack = undefined
    this.#reader.clear()
  }

  /** Of the messages that are not counted yet, how many wait. */
  get #left(): number {
    const { next, returnedCount } = this.#options.cursor
    return Math.max(0, this.#to - Math.max(this.#from, next)) + (this.#from < next ? returnedCount : 0)
  }

  #isCounted(offset: number): boolean {
    return offset < this.#from || offset >= this.#to
  }

  #turn(): void {
    this.#isRunning = false
    if (this.#isClosed) return
    for (let left = countedPerTurnMax; left > 0 && !this.isExact; left--) if (!this.#step()) return
    if (!this.isExact) return this.count()
    this.#reader.clear()
    this.#options.counted()
  }

  /** Counts the next message that waits. False: it has to be read first. */
  #step(): boolean {
    const at = this.#options.cursor.nextAvailable(this.#from)
    if (at >= this.#to) {
      this.#from = this.#to
      return true
    }
    const found = this.#reader.find(at)
    if (found === 'unread') return this.#read(at)
    if (found === 'found') this.#counted += bodyBytes(this.#reader.record)
    this.#from = at + 1
    return true
  }

  #read(offset: number): boolean {
    this.#isRunning = true
    const isThere = this.#reader.read(offset, true, error => {
      this.#isRunning = false
      if (this.#isClosed) return
      // What cannot be read weighs nothing: who consumes it will hear of it.
      if (error !== undefined) this.#from = offset + 1
      this.count()
    })
    if (isThere) this.#isRunning = false
    return isThere
  }
}
