import { keptCopy } from './kept-copy.ts'

const blockBytes = 16 * 1024
/** Larger ones get memory of their own: that costs less than it copies. */
const sharedBytesMax = 2 * 1024

/**
 * Copies of what is kept long and comes in great numbers, in blocks that nothing else lies in: memory of its own for each would cost more than
 * the bytes. A block stays as long as one of its copies does.
 */
export class KeptTogether {
  #block = Buffer.alloc(0)
  #filled = 0

  copy(bytes: Uint8Array): Buffer {
    const { length } = bytes
    if (length > sharedBytesMax) return keptCopy(bytes)
    if (this.#filled + length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(blockBytes)
      this.#filled = 0
    }
    const copy = this.#block.subarray(this.#filled, this.#filled + length)
    copy.set(bytes)
    this.#filled += length
    return copy
  }
}
