import { hash as digest } from 'node:crypto'
import type { BatchRecords } from '../storage/batch-records.ts'

/**
 * The newest offset of each key of a stretch of a stream, in a fixed number of bytes outside the heap, however long the keys.
 *
 * A key is known by the first 128 bits of its SHA-256, and is not kept. Two keys with the same 128 bits would be taken for one,
 * and the older's last record would be lost: among 2^32 keys that has a probability of 2^-65, and nobody can make such a pair
 * on purpose without 2^64 hashes. Offsets count from the stretch's first, in 32 bits.
 */
export class KeyMap {
  readonly #words: Uint32Array
  readonly #slots: number
  readonly #countMax: number
  readonly #base: number
  /** Offsets from here on do not fit. */
  readonly end: number
  #count = 0
  /** Hash of the last key that was looked at. */
  #h0 = 0
  #h1 = 0
  #h2 = 0
  #h3 = 0

  /** For at most `keys` keys, or as many as `bytesMax` bytes can hold, at offsets from `base` on. */
  constructor(base: number, keys: number, bytesMax: number) {
    const slots = Math.min(Math.ceil(keys / loadMax) + 1, Math.floor(bytesMax / keySlotBytes))
    this.#slots = Math.max(slots, 2)
    this.#words = new Uint32Array(this.#slots * slotWords)
    this.#countMax = Math.max(1, Math.floor(this.#slots * loadMax))
    this.#base = base
    this.end = base + 2 ** 32 - 1
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#words.byteLength
  }

  /** Notes that the present key of `records` stands at `offset`, later than all before. False: there is no room for another key. */
  set(records: BatchRecords, offset: number): boolean {
    const at = this.#find(records)
    if (this.#words[at + 4] === 0) {
      if (this.#count >= this.#countMax) return false
      this.#count++
      this.#words[at] = this.#h0
      this.#words[at + 1] = this.#h1
      this.#words[at + 2] = this.#h2
      this.#words[at + 3] = this.#h3
    }
    this.#words[at + 4] = offset - this.#base + 1
    return true
  }

  /** The newest offset of the present key of `records`, or -1. */
  get(records: BatchRecords): number {
    const stored = this.#words[this.#find(records) + 4]!
    return stored === 0 ? -1 : this.#base + stored - 1
  }

  /** The first word of the key's slot, or of the free one where it would be. */
  #find({ plain, keyAt, keyBytes }: BatchRecords): number {
    const hash = digest('sha256', plain.subarray(keyAt, keyAt + keyBytes), 'binary')
    const h0 = (this.#h0 = wordAt(hash, 0))
    const h1 = (this.#h1 = wordAt(hash, 4))
    const h2 = (this.#h2 = wordAt(hash, 8))
    const h3 = (this.#h3 = wordAt(hash, 12))
    const words = this.#words
    for (let slot = h0 % this.#slots; ; slot = slot + 1 === this.#slots ? 0 : slot + 1) {
      const at = slot * slotWords
      if (words[at + 4] === 0) return at
      if (words[at] === h0 && words[at + 1] === h1 && words[at + 2] === h2 && words[at + 3] === h3) return at
    }
  }
}

/** Four words of hash, and the offset plus one; zero there: the slot is free. */
const slotWords = 5
export const keySlotBytes = slotWords * 4
/** Beyond it, the way to a free slot grows long. */
const loadMax = 0.8

const wordAt = (hash: string, at: number): number =>
  (hash.charCodeAt(at) |
    (hash.charCodeAt(at + 1) << 8) |
    (hash.charCodeAt(at + 2) << 16) |
    (hash.charCodeAt(at + 3) << 24)) >>>
  0
