import assert from 'node:assert/strict'
import { blockAlignment } from './scan.ts'

/** Where a block lies in its file. */
export interface BlockPlace {
  readonly at: number
  readonly bytes: number
}

/**
 * The blocks of one journal file, whose numbers have no gap. There can be a block for each message, so each takes nine bytes and no object:
 * what lives as long as these would be moved by the garbage collector again and again.
 */
export class BlockIndex {
  #first = 0
  #count = 0
  #liveCount = 0
  /** In pages. */
  #at = new Uint32Array(64)
  #bytes = new Uint32Array(64)
  #isLive = new Uint8Array(64)

  get size(): number {
    return this.#count
  }

  /** The smallest and the greatest number; -1 when there is none. */
  get firstSeq(): number {
    return this.#count === 0 ? -1 : this.#first
  }
  get lastSeq(): number {
    return this.#count === 0 ? -1 : this.#first + this.#count - 1
  }

  /** The block after the last, or the first one. */
  add(seq: number, { at, bytes }: BlockPlace, isLive = true): void {
    if (this.#count === 0) this.#first = seq
    assert(seq === this.#first + this.#count && at % blockAlignment === 0, `block ${seq} cannot come next`)
    if (this.#count === this.#at.length) this.#grow()
    this.#at[this.#count] = at / blockAlignment
    this.#bytes[this.#count] = bytes
    this.#isLive[this.#count] = isLive ? 1 : 0
    if (isLive) this.#liveCount++
    this.#count++
  }

  place(seq: number): BlockPlace | undefined {
    const index = seq - this.#first
    if (index < 0 || index >= this.#count) return undefined
    return { at: this.#at[index]! * blockAlignment, bytes: this.#bytes[index]! }
  }

  isLive(seq: number): boolean {
    const index = seq - this.#first
    return index >= 0 && index < this.#count && this.#isLive[index] === 1
  }

  /** It is needed no more. False: it was not needed, or is not here. */
  drop(seq: number): boolean {
    if (!this.isLive(seq)) return false
    this.#isLive[seq - this.#first] = 0
    this.#liveCount--
    return true
  }

  /** Numbers that were not dropped, from `fromSeq` on, ascending. */
  live(fromSeq = 0): number[] {
    const seqs: number[] = []
    if (this.#liveCount === 0) return seqs
    for (let seq = Math.max(fromSeq, this.#first); seq <= this.lastSeq; seq++) if (this.isLive(seq)) seqs.push(seq)
    return seqs
  }

  removeLast(): void {
    this.drop(this.lastSeq)
    this.#count--
  }

  #grow(): void {
    const length = this.#at.length * 2
    const [at, bytes, isLive] = [new Uint32Array(length), new Uint32Array(length), new Uint8Array(length)]
    at.set(this.#at)
    bytes.set(this.#bytes)
    isLive.set(this.#isLive)
    this.#at = at
    this.#bytes = bytes
    this.#isLive = isLive
  }
}
