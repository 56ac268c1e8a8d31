import type { Reader, Writer } from '@dragoman/wire'

const chunkBits = 12
const chunkSize = 1 << chunkBits
const bitmapBytes = chunkSize / 8
/** More offsets of one chunk than this are bits. */
const listMax = 64

/** A set of offsets: two bytes for each that is alone, an eighth of a byte where they are many. */
export class OffsetSet {
  /** By chunk: the offsets within it, or a bit for each. */
  readonly #chunks = new Map<number, Uint16Array | Uint8Array>()
  size = 0

  has(offset: number): boolean {
    const chunk = this.#chunks.get(Math.floor(offset / chunkSize))
    const at = offset % chunkSize
    if (chunk === undefined) return false
    return chunk instanceof Uint8Array ? (chunk[at >>> 3]! & (1 << (at & 7))) !== 0 : chunk.includes(at)
  }

  /** Of no effect when it is there. */
  add(offset: number): void {
    if (this.has(offset)) return
    const number = Math.floor(offset / chunkSize)
    const at = offset % chunkSize
    const chunk = this.#chunks.get(number)
    this.size++
    if (chunk instanceof Uint8Array) {
      chunk[at >>> 3]! |= 1 << (at & 7)
    } else if (chunk === undefined || chunk.length < listMax) {
      const longer = new Uint16Array((chunk?.length ?? 0) + 1)
      if (chunk) longer.set(chunk)
      longer[longer.length - 1] = at
      this.#chunks.set(number, longer)
    } else {
      const bits = new Uint8Array(bitmapBytes)
      for (const each of [...chunk, at]) bits[each >>> 3]! |= 1 << (each & 7)
      this.#chunks.set(number, bits)
    }
  }

  save(out: Writer): void {
    out.uvarint(this.#chunks.size)
    for (const [number, chunk] of this.#chunks) {
      out.uvarint(number)
      if (chunk instanceof Uint8Array) {
        out.uvarint(0)
        out.bytes(chunk)
        continue
      }
      out.uvarint(chunk.length)
      for (const at of chunk) out.u16(at)
    }
  }

  /** Into an empty set. */
  load(from: Reader): void {
    for (let left = from.uvarint(); left > 0; left--) {
      const number = from.uvarint()
      const count = from.uvarint()
      if (count > 0) {
        const chunk = Uint16Array.from({ length: count }, () => from.u16())
        this.#chunks.set(number, chunk)
        this.size += count
        continue
      }
      const bits = Uint8Array.from(from.bytes(bitmapBytes))
      this.#chunks.set(number, bits)
      for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) this.size++
    }
  }
}
