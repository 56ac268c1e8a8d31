import { crc32c } from './crc32c.ts'
import { readInt64, writeInt64 } from './record-batch.ts'

/**
 * One link of a cell's journal. Big-endian.
 *
 *   offset size field
 *        0    4 magic 'DRGB'
 *        4    1 version = 1
 *        5    1 kind: 0 data, 1 fence, 2 release
 *        6    2 flags: bit 0: told before the disk had it (`--durability os`), so a power cut may have taken its neighbours
 *        8    4 cell
 *       12    4 header length = 96
 *       16    8 epoch
 *       24    8 sequence number, dense per cell
 *       32    8 writer, random per claim
 *       40    8 writer of the block before
 *       48    4 checksum of the block before
 *       52    8 time in ms, never less than the block before's
 *       60    4 body length
 *       64    4 count of facts
 *       68    8 newest durable checkpoint known to the writer, or -1
 *       76   16 0
 *       92    4 CRC-32C of bytes 0 to 91 and the body
 *       96      body: facts, one after the other
 *
 * A fact: type u8, flags u8 (0), machine u32, payload length u32, payload. A block's facts count all or none.
 * On-disk format: to change it, raise the version, keep the old reader, add a file of the old form to `test/upgrade`.
 */
export const blockHeaderBytes = 96
export const factHeaderBytes = 10
export const blockVersion = 1
const magic = 0x44524742

export type BlockKind = 'data' | 'fence' | 'release'
const kinds: readonly BlockKind[] = ['data', 'fence', 'release']

/** What a block says of the one before it. */
export interface Link {
  writer: bigint
  crc: number
}

export const noLink: Link = { writer: 0n, crc: 0 }

export interface BlockHeader {
  kind: BlockKind
  cell: number
  epoch: number
  seq: number
  writer: bigint
  previous: Link
  timeMs: number
  bodyBytes: number
  factCount: number
  floorHint: number
  /** Told before the disk had it. */
  isLazy?: boolean
}

export interface Block extends BlockHeader {
  crc: number
  /** The whole block; the body begins at `blockHeaderBytes`. */
  bytes: Buffer
}

/** Writes everything but the checksum into the first 96 bytes at `at`. */
export function writeBlockHeader(out: Buffer, at: number, header: BlockHeader): void {
  out.writeUInt32BE(magic, at)
  out[at + 4] = blockVersion
  out[at + 5] = kinds.indexOf(header.kind)
  out.writeUInt16BE(header.isLazy ? 1 : 0, at + 6)
  out.writeUInt32BE(header.cell, at + 8)
  out.writeUInt32BE(blockHeaderBytes, at + 12)
  writeInt64(out, at + 16, header.epoch)
  writeInt64(out, at + 24, header.seq)
  out.writeBigUInt64BE(header.writer, at + 32)
  out.writeBigUInt64BE(header.previous.writer, at + 40)
  out.writeUInt32BE(header.previous.crc, at + 48)
  writeInt64(out, at + 52, header.timeMs)
  out.writeUInt32BE(header.bodyBytes, at + 60)
  out.writeUInt32BE(header.factCount, at + 64)
  writeInt64(out, at + 68, header.floorHint)
  out.fill(0, at + 76, at + 92)
}

/** Whether the parts of a whole block are those of a fence. */
export const isFence = ([head]: readonly Uint8Array[]): boolean => head?.[5] === kinds.indexOf('fence')

/** Computes and stores the checksum; the body may lie in several parts behind the header. Returns it. */
export function sealBlock(out: Buffer, at: number, body: readonly Buffer[]): number {
  let crc = crc32c(out, at, at + 92)
  for (const part of body) crc = crc32c(part, 0, part.length, crc)
  out.writeUInt32BE(crc, at + 92)
  return crc
}

/** Whole length of the block whose header is at `at`, or undefined when there is none of ours. */
export function blockBytesAt(bytes: Buffer, at: number): number | undefined {
  if (at + blockHeaderBytes > bytes.length || bytes.readUInt32BE(at) !== magic) return undefined
  if (bytes[at + 4] !== blockVersion || bytes.readUInt32BE(at + 12) !== blockHeaderBytes) return undefined
  return blockHeaderBytes + bytes.readUInt32BE(at + 60)
}

/** The number of the block whose header begins there, whether or not it is whole. */
export function blockSeqAt(bytes: Buffer, at: number): number | undefined {
  return blockBytesAt(bytes, at) === undefined ? undefined : readInt64(bytes, at + 24)
}

/** Reads the block that fills `bytes`; undefined when it is not whole or not what was written. */
export function readBlock(bytes: Buffer): Block | undefined {
  if (blockBytesAt(bytes, 0) !== bytes.length) return undefined
  const kind = kinds[bytes[5]!]
  const crc = bytes.readUInt32BE(92)
  if (kind === undefined || crc32c(bytes, blockHeaderBytes, bytes.length, crc32c(bytes, 0, 92)) !== crc)
    return undefined
  return {
    kind,
    cell: bytes.readUInt32BE(8),
    epoch: readInt64(bytes, 16),
    seq: readInt64(bytes, 24),
    writer: bytes.readBigUInt64BE(32),
    previous: { writer: bytes.readBigUInt64BE(40), crc: bytes.readUInt32BE(48) },
    timeMs: readInt64(bytes, 52),
    bodyBytes: bytes.readUInt32BE(60),
    factCount: bytes.readUInt32BE(64),
    floorHint: readInt64(bytes, 68),
    isLazy: (bytes.readUInt16BE(6) & 1) === 1,
    crc,
    bytes,
  }
}

export const linkOf = (block: Block): Link => ({ writer: block.writer, crc: block.crc })
export const sameLink = (a: Link, b: Link): boolean => a.writer === b.writer && a.crc === b.crc
