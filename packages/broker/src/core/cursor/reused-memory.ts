/** Larger contents get memory of their own, which is not kept. */
const keptBytesMax = 1024 * 1024
const bytesMin = 16 * 1024

/** What nobody uses at present: there are many readers, and few that read at a time. */
const spare: Buffer[] = []
const spareMax = 8

/** Memory for one content after the other: a new one takes the place of the one before. */
export class ReusedMemory {
  #bytes: Buffer | undefined

  /** The parts, one behind the other; valid until the next call, or until the memory is given back. */
  concat(parts: readonly Buffer[]): Buffer {
    let length = 0
    for (const part of parts) length += part.length
    if (length > keptBytesMax) return Buffer.concat(parts, length)
    if (!this.#bytes || this.#bytes.length < length) {
      this.giveBack()
      this.#bytes = memoryFor(length)
    }
    let at = 0
    for (const part of parts) at += part.copy(this.#bytes, at)
    return this.#bytes.subarray(0, length)
  }

  /** What was returned last is of no use any more. */
  giveBack(): void {
    if (this.#bytes && spare.length < spareMax) spare.push(this.#bytes)
    this.#bytes = undefined
  }
}

function memoryFor(length: number): Buffer {
  const found = spare.findIndex(bytes => bytes.length >= length)
  if (found >= 0) return spare.splice(found, 1)[0]!
  let size = bytesMin
  while (size < length) size *= 2
  return Buffer.allocUnsafeSlow(size)
}
