/**
 * A seeded stream of randomness: the same seed gives the same values on every machine. Four 32-bit words of state stepped as
 * xoshiro128** (Blackman and Vigna), filled from the seed by a mixing step. Not for secrets.
 */
export class Random {
  #a: number
  #b: number
  #c: number
  #d: number

  /** Any number; its low 53 bits count. */
  constructor(seed: number) {
    let state = (seed ^ Math.imul(Math.floor(seed / 0x1_0000_0000), 0x9e37_79b1)) >>> 0
    const next = (): number => {
      state = (state + 0x9e37_79b9) >>> 0
      return mix(state)
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1 // All four zero is the one state that never leaves itself.
  }

  /** An integer of 32 bits, unsigned. */
  u32(): number {
    const b = this.#b
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    this.#c ^= this.#a
    this.#d ^= b
    this.#b = b ^ this.#c
    this.#a ^= this.#d
    this.#c ^= b << 9
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result
  }

  /** An integer from 0 to `count - 1`; `count` is at least 1 and at most 2^53. */
  below(count: number): number {
    if (!(count >= 1)) throw new RangeError(`Cannot pick one of ${count}`)
    return Math.floor(this.float() * count)
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with this probability (0 to 1). */
  chance(probability: number): boolean {
    return this.float() < probability
  }

  /** At least 0, below 1, all 53 bits random. */
  float(): number {
    return ((this.u32() >>> 5) * 0x400_0000 + (this.u32() >>> 6)) / 0x20_0000_0000_0000
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    let at = 0
    for (; at + 4 <= length; at += 4) bytes.writeUInt32LE(this.u32(), at)
    for (let word = this.u32(); at < length; at++, word >>>= 8) bytes[at] = word
    return bytes
  }

  /** Any signed integer of 64 bits. */
  bigint64(): bigint {
    return (BigInt(this.u32() | 0) << 32n) | BigInt(this.u32())
  }

  /**
   * A stream of its own, so that what one part draws does not shift what another one draws. Forks with different labels differ
   * even at the same point of this stream.
   */
  fork(label = ''): Random {
    let hash = this.u32()
    for (let index = 0; index < label.length; index++) hash = mix(Math.imul(hash, 31) + label.charCodeAt(index))
    return new Random(hash * 0x20_0000 + (this.u32() >>> 11))
  }

  /** Shuffles the list in place and returns it. */
  shuffle<T>(list: T[]): T[] {
    for (let last = list.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const held = list[last] as T
      list[last] = list[other] as T
      list[other] = held
    }
    return list
  }
}

/** Spreads each bit of a 32-bit word over all of them. */
function mix(word: number): number {
  let value = word
  value = Math.imul(value ^ (value >>> 16), 0x21f0_aaad)
  value = Math.imul(value ^ (value >>> 15), 0x735a_2d97)
  return (value ^ (value >>> 15)) >>> 0
}
