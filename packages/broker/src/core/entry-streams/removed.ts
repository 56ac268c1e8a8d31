import type { Reader, Writer } from '@dragoman/wire'

const chunkSize = 4096
const bitmapBytes = chunkSize / 8
/** More offsets of one chunk than this are bits. */
const listMax = 64

interface Chunk {
  /** Offsets within the chunk, or a bit for each. */
  form: Uint16Array | Uint8Array
  count: number
}

/**
 * Offsets that were taken out of the middle of a stream: two bytes for each that is alone, an eighth of a byte where they are many. What lies below the
 * first entry that is left is forgotten.
 */
export class RemovedOffsets {
  readonly #chunks = new Map<number, Chunk>()
  size = 0

  has(offset: number): boolean {
    if (this.size === 0) return false
    const chunk = this.#chunks.get(Math.floor(offset / chunkSize))
    if (!chunk) return false
    const at = offset % chunkSize
    const { form } = chunk
    return form instanceof Uint8Array ? (form[at >>> 3]! & (1 << (at & 7))) !== 0 : form.includes(at)
  }

  /** Of no effect when it is there. */
  add(offset: number): void {
    if (this.has(offset)) return
    this.size++
    const number = Math.floor(offset / chunkSize)
    const at = offset % chunkSize
    const chunk = this.#chunks.get(number)
    if (!chunk) {
      this.#chunks.set(number, { form: Uint16Array.of(at), count: 1 })
      return
    }
    chunk.count++
    if (chunk.form instanceof Uint8Array) chunk.form[at >>> 3]! |= 1 << (at & 7)
    else if (chunk.form.length < listMax) chunk.form = Uint16Array.of(...chunk.form, at)
    else {
      const bits = new Uint8Array(bitmapBytes)
      for (const each of [...chunk.form, at]) bits[each >>> 3]! |= 1 << (each & 7)
      chunk.form = bits
    }
  }

  dropBelow(offset: number): void {
    if (this.size === 0) return
    const first = Math.floor(offset / chunkSize)
    for (const [number, chunk] of [...this.#chunks]) {
      if (number > first) continue
      this.#chunks.delete(number)
      this.size -= chunk.count
      if (number === first) for (const each of offsetsOf(number, chunk.form)) if (each >= offset) this.add(each)
    }
  }

  /** How many of [first, last] are here. */
  count(first: number, last: number): number {
    if (this.size === 0) return 0
    const low = Math.floor(first / chunkSize)
    const high = Math.floor(last / chunkSize)
    const numbers = high - low < this.#chunks.size ? range(low, high) : [...this.#chunks.keys()]
    let found = 0
    for (const number of numbers) {
      const chunk = this.#chunks.get(number)
      if (!chunk || number < low || number > high) continue
      if (number > low && number < high) found += chunk.count
      else for (const each of offsetsOf(number, chunk.form)) if (each >= first && each <= last) found++
    }
    return found
  }

  /** The offset behind `count` that are not here, counted from `from` on. */
  after(from: number, count: number): number {
    let at = from
    for (let left = count; left > 0;) {
      if (this.size === 0) return at + left
      const chunk = this.#chunks.get(Math.floor(at / chunkSize))
      const end = (Math.floor(at / chunkSize) + 1) * chunkSize
      if (!chunk || (at % chunkSize === 0 && end - at - chunk.count <= left)) {
        const passed = Math.min(end - at - (chunk?.count ?? 0), left)
        left -= passed
        at = chunk ? end : at + passed
      } else for (; at < end && left > 0; at++) if (!this.has(at)) left--
    }
    return at
  }

  save(out: Writer): void {
    out.uvarint(this.#chunks.size)
    for (const [number, { form }] of this.#chunks) {
      out.varlong(number)
      out.uvarint(form instanceof Uint8Array ? 0 : form.length)
      if (form instanceof Uint8Array) out.bytes(form)
      else for (const at of form) out.u16(at)
    }
  }

  /** Into an empty set. */
  load(from: Reader): void {
    for (let left = from.uvarint(); left > 0; left--) {
      const number = from.varlong()
      const length = from.uvarint()
      const form =
        length > 0 ? Uint16Array.from({ length }, () => from.u16()) : Uint8Array.from(from.bytes(bitmapBytes))
      const count = form instanceof Uint8Array ? bitsOf(form) : length
      this.#chunks.set(number, { form, count })
      this.size += count
    }
  }
}

function* range(low: number, high: number): Generator<number> {
  for (let each = low; each <= high; each++) yield each
}

function* offsetsOf(number: number, form: Uint16Array | Uint8Array): Generator<number> {
  const base = number * chunkSize
  if (form instanceof Uint16Array) {
    for (const at of form) yield base + at
    return
  }
  for (let at = 0; at < chunkSize; at++) if (form[at >>> 3]! & (1 << (at & 7))) yield base + at
}

function bitsOf(bits: Uint8Array): number {
  let count = 0
  for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}
