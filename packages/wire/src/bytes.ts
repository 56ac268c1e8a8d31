/** The peer broke the protocol: answer it if the protocol has a form for that, then close that connection. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}

const twoTo32 = 0x1_0000_0000
const twoTo63 = 0x8000_0000_0000_0000
const int64Max = 0x7fff_ffff_ffff_ffffn
const int64Min = -0x8000_0000_0000_0000n
/** Up to this many bytes of text, a loop in JavaScript is faster than a call into the runtime. */
const shortReadMax = 6
const shortWriteMax = 10

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
    if (length > shortReadMax) return this.source.toString('utf8', at, at + length)
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

/** Slabs start small, because every connection has a writer, and double up to the greatest size. */
const slabBytesMin = 512
const slabBytesMax = 16 * 1024
/** A shorter slice is copied: an entry of a vectored write costs more than that. */
const referBytesMin = 1024
const nothing = Buffer.alloc(0)

/**
 * Writes what `Reader` reads. Grows as needed.
 *
 * What `take` and `takeParts` return is never written again: messages are cut one after another from slabs of up to 16 KiB.
 * A value that its field cannot hold (a text of 70,000 bytes in a `string16`) is a bug of the caller: `RangeError`.
 */
export class Writer {
  #slab: Buffer = nothing
  /** Where the piece being written begins in the slab: all before it was taken. */
  #start = 0
  #at = 0
  /** Finished pieces, only once something was referred to; `#partsBytes` is their size. */
  #parts: Buffer[] = []
  #partsBytes = 0

  /** Bytes written since the last `take`, slices that were referred to included. */
  get length(): number {
    return this.#partsBytes + this.#at - this.#start
  }

  /** All that was written, as one buffer; the writer is empty then. Copies if slices were referred to. */
  take(): Buffer {
    if (this.#parts.length > 0) return Buffer.concat(this.takeParts())
    return this.#cut()
  }

  /** All that was written, in order, with referred slices as they are; the writer is empty then. */
  takeParts(): Buffer[] {
    const parts = this.#parts
    if (this.#at > this.#start || parts.length === 0) parts.push(this.#cut())
    this.#parts = []
    this.#partsBytes = 0
    return parts
  }

  /** Appends `bytes` without copying (unless short): they must not change until the message has left. */
  refer(bytes: Buffer): void {
    if (bytes.length < referBytesMin) return this.bytes(bytes)
    if (this.#at > this.#start) {
      this.#partsBytes += this.#at - this.#start
      this.#parts.push(this.#cut())
    }
    this.#parts.push(bytes)
    this.#partsBytes += bytes.length
  }

  u8(value: number): void {
    const at = this.#reserve(1)
    this.#slab[at] = value
  }

  i8(value: number): void {
    this.u8(value)
  }

  bool(value: boolean): void {
    this.u8(value ? 1 : 0)
  }

  u16(value: number): void {
    const at = this.#reserve(2)
    const slab = this.#slab
    slab[at] = value >>> 8
    slab[at + 1] = value
  }

  i16(value: number): void {
    this.u16(value)
  }

  u32(value: number): void {
    this.i32(value)
  }

  i32(value: number): void {
    const at = this.#reserve(4)
    put32(this.#slab, at, value)
  }

  /** A double above the range of 64-bit integers becomes the nearest of them. */
  i64(value: number): void {
    const at = this.#reserve(8)
    const fits = value < twoTo63 && value >= -twoTo63
    const high = fits ? Math.floor(value / twoTo32) : value > 0 ? 0x7fff_ffff : -0x8000_0000
    put32(this.#slab, at, high)
    put32(this.#slab, at + 4, fits ? value - high * twoTo32 : value > 0 ? -1 : 0)
  }

  bigint64(value: bigint): void {
    const at = this.#reserve(8)
    this.#slab.writeBigInt64BE(value, at)
  }

  f64(value: number): void {
    const at = this.#reserve(8)
    this.#slab.writeDoubleBE(value, at)
  }

  uvarint(value: number): void {
    let at = this.#reserve(5)
    const slab = this.#slab
    let left = value >>> 0
    for (; left > 0x7f; left >>>= 7) slab[at++] = left | 0x80
    slab[at++] = left
    this.#at = at
  }

  varint(value: number): void {
    this.uvarint((value << 1) ^ (value >> 31))
  }

  /** A double above the range of 64-bit integers becomes the nearest of them. */
  varlong(value: number): void {
    if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) return this.#varlongBig(value)
    let at = this.#reserve(10)
    const slab = this.#slab
    // Zigzag is twice the magnitude plus the sign bit; doubling first would leave the exact doubles.
    const magnitude = value < 0 ? -(value + 1) : value
    const bits = ((magnitude % 64) << 1) | (value < 0 ? 1 : 0)
    let left = Math.floor(magnitude / 64)
    slab[at++] = left > 0 ? bits | 0x80 : bits
    while (left > 0) {
      const low = left % 128
      left = Math.floor(left / 128)
      slab[at++] = left > 0 ? low | 0x80 : low
    }
    this.#at = at
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.#slab.set(bytes, at)
  }

  /** Appends `length` zero bytes. */
  fill(length: number): void {
    const at = this.#reserve(length)
    this.#slab.fill(0, at, at + length)
  }

  /** Overwrites the 4 bytes written at `at` (counted as `length` does), mostly a size that is known only at the end. */
  patchI32(at: number, value: number): void {
    let from = 0
    for (const part of this.#parts) {
      if (at < from + part.length) return put32(part, at - from, value)
      from += part.length
    }
    const place = at - from + this.#start
    if (place < this.#start || place + 4 > this.#at) throw new RangeError(`Cannot patch byte ${at} of ${this.length}`)
    put32(this.#slab, place, value)
  }

  /** Appends text as UTF-8 without a length. */
  utf8(value: string): void {
    const at = this.#reserve(value.length * 3)
    this.#at = at + this.#putText(value, at)
  }

  string8(value: string): void {
    const at = this.#reserve(1 + value.length * 3)
    const length = this.#putText(value, at + 1)
    if (length > 0xff) this.#tooLong(at, length, 0xff)
    this.#slab[at] = length
    this.#at = at + 1 + length
  }

  string16(value: string): void {
    this.#text16(value, 0xffff)
  }

  stringI16(value: string): void {
    this.#text16(value, 0x7fff)
  }

  nullableString16(value: string | null): void {
    if (value === null) this.i16(-1)
    else this.#text16(value, 0x7fff)
  }

  string32(value: string): void {
    const at = this.#reserve(4 + value.length * 3)
    const length = this.#putText(value, at + 4)
    put32(this.#slab, at, length)
    this.#at = at + 4 + length
  }

  bytes32(bytes: Uint8Array): void {
    this.i32(bytes.length)
    this.bytes(bytes)
  }

  nullableBytes32(bytes: Uint8Array | null): void {
    if (bytes === null) this.i32(-1)
    else this.bytes32(bytes)
  }

  compactString(value: string): void {
    if (value.length * 3 < 0x7f) {
      // The length certainly takes one byte, so the text can be put before it is known.
      const at = this.#reserve(1 + value.length * 3)
      const length = this.#putText(value, at + 1)
      this.#slab[at] = length + 1
      this.#at = at + 1 + length
    } else {
      this.uvarint(Buffer.byteLength(value) + 1)
      this.utf8(value)
    }
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.u8(0)
    else this.compactString(value)
  }

  compactBytes(bytes: Uint8Array): void {
    this.uvarint(bytes.length + 1)
    this.bytes(bytes)
  }

  compactNullableBytes(bytes: Uint8Array | null): void {
    if (bytes === null) this.u8(0)
    else this.compactBytes(bytes)
  }

  /** 32 hex digits as 16 bytes. */
  uuid(value: string): void {
    const at = this.#reserve(16)
    if (value.length !== 32 || this.#slab.write(value, at, 16, 'hex') !== 16) {
      this.#at = at
      throw new RangeError(`Cannot write "${value}" as a uuid: 32 hex digits are needed`)
    }
  }

  #text16(value: string, bytesMax: number): void {
    const at = this.#reserve(2 + value.length * 3)
    const length = this.#putText(value, at + 2)
    if (length > bytesMax) this.#tooLong(at, length, bytesMax)
    this.#slab[at] = length >>> 8
    this.#slab[at + 1] = length
    this.#at = at + 2 + length
  }

  #tooLong(at: number, length: number, bytesMax: number): never {
    this.#at = at
    throw new RangeError(`Cannot write a text of ${length} bytes: the field holds ${bytesMax}`)
  }

  /** Puts the text at `at`, where its greatest size is reserved, and returns its size. */
  #putText(value: string, at: number): number {
    const slab = this.#slab
    const length = value.length
    if (length > shortWriteMax) return slab.write(value, at, 'utf8')
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index)
      if (code >= 0x80) return slab.write(value, at, 'utf8')
      slab[at + index] = code
    }
    return length
  }

  #varlongBig(value: number): void {
    if (Number.isNaN(value)) throw new RangeError('Cannot write NaN as a varlong')
    const clamped = value >= twoTo63 ? int64Max : value < -twoTo63 ? int64Min : BigInt(Math.trunc(value))
    let left = BigInt.asUintN(64, (clamped << 1n) ^ (clamped >> 63n))
    for (; left > 0x7fn; left >>= 7n) this.u8(Number(left & 0x7fn) | 0x80)
    this.u8(Number(left))
  }

  /** Makes room for `size` bytes, counts them as written and returns where they begin in the slab. */
  #reserve(size: number): number {
    const at = this.#at
    const after = at + size
    if (after <= this.#slab.length) {
      this.#at = after
      return at
    }
    return this.#grow(size)
  }

  #grow(size: number): number {
    const used = this.#at - this.#start
    const slabBytes = Math.min(Math.max(this.#slab.length * 2, slabBytesMin), slabBytesMax)
    // Not from the pool of node:buffer: a slab is cut by this writer alone.
    const slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, (used + size) * 2))
    this.#slab.copy(slab, 0, this.#start, this.#at)
    this.#slab = slab
    this.#start = 0
    this.#at = used + size
    return used
  }

  /** Ends the piece being written. */
  #cut(): Buffer {
    const piece = this.#slab.subarray(this.#start, this.#at)
    this.#start = this.#at
    return piece
  }
}

function put32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
