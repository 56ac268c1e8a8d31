import { ProtocolError } from './protocol-error.ts'

const twoTo32 = 0x1_0000_0000
/** Up to this many bytes of text, a loop in JavaScript is faster than a call into the runtime. */
const shortTextMax = 6

/**
 * Reads numbers (big-endian), texts and slices from part of a buffer, in order. Every read is bounded: what would pass the
 * end throws `ProtocolError` and says what was wanted, where, and what is left.
 *
 * 64-bit integers come as doubles: exact up to 2^53, rounded above. Slices share the memory of the source.
 */
export class Reader {
  readonly source: Buffer
  /** Position of the next byte in `source`. */
  at: number
  /** Position after the last byte that may be read. */
  readonly end: number
  /**
   * Items that lists may yet have, all lists together. An object takes far more memory than the few bytes that stand for it, so
   * who reads from a peer bounds this too.
   */
  itemsLeft: number

  constructor(bytes: Buffer, at = 0, end = bytes.length, itemsMax = 0x7fff_ffff) {
    if (!(at >= 0 && at <= end && end <= bytes.length)) {
      throw new RangeError(`Cannot read ${at} to ${end} of a buffer of ${bytes.length} bytes`)
    }
    this.source = bytes
    this.at = at
    this.end = end
    this.itemsLeft = itemsMax
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.end - this.at
  }

  done(): boolean {
    return this.at >= this.end
  }

  expectEnd(): void {
    if (this.at < this.end)
      throw new ProtocolError(`Expected the end at byte ${this.at}, but ${this.end - this.at} bytes are left`)
  }

  u8(): number {
    if (this.at >= this.end) this.#short('u8', 1)
    return this.source[this.at++]!
  }

  i8(): number {
    if (this.at >= this.end) this.#short('i8', 1)
    return (this.source[this.at++]! << 24) >> 24
  }

  /** Any byte but 0 is true. */
  bool(): boolean {
    if (this.at >= this.end) this.#short('bool', 1)
    return this.source[this.at++] !== 0
  }

  u16(): number {
    const { source, at } = this
    if (at + 2 > this.end) this.#short('u16', 2)
    this.at = at + 2
    return (source[at]! << 8) | source[at + 1]!
  }

  i16(): number {
    const { source, at } = this
    if (at + 2 > this.end) this.#short('i16', 2)
    this.at = at + 2
    return ((source[at]! << 24) >> 16) | source[at + 1]!
  }

  u32(): number {
    return this.i32() >>> 0
  }

  i32(): number {
    const { source, at } = this
    if (at + 4 > this.end) this.#short('32-bit integer', 4)
    this.at = at + 4
    return (source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!
  }

  i64(): number {
    const { source, at } = this
    if (at + 8 > this.end) this.#short('64-bit integer', 8)
    this.at = at + 8
    const high = (source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!
    const low = (source[at + 4]! << 24) | (source[at + 5]! << 16) | (source[at + 6]! << 8) | source[at + 7]!
    return high * twoTo32 + (low >>> 0)
  }

  bigint64(): bigint {
    if (this.at + 8 > this.end) this.#short('64-bit integer', 8)
    this.at += 8
    return this.source.readBigInt64BE(this.at - 8)
  }

  f64(): number {
    if (this.at + 8 > this.end) this.#short('f64', 8)
    this.at += 8
    return this.source.readDoubleBE(this.at - 8)
  }

  /** Unsigned LEB128 of at most 32 bits (5 bytes). */
  uvarint(): number {
    const first = this.u8()
    return first < 0x80 ? first : this.#uvarintRest(first & 0x7f)
  }

  /** Zigzag LEB128 of at most 32 bits. */
  varint(): number {
    const value = this.uvarint()
    return (value >>> 1) ^ -(value & 1)
  }

  /** Zigzag LEB128 of at most 64 bits (10 bytes), as a double. */
  varlong(): number {
    // Three limbs of 28, 28 and 8 bits: each stays exact in 32-bit arithmetic.
    let low = 0
    let middle = 0
    let high = 0
    for (let index = 0; ; index++) {
      const byte = this.u8()
      const bits = byte & 0x7f
      if (index < 4) low |= bits << (7 * index)
      else if (index < 8) middle |= bits << (7 * (index - 4))
      else high |= bits << (7 * (index - 8))
      if (index === 9 && byte > 1)
        throw new ProtocolError(`Cannot take a varlong over 64 bits, ending at byte ${this.at}`)
      if (byte < 0x80) break
    }
    const half = high * 0x80_0000_0000_0000 + (middle * 0x800_0000 + (low >>> 1))
    return (low & 1) === 0 ? half : -half - 1
  }

  /** The next `length` bytes, shared with the source. */
  bytes(length: number): Buffer {
    const at = this.at
    this.#take(length, 'bytes')
    return this.source.subarray(at, at + length)
  }

  /** All that is left, shared with the source. */
  rest(): Buffer {
    return this.bytes(this.end - this.at)
  }

  skip(length: number): void {
    this.#take(length, 'skipped bytes')
  }

  /** The next `length` bytes as UTF-8 text. What is not UTF-8 becomes U+FFFD. */
  utf8(length: number): string {
    const at = this.at
    this.#take(length, 'text')
    if (length > shortTextMax) return this.source.toString('utf8', at, at + length)
    const { source } = this
    let text = ''
    for (let index = at; index < at + length; index++) {
      const byte = source[index]!
      if (byte >= 0x80) return source.toString('utf8', at, at + length)
      text += String.fromCharCode(byte)
    }
    return text
  }

  string8(): string {
    return this.utf8(this.u8())
  }

  /** Unsigned 16-bit length: up to 65,535 bytes. */
  string16(): string {
    return this.utf8(this.u16())
  }

  /** Signed 16-bit length that may not be negative: up to 32,767 bytes. */
  stringI16(): string {
    return this.utf8(this.i16())
  }

  /** Signed 16-bit length; -1 is null. */
  nullableString16(): string | null {
    const length = this.i16()
    return length === -1 ? null : this.utf8(length)
  }

  string32(): string {
    return this.utf8(this.i32())
  }

  bytes32(): Buffer {
    return this.bytes(this.i32())
  }

  /** Signed 32-bit length; -1 is null. */
  nullableBytes32(): Buffer | null {
    const length = this.i32()
    return length === -1 ? null : this.bytes(length)
  }

  /** The length plus 1 as an unsigned varint; 0, which means null, is refused. */
  compactString(): string {
    return this.utf8(this.uvarint() - 1)
  }

  compactNullableString(): string | null {
    const length = this.uvarint()
    return length === 0 ? null : this.utf8(length - 1)
  }

  compactBytes(): Buffer {
    return this.bytes(this.uvarint() - 1)
  }

  compactNullableBytes(): Buffer | null {
    const length = this.uvarint()
    return length === 0 ? null : this.bytes(length - 1)
  }

  /** 16 bytes as 32 hex digits. */
  uuid(): string {
    const at = this.at
    this.#take(16, 'uuid')
    return this.source.toString('hex', at, at + 16)
  }

  #uvarintRest(first: number): number {
    let value = first
    for (let shift = 7; shift < 28; shift += 7) {
      const byte = this.u8()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    const last = this.u8()
    if (last > 0x0f) throw new ProtocolError(`Cannot take a varint over 32 bits, ending at byte ${this.at}`)
    return (value | (last << 28)) >>> 0
  }

  #take(length: number, what: string): void {
    if (length < 0 || length > this.end - this.at) this.#short(what, length)
    this.at += length
  }

  #short(what: string, wanted: number): never {
    const left = this.end - this.at
    throw new ProtocolError(
      wanted < 0
        ? `Cannot take ${what} of negative length ${wanted} at byte ${this.at}`
        : `Cannot read ${what} at byte ${this.at}: wanted ${wanted} bytes, ${left} left`,
    )
  }
}
