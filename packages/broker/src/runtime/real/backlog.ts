const blockBytesMin = 4 * 1024
const blockBytesMax = 64 * 1024
/** Larger parts lie in memory of their own anyway. */
const ownPartBytes = 32 * 1024

/**
 * What waits for a peer that takes less than it is given, in blocks. It takes as much memory as it is large: alone, each small part would keep what
 * surrounds it in its buffer, and cost more in objects than in bytes.
 */
export class Backlog {
  readonly #blocks: Uint8Array[] = []
  #open: Buffer | undefined
  #start = 0
  #filled = 0
  #blockBytes = blockBytesMin

  add(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      if (part.length < ownPartBytes) this.#copy(part)
      else {
        this.#close()
        this.#blocks.push(part)
      }
    }
  }

  /** The oldest block; undefined when nothing waits. */
  take(): Uint8Array | undefined {
    if (this.#blocks.length === 0) this.#close()
    return this.#blocks.shift()
  }

  #copy(part: Uint8Array): void {
    for (let at = 0; at < part.length;) {
      const open = (this.#open ??= Buffer.allocUnsafeSlow(this.#blockBytes))
      const bytes = Math.min(part.length - at, open.length - this.#filled)
      open.set(part.subarray(at, at + bytes), this.#filled)
      this.#filled += bytes
      at += bytes
      if (this.#filled < open.length) continue
      this.#close()
      this.#blockBytes = Math.min(blockBytesMax, 2 * this.#blockBytes)
    }
  }

  /** What was filled since is a block. */
  #close(): void {
    const open = this.#open
    if (!open || this.#filled === this.#start) return
    this.#blocks.push(open.subarray(this.#start, this.#filled))
    this.#start = this.#filled
    if (this.#filled < open.length) return
    this.#open = undefined
    this.#start = this.#filled = 0
  }
}
