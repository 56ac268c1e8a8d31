import type { Broker } from '../../core/broker.ts'

/** What is told when a block is durable. */
interface Waiting {
  readonly seq: number
  /** Whole frames. */
  text: string
  count: number
}

/** Tells clients that what they asked for is done, block by block. */
export class Receipts {
  readonly #broker: Broker
  readonly #write: (frames: Buffer) => void
  #newest: Waiting | undefined
  /** Those that are not told yet, and their bytes. */
  pendingCount = 0
  pendingBytes = 0

  constructor(broker: Broker, write: (frames: Buffer) => void) {
    this.#broker = broker
    this.#write = write
  }

  /** `id` is as the client wrote it: it is written as frames of its version have it. */
  after(seq: number, id: string): void {
    const frame = this.#add(id)
    const newest = this.#newest
    if (newest?.seq === seq) {
      newest.text += frame
      newest.count++
      return
    }
    this.#newest = { seq, text: frame, count: 1 }
    this.#broker.router.whenDurable(seq, this.#tell, this.#newest)
  }

  /** When all is durable that was decided until now. */
  afterAll(id: string): void {
    const waiting = { seq: -1, text: this.#add(id), count: 1 }
    this.#broker.work.whenDurable(() => this.#tell(waiting))
  }

  #add(id: string): string {
    const frame = frameOf(id)
    this.pendingCount++
    this.pendingBytes += frame.length
    return frame
  }

  readonly #tell = (waiting: Waiting): void => {
    if (this.#newest === waiting) this.#newest = undefined
    this.pendingCount -= waiting.count
    this.pendingBytes -= waiting.text.length
    this.#write(Buffer.from(waiting.text))
  }
}

const frameOf = (id: string): string => `RECEIPT\nreceipt-id:${id}\n\n\0`
