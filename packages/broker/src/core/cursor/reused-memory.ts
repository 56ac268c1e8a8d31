/** Larger contents get memory of their own, which is not kept. */
const keptBytesMax = 1024 * 1024
const bytesMin = 16 * 1024

/** Memory for one content after the other: a new one takes the place of the one before. */
export class ReusedMemory {
  #bytes: Buffer | undefined

  /** The parts, one behind the other; valid until the next call. */
  concat(parts: readonly Buffer[]): Buffer {
    let length = 0
    for (const part of parts) length += part.length
    if (length > keptBytesMax) return Buffer.concat(parts, length)
    if (!this.#bytes || this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(sizeFor(length))
    let at = 0
    for (const part of parts) at += part.copy(this.#bytes, at)
    return this.#bytes.subarray(0, length)
  }

  /** What was returned last stays as it is. */
  forget(): void {
    this.#bytes = undefined
  }
}

function sizeFor(length: number): number {
  let size = bytesMin
  while (size < length) size *= 2
  return size
}
