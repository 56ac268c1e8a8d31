import { alignBlock, blockAlignment } from './scan.ts'
import type { Slab } from './slab.ts'

/**
 * Blocks that are durable and whose facts are in no checkpoint yet, oldest first, with the slabs in which they lie. Two numbers for each block,
 * in a ring, and no object.
 */
export class KeptBlocks {
  #seqs = new Float64Array(256)
  #sizes = new Uint32Array(256)
  #first = 0
  #count = 0
  /** Each held once, with the number of the last block in it. */
  readonly #slabs: { readonly slab: Slab; lastSeq: number }[] = []
  #bytes = 0
  #pages = 0

  get bytes(): number {
    return this.#bytes
  }

  /** What they take where each begins a page of its own. */
  get pageBytes(): number {
    return this.#pages * blockAlignment
  }

  /** `slabs` were held for this block: they are released with it. */
  add(seq: number, bytes: number, slabs: readonly Slab[]): void {
    if (this.#count === this.#seqs.length) this.#grow()
    const index = (this.#first + this.#count++) % this.#seqs.length
    this.#seqs[index] = seq
    this.#sizes[index] = bytes
    this.#bytes += bytes
    this.#pages += pagesOf(bytes)
    for (const slab of slabs) {
      const last = this.#slabs.at(-1)
      if (last?.slab === slab) {
        last.lastSeq = seq
        slab.release()
      } else {
        this.#slabs.push({ slab, lastSeq: seq })
      }
    }
  }

  /** Those up to `seq` go. */
  release(seq: number): void {
    while (this.#count > 0 && this.#seqs[this.#first]! <= seq) {
      const bytes = this.#sizes[this.#first]!
      this.#bytes -= bytes
      this.#pages -= pagesOf(bytes)
      this.#first = (this.#first + 1) % this.#seqs.length
      this.#count--
    }
    let released = 0
    while (released < this.#slabs.length && this.#slabs[released]!.lastSeq <= seq)
      this.#slabs[released++]!.slab.release()
    this.#slabs.splice(0, released)
  }

  #grow(): void {
    const { length } = this.#seqs
    const [seqs, sizes] = [new Float64Array(length * 2), new Uint32Array(length * 2)]
    for (let index = 0; index < this.#count; index++) {
      const from = (this.#first + index) % length
      seqs[index] = this.#seqs[from]!
      sizes[index] = this.#sizes[from]!
    }
    this.#seqs = seqs
    this.#sizes = sizes
    this.#first = 0
  }
}

const pagesOf = (bytes: number): number => alignBlock(bytes) / blockAlignment
