import type { CellClient } from '../../cell/client.ts'
import type { ConsumerId, Cursor } from '../cursor/cursor.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { asideName } from './facts.ts'
import type { LaneState, MessageNumber, Note } from './machine.ts'

/** A message that somebody looked at. Bytes are its own. */
export interface FoundMessage {
  readonly timestampMs: number
  readonly value: Buffer
  readonly envelope: Buffer | undefined
}

/** The stream is trimmed each time that so many more messages at its beginning are settled. */
const trimEvery = 4096
/** So many messages are passed over in one turn to get to one behind them. */
const passedPerTurn = 4096

/** One stream of a queue while the broker runs. */
export class Lane {
  readonly state: LaneState
  readonly cursor: Cursor
  readonly reader: RecordReader
  isReading = false
  readonly #cell: CellClient
  readonly #soon: (run: () => void) => void
  #aside = 0
  #trimmedTo: number

  constructor(state: LaneState, cursor: Cursor, cell: CellClient, soon: (run: () => void) => void) {
    this.state = state
    this.cursor = cursor
    this.reader = new RecordReader(cell, state.stream, false, 'reused')
    this.#cell = cell
    this.#soon = soon
    this.#trimmedTo = cursor.floor
  }

  /** Holds what is not to be given out. */
  get aside(): ConsumerId {
    if (this.#aside === 0) {
      const { cursor } = this
      this.#aside = cursor.consumerNamed(asideName) ?? cursor.join(asideName, 'lasting')
    }
    return this.#aside
  }

  isAside(offset: number): boolean {
    const holder = this.cursor.holder(offset)
    return holder !== undefined && holder === this.aside
  }

  get visibleEnd(): number {
    return this.#cell.bounds(this.state.stream)?.endOffset ?? 0
  }
  /** Behind all that was appended, durable or not. */
  get end(): number {
    return this.visibleEnd + this.#cell.unsettled(this.state.stream)
  }
  get readyCount(): number {
    return Math.max(0, this.visibleEnd - this.cursor.next) + this.cursor.returnedCount
  }
  get isEmpty(): boolean {
    const { cursor } = this
    return cursor.inFlightCount + cursor.returnedCount === 0 && cursor.next >= this.end
  }

  /** The first offset that can be taken; -1 when there is none. */
  head(): number {
    const offset = this.cursor.nextAvailable()
    return offset < this.visibleEnd ? offset : -1
  }

  /** There is nothing to give out in its order: an idle queue has no memory for bodies. */
  rest(): void {
    // What has a history may have been read just now, to be given out before its turn.
    if (!this.isReading && this.reader.bytes > 0 && this.state.notes.size === 0) this.reader.clear()
  }

  numberOf(offset: number): MessageNumber | undefined {
    return this.state.numberOf(offset)
  }

  noteOf(offset: number): Note | undefined {
    return this.state.notes.get(offset)
  }

  take(consumer: ConsumerId, offset: number, leaseMs?: number): boolean {
    const { cursor } = this
    if (cursor.stateOf(offset) === 'in-flight') return cursor.claim(consumer, offset, offset, leaseMs) === 1
    return cursor.acquire(consumer, { max: 1, from: offset, to: offset + 1, leaseMs }, noSink) === 1
  }

  /** Makes what lies before the offset wait as if it had been given back, so that this one can be taken out of turn. */
  reach(offset: number, done: () => void): void {
    const { cursor } = this
    const from = cursor.next
    if (from >= offset) return done()
    const to = Math.min(offset, from + passedPerTurn)
    cursor.acquire(this.aside, { max: to - from, from, to }, noSink)
    cursor.release(this.aside, from, to - 1, 'uncounted')
    if (to === offset) done()
    else this.#soon(() => this.reach(offset, done))
  }

  /** Reads one message without disturbing who reads in order. Undefined when it is not there. */
  look(offset: number, done: (found: FoundMessage | undefined) => void): void {
    const reader = new RecordReader(this.#cell, this.state.stream)
    const tell = (error?: ReadError): void => {
      done(error === undefined && reader.find(offset) === 'found' ? copyOf(reader.record) : undefined)
    }
    if (offset >= this.visibleEnd) done(undefined)
    else if (reader.read(offset, false, tell)) tell()
  }

  trim(floor: number): void {
    if (floor - this.#trimmedTo < trimEvery) return
    this.#trimmedTo = floor
    // When the cell closes before it is done, the next start does it.
    this.#cell.trim(this.state.stream, floor).catch(() => {})
  }
}

function copyOf(record: RecordView): FoundMessage {
  const { timestampMs, value } = record
  const envelope = envelopeOf(record)
  return { timestampMs, value: Buffer.from(value ?? ''), envelope: envelope && Buffer.from(envelope) }
}

/** The producer's own properties, where the message has any. */
export function envelopeOf(record: RecordView): Buffer | undefined {
  return record.envelope ?? undefined
}

const noSink = { run: (): void => {} }
