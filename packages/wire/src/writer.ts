const twoTo32 = 0x1_0000_0000
const twoTo63 = 0x8000_0000_0000_0000
const int64Max = 0x7fff_ffff_ffff_ffffn
const int64Min = -0x8000_0000_0000_0000n
/** Up to this many characters, a loop in JavaScript is faster than a call into the runtime. */
const shortTextMax = 10
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
    if (length > shortTextMax) return slab.write(value, at, 'utf8')
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
