import { ProtocolError, Reader } from '@dragoman/wire'

const frameMagic = 0x184d2204
/** Frames with these magic numbers carry no data: 0x184D2A50 to 0x184D2A5F. */
const skippedMagic = 0x184d2a50
const flagBits = { contentChecksum: 0x04, contentSize: 0x08, blockChecksum: 0x10, dictionary: 0x01 } as const
const storedBlockBit = 0x8000_0000
/** Block sizes by bits 4 to 6 of the second descriptor byte. */
const blockBytesMax = [0, 0, 0, 0, 64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024]
const matchBytesMin = 4

/**
 * LZ4 frames (format version 1), one or several. Checksums are not looked at: what carries the frames has its own, and some
 * clients are known to compute the header's over the wrong bytes.
 */
export function decompressLz4(bytes: Buffer, bytesMax: number): Buffer {
  const reader = new Reader(bytes)
  const out = new Output(Math.min(bytesMax, Math.max(4 * bytes.length, 1024)), bytesMax)
  while (!reader.done()) readFrame(reader, out)
  return out.take()
}

function readFrame(reader: Reader, out: Output): void {
  const magic = u32(reader)
  if ((magic & 0xffff_fff0) >>> 0 === skippedMagic) return reader.skip(u32(reader))
  if (magic !== frameMagic) throw damaged(`0x${magic.toString(16)} begins no frame`)
  const flags = reader.u8()
  if (flags >>> 6 !== 1) throw damaged(`format version ${flags >>> 6}`)
  if (flags & flagBits.dictionary) throw damaged('a dictionary is needed')
  const blockMax = blockBytesMax[(reader.u8() >>> 4) & 7]!
  if (flags & flagBits.contentSize) reader.skip(8)
  reader.skip(1) // Checksum of the header.
  for (let size = u32(reader); size !== 0; size = u32(reader)) {
    const block = reader.bytes(size & 0x7fff_ffff)
    if (block.length > blockMax) throw damaged(`a block of ${block.length} bytes`)
    if (size & storedBlockBit) out.literals(block, 0, block.length)
    else readBlock(block, out, out.filled + blockMax)
    if (flags & flagBits.blockChecksum) reader.skip(4)
  }
  if (flags & flagBits.contentChecksum) reader.skip(4)
}

/** A block: literals and copies in turn; it ends with literals. Copies may reach into the blocks before it. */
function readBlock(block: Buffer, out: Output, filledMax: number): void {
  const reader = new Reader(block)
  while (!reader.done()) {
    const token = reader.u8()
    const literals = token >>> 4 === 15 ? longLength(reader, 15) : token >>> 4
    const at = reader.at
    reader.skip(literals)
    out.literals(block, at, literals)
    if (reader.done()) break
    const distance = reader.u8() | (reader.u8() << 8)
    const copied = (token & 15) === 15 ? longLength(reader, 15) : token & 15
    out.copyBack(distance, copied + matchBytesMin)
    if (out.filled > filledMax) throw damaged('a block is longer than its frame allows')
  }
}

function longLength(reader: Reader, first: number): number {
  let length = first
  for (;;) {
    const byte = reader.u8()
    length += byte
    if (byte < 255) return length
  }
}

class Output {
  filled = 0
  #bytes: Buffer
  readonly #bytesMax: number

  constructor(bytes: number, bytesMax: number) {
    this.#bytes = Buffer.allocUnsafe(bytes)
    this.#bytesMax = bytesMax
  }

  take(): Buffer {
    return this.#bytes.subarray(0, this.filled)
  }

  literals(source: Buffer, at: number, length: number): void {
    this.#reserve(length)
    const { filled } = this
    const bytes = this.#bytes
    // A loop is faster than a call for the few bytes that are the rule.
    if (length <= 16) for (let index = 0; index < length; index++) bytes[filled + index] = source[at + index]!
    else source.copy(bytes, filled, at, at + length)
    this.filled = filled + length
  }

  /** Appends `length` bytes from `distance` before the end; the two may overlap, then they repeat. */
  copyBack(distance: number, length: number): void {
    const { filled } = this
    if (distance === 0 || distance > filled) throw damaged('a copy begins before the start')
    this.#reserve(length)
    const bytes = this.#bytes
    if (distance >= length && length > 32) bytes.copyWithin(filled, filled - distance, filled - distance + length)
    else for (let at = filled; at < filled + length; at++) bytes[at] = bytes[at - distance]!
    this.filled = filled + length
  }

  #reserve(length: number): void {
    const needed = this.filled + length
    if (needed <= this.#bytes.length) return
    if (needed > this.#bytesMax) throw new ProtocolError(`Cannot decompress lz4: more than ${this.#bytesMax} bytes`)
    const grown = Buffer.allocUnsafe(Math.min(this.#bytesMax, Math.max(needed, 2 * this.#bytes.length)))
    this.#bytes.copy(grown, 0, 0, this.filled)
    this.#bytes = grown
  }
}

/** The format is little-endian. */
function u32(reader: Reader): number {
  return (reader.u8() | (reader.u8() << 8) | (reader.u8() << 16) | (reader.u8() << 24)) >>> 0
}

function damaged(why: string): ProtocolError {
  return new ProtocolError(`Cannot decompress lz4: ${why}`)
}
