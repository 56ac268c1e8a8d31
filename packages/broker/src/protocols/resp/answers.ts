import type { Broker } from '../../core/broker.ts'
import type { Outbox } from '../protocol.ts'
import { ReplyWriter } from './reply.ts'

/** Answers that leave together, when block `seq` is durable; -1: there is nothing to wait for. */
interface Segment {
  readonly seq: number
  readonly parts: Buffer[]
  readonly bytes: number
  readonly sent: (() => void) | undefined
}

/**
 * Answers on their way out, in their order. Those of one chunk of commands wait together for the newest block that any of them depends on.
 *
 * Invariant: `#segments` is what was written and has not left; each waits for its own block or one before it in the list.
 */
export class Answers {
  readonly reply = new ReplyWriter()
  readonly #broker: Broker
  readonly #outbox: Outbox
  #segments: Segment[] = []
  #askedSeq = -1
  #seq = -1
  #isClosed = false

  constructor(broker: Broker, outbox: Outbox) {
    this.#broker = broker
    this.#outbox = outbox
  }

  get waitingCount(): number {
    return this.#segments.length
  }
  /** Bytes that wait for their block, or for what is before them. */
  waitingBytes = 0

  /** What is written now must not leave before that block is durable. */
  durableWith(seq: number): void {
    if (seq > this.#seq) this.#seq = seq
  }

  /** What was written may leave. */
  flush(): void {
    if (this.reply.length === 0 || this.#isClosed) return
    const bytes = this.reply.length
    const parts = this.reply.take()
    const sent = this.reply.sent()
    const seq = this.#seq
    this.#seq = -1
    if (this.#segments.length === 0 && seq <= this.#broker.cell.position) {
      this.#outbox.write(parts, sent)
      return
    }
    this.#push({ seq, parts, bytes, sent })
    if (seq <= this.#askedSeq) return
    this.#askedSeq = seq
    this.#broker.ledger.whenDurable(seq, this.#durable, seq)
  }

  /** Calls `run` when all that was written has been handed on. */
  whenSent(run: () => void): void {
    this.flush()
    const last = this.#segments.at(-1)
    if (last) this.#broker.ledger.whenDurable(Math.max(last.seq, this.#askedSeq), run, undefined)
    else run()
  }

  /** Something that is no answer, now if nothing is before it. */
  deliver(bytes: Buffer): void {
    if (this.#isClosed) return
    if (this.reply.length > 0) return this.reply.always(() => this.reply.raw(bytes))
    if (this.#segments.length === 0) this.#outbox.write([bytes])
    else this.#push({ seq: -1, parts: [bytes], bytes: bytes.length, sent: undefined })
  }

  #push(segment: Segment): void {
    this.#segments.push(segment)
    this.waitingBytes += segment.bytes
  }

  close(): void {
    this.#isClosed = true
    this.#segments = []
    this.waitingBytes = 0
  }

  readonly #durable = (seq: number): void => {
    if (this.#isClosed) return
    const segments = this.#segments
    let count = 0
    for (; count < segments.length && segments[count]!.seq <= seq; count++) {
      const { parts, bytes, sent } = segments[count]!
      this.#outbox.write(parts, sent)
      this.waitingBytes -= bytes
    }
    if (count === 0) return
    if (count === segments.length) this.#segments = []
    else segments.splice(0, count)
    this.#outbox.progress()
  }
}
