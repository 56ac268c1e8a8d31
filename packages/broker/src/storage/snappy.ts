import { ProtocolError, Reader } from '@dragoman/wire'

/** What the Java library puts before its blocks: a magic of 8 bytes, then two versions of 4 bytes each. */
export const snappyStreamHeader = Buffer.from('82534e41505059000000000100000001', 'hex')
const streamMagic = snappyStreamHeader.subarray(0, 8)
const streamHeaderBytes = snappyStreamHeader.length
/** The shortest element that copies (3 bytes for 64) bounds what a block can grow to. */
const growthMax = 22

/** Snappy as clients send it: one bare block, or the Java library's stream of blocks with a length of 4 bytes before each. */
export function decompressSnappy(bytes: Buffer, bytesMax: number): Buffer {
  if (!bytes.subarray(0, streamMagic.length).equals(streamMagic)) return readBlock(bytes, bytesMax)
  const reader = new Reader(bytes, Math.min(streamHeaderBytes, bytes.length))
  const blocks: Buffer[] = []
  let left = bytesMax
  while (!reader.done()) {
    const block = readBlock(reader.bytes32(), left)
    left -= block.length
    blocks.push(block)
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

/** A block: the size of what comes out, then elements. The two low bits of an element's first byte say what it is. */
function readBlock(bytes: Buffer, bytesMax: number): Buffer {
  const reader = new Reader(bytes)
  const size = reader.uvarint()
  if (size > bytesMax) throw new ProtocolError(`Cannot decompress snappy: ${size} bytes are more than ${bytesMax}`)
  if (size > bytes.length * growthMax) throw damaged(`${bytes.length} bytes cannot hold ${size}`)
  const out = Buffer.allocUnsafe(size)
  let filled = 0
  while (!reader.done()) {
    const tag = reader.u8()
    if ((tag & 3) === 0) {
      const length = literalLength(reader, tag >>> 2)
      if (length > size - filled) throw damaged('a literal passes the end')
      reader.bytes(length).copy(out, filled)
      filled += length
    } else {
      const length = (tag & 3) === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
      filled = copyBack(out, filled, copyDistance(reader, tag), length)
    }
  }
  if (filled !== size) throw damaged(`${filled} bytes came out instead of ${size}`)
  return out
}

/** Lengths above 60 stand in the next 1 to 4 bytes. */
function literalLength(reader: Reader, short: number): number {
  if (short < 60) return short + 1
  let length = 0
  for (let index = 0; index < short - 59; index++) length += reader.u8() * 2 ** (8 * index)
  return length + 1
}

function copyDistance(reader: Reader, tag: number): number {
  switch (tag & 3) {
    case 1:
      return ((tag >>> 5) << 8) | reader.u8()
    case 2:
      return reader.u8() | (reader.u8() << 8)
    default:
      return (reader.u8() | (reader.u8() << 8) | (reader.u8() << 16) | (reader.u8() << 24)) >>> 0
  }
}

/** Appends `length` bytes from `distance` before the end of what is filled; the two may overlap, then they repeat. */
function copyBack(out: Buffer, filled: number, distance: number, length: number): number {
  if (distance === 0 || distance > filled) throw damaged('a copy begins before the start')
  if (length > out.length - filled) throw damaged('a copy passes the end')
  if (distance >= length && length > 32) out.copyWithin(filled, filled - distance, filled - distance + length)
  else for (let at = filled; at < filled + length; at++) out[at] = out[at - distance]!
  return filled + length
}

function damaged(why: string): ProtocolError {
  return new ProtocolError(`Cannot decompress snappy: ${why}`)
}
