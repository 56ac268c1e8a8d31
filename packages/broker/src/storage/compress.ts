import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Compression } from './record-batch.ts'
import { snappyStreamHeader } from './snappy.ts'

/**
 * The bytes in compressed form. `like` are compressed bytes whose outer form is kept where a format has several: a reader that
 * took those takes these.
 */
export function compress(compression: Compression, bytes: Buffer, like?: Buffer): Buffer {
  switch (compression) {
    case 'none':
      return bytes
    case 'gzip':
      return gzipSync(bytes)
    case 'snappy':
      return like?.subarray(0, snappyMagicBytes).equals(snappyStreamHeader.subarray(0, snappyMagicBytes))
        ? snappyStream(bytes)
        : snappyBlock(bytes)
    case 'lz4':
      return lz4Frame(bytes)
    case 'zstd':
      return zstdCompressSync(bytes)
  }
}

/** Distances are 16 bits wide in both formats: blocks of this size know no greater ones. */
const blockBytesMax = 65_536
const snappyMagicBytes = 8
/** Blocks of the Java library's stream. */
const snappyStreamBlockBytes = 32_768

/** Magic; version 1, blocks independent, no sums, no size; blocks up to 64 KiB; checksum of the two bytes before. */
const lz4Header = Buffer.from('04224d18604082', 'hex')
const lz4StoredBit = 0x8000_0000

function lz4Frame(bytes: Buffer): Buffer {
  const out = new Output(lz4Header.length + worstBytes(bytes.length) + 8 * Math.ceil(bytes.length / blockBytesMax) + 4)
  out.copy(lz4Header, 0, lz4Header.length)
  for (let start = 0; start < bytes.length; start += blockBytesMax) {
    const end = Math.min(bytes.length, start + blockBytesMax)
    const sizeAt = out.at
    out.at += 4
    lz4Block(bytes, start, end, out)
    let size = out.at - sizeAt - 4
    if (size >= end - start) {
      out.at = sizeAt + 4
      out.copy(bytes, start, end)
      size = (end - start) | lz4StoredBit
    }
    out.bytes.writeInt32LE(size | 0, sizeAt)
  }
  out.at = out.bytes.writeUInt32LE(0, out.at)
  return out.bytes.subarray(0, out.at)
}

/** Tokens: high half the count of literals, low half the length of the copy less 4; 15 goes on in bytes of 255. */
function lz4Block(bytes: Buffer, start: number, end: number, out: Output): void {
  const literals = (from: number, count: number, low: number): void => {
    out.bytes[out.at++] = (Math.min(count, 15) << 4) | Math.min(low, 15)
    if (count >= 15) longLength(out, count - 15)
    out.copy(bytes, from, from + count)
  }
  const rest = findMatches(bytes, start, end, (from, at, distance, length) => {
    literals(from, at - from, length - matchBytesMin)
    out.bytes[out.at++] = distance & 0xff
    out.bytes[out.at++] = distance >>> 8
    if (length - matchBytesMin >= 15) longLength(out, length - matchBytesMin - 15)
  })
  literals(rest, end - rest, 0)
}

function longLength(out: Output, length: number): void {
  let left = length
  for (; left >= 255; left -= 255) out.bytes[out.at++] = 255
  out.bytes[out.at++] = left
}

function snappyStream(bytes: Buffer): Buffer {
  const parts: Buffer[] = [snappyStreamHeader]
  for (let start = 0; start < bytes.length; start += snappyStreamBlockBytes) {
    const block = snappyBlock(bytes.subarray(start, start + snappyStreamBlockBytes))
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    parts.push(size, block)
  }
  return Buffer.concat(parts)
}

/** The size of what comes out, then elements. */
function snappyBlock(bytes: Buffer): Buffer {
  const out = new Output(8 + worstBytes(bytes.length))
  let size = bytes.length
  for (; size >= 0x80; size >>>= 7) out.bytes[out.at++] = (size & 0x7f) | 0x80
  out.bytes[out.at++] = size
  for (let start = 0; start < bytes.length; start += blockBytesMax) {
    const end = Math.min(bytes.length, start + blockBytesMax)
    const rest = findMatches(bytes, start, end, (from, at, distance, length) => {
      snappyLiteral(bytes, from, at, out)
      for (let left = length; left > 0; left -= 64) {
        out.bytes[out.at++] = ((Math.min(left, 64) - 1) << 2) | 2
        out.bytes[out.at++] = distance & 0xff
        out.bytes[out.at++] = distance >>> 8
      }
    })
    snappyLiteral(bytes, rest, end, out)
  }
  return out.bytes.subarray(0, out.at)
}

function snappyLiteral(bytes: Buffer, from: number, to: number, out: Output): void {
  const length = to - from
  if (length === 0) return
  if (length <= 60) out.bytes[out.at++] = (length - 1) << 2
  else {
    out.bytes[out.at++] = 61 << 2 // Two bytes of length follow.
    out.bytes[out.at++] = (length - 1) & 0xff
    out.bytes[out.at++] = (length - 1) >>> 8
  }
  out.copy(bytes, from, to)
}

const matchBytesMin = 4
/** A block ends with at least so many literals, and no copy begins within the last so many bytes, as LZ4 wants it. */
const literalTailBytes = 5
const matchTailBytes = 12
const tableBits = 13
const table = new Int32Array(2 ** tableBits)

/**
 * Goes through `bytes[start, end)` once and tells, in order, where something repeats: literals from `from` up to `at`, then
 * `length` bytes as they stood `distance` before. Answers where the literals begin that are left at the end.
 */
function findMatches(
  bytes: Buffer,
  start: number,
  end: number,
  found: (from: number, at: number, distance: number, length: number) => void,
): number {
  table.fill(-1)
  let from = start
  for (let at = start, misses = 0; at < end - matchTailBytes;) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    const slot = Math.imul(word, 0x9e37_79b1) >>> (32 - tableBits)
    const earlier = table[slot]!
    table[slot] = at
    if (earlier < 0 || at - earlier >= blockBytesMax || !sameWord(bytes, earlier, word)) {
      at += 1 + (misses++ >>> 6) // What does not repeat is passed over faster and faster.
      continue
    }
    misses = 0
    let length = matchBytesMin
    while (at + length < end - literalTailBytes && bytes[at + length] === bytes[earlier + length]) length++
    found(from, at, at - earlier, length)
    at += length
    from = at
  }
  return from
}

function sameWord(bytes: Buffer, at: number, word: number): boolean {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) === word
}

/** More than what does not compress at all can take. */
const worstBytes = (bytes: number): number => bytes + Math.ceil(bytes / 200) + 64

class Output {
  readonly bytes: Buffer
  at = 0

  constructor(bytesMax: number) {
    this.bytes = Buffer.allocUnsafe(bytesMax)
  }

  copy(source: Buffer, from: number, to: number): void {
    this.at += source.copy(this.bytes, this.at, from, to)
  }
}
