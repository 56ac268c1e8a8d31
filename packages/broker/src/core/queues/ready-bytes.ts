import type { Cursor } from '../cursor/cursor.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import type { Gate } from './gate.ts'

interface ReadyBytesOptions {
  cursor: Cursor
  cell: QueueStreams
  /** Offsets of all that may wait at present, ascending. */
  present(): readonly Stretch[]
  soon(run: () => void): void
  /** Through which those go who read what is stored. */
  gate: Gate
  /** All is counted. */
  counted(): void
}

/** Offsets of [from, to). */
export interface Stretch {
  from: number
  to: number
}

/** So many messages are counted in one turn. */
const countedPerTurnMax = 1024

const bodyBytes = ({ valueBytes }: RecordView): number => Math.max(0, valueBytes)

/**
 * Bytes of the bodies of messages that wait, without memory for each: what comes and goes is added and subtracted when it passes by. What was there
 * before this start has to be read once, which is done when somebody needs the figure; until then it is estimated from what is stored.
 *
 * Invariant: `#counted` is the sum over all messages that wait but those of the stretches in `#unread`.
 */
export class ReadyBytes {
  readonly #options: ReadyBytesOptions
  readonly #reader: RecordReader
  #counted = 0
  #unread: Stretch[] = []
  #isRunning = false
  /** It has gone through the gate, or waits before it. */
  #isCounting = false
  #isClosed = false

  constructor(options: ReadyBytesOptions) {
    const { cursor, cell } = options
    this.#options = options
    this.#reader = new RecordReader(cell, cursor.stream)
    // What comes back was weighed when it was given out, in this life.
    cursor.givenBack = (offset, bytes) => {
      if (this.#isCounted(offset)) this.#counted += bytes
    }
    this.#unread = this.#waiting()
  }

  /** Whether `bytes` is more than an estimate. */
  get isExact(): boolean {
    return this.#unread.length === 0
  }

  get bytes(): number {
    if (this.isExact) return Math.max(0, this.#counted)
    const { cursor, cell, present } = this.#options
    let stored = 0
    for (const { from, to } of present()) stored += to - from
    let left = 0
    for (const { from, to } of this.#unread) left += to - from
    return Math.max(0, Math.round(this.#counted + (left * cell.sizeBytes(cursor.stream)) / Math.max(stored, left)))
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

  /** Messages of so many bytes, of which `offset` is the first, no longer wait, and nobody holds them. */
  picked(offset: number, bytes: number): void {
    if (this.#isCounted(offset)) this.#counted -= bytes
  }

  /** Nothing waits any more, durable or not. */
  purged(): void {
    this.#counted = 0
    // Who is reading finds that there is nothing left to count.
    this.#unread = []
  }

  /** Reads what is not counted yet, in later turns. */
  count(): void {
    if (this.isExact || this.#isCounting || this.#isClosed) return
    this.#isCounting = true
    this.#options.gate.enter(() => this.#goOn())
  }

  close(): void {
    this.#isClosed = true
    this.#options.cursor.givenBack = undefined
    this.#reader.clear()
    if (this.#isRunning) this.#done()
  }

  /** Others may. */
  #done(): void {
    this.#isRunning = this.#isCounting = false
    this.#options.gate.leave()
  }

  #goOn(): void {
    this.#isRunning = true
    if (this.#isClosed) return this.#done()
    this.#options.soon(() => this.#turn())
  }

  /** Stretches that begin with something that waits. */
  #waiting(): Stretch[] {
    const { cursor, present } = this.#options
    return present()
      .map(({ from, to }) => ({ from: cursor.nextAvailable(from), to }))
      .filter(({ from, to }) => from < to)
  }

  #isCounted(offset: number): boolean {
    for (const { from, to } of this.#unread) if (offset >= from && offset < to) return false
    return true
  }

  #turn(): void {
    if (this.#isClosed) return
    for (let left = countedPerTurnMax; left > 0 && !this.isExact; left--) if (!this.#step()) return
    if (!this.isExact) return this.#goOn()
    this.#reader.clear()
    this.#done()
    this.#options.counted()
  }

  /** Counts the next message that waits. False: it has to be read first. */
  #step(): boolean {
    const stretch = this.#unread[0]
    if (!stretch) return true
    const at = this.#options.cursor.nextAvailable(stretch.from)
    if (at >= stretch.to) {
      this.#unread.shift()
      return true
    }
    const found = this.#reader.find(at)
    if (found === 'unread') return this.#read(at, stretch)
    if (found === 'found') this.#counted += bodyBytes(this.#reader.record)
    stretch.from = at + 1
    return true
  }

  #read(offset: number, stretch: Stretch): boolean {
    return this.#reader.read(offset, true, error => {
      if (this.#isClosed) return
      // What cannot be read weighs nothing: who consumes it will hear of it.
      if (error !== undefined) stretch.from = offset + 1
      this.#goOn()
    })
  }
}
