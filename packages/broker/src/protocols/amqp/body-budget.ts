import { AmqpException } from './errors.ts'

/** Bytes of messages that one connection's channels keep in memory: those that are not whole yet, and those that wait for a commit. */
export class BodyBudget {
  readonly #messageBytesMax: number
  #bytes = 0

  /** All channels together may keep twice as much as one message may have. */
  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** Throws `AmqpException` when that is too much. */
  take(bytes: number): void {
    const max = 2 * this.#messageBytesMax + allowance
    if (this.#bytes + bytes > max) {
      const explanation = `unfinished messages and transactions of the connection would take more than ${max} bytes`
      throw new AmqpException('resourceError', explanation)
    }
    this.#bytes += bytes
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** For small limits, and what messages cost besides their bytes. */
const allowance = 16 * 1024 * 1024
