import { ProtocolError, Reader, Writer } from '@dragoman/wire'
import { DiskError } from '../runtime/runtime.ts'
import { readBlob } from '../storage/blob-store.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import { crc32c } from '../storage/crc32c.ts'
import type { ChainPoint } from '../storage/claim.ts'
import { Corrupt } from '../storage/errors.ts'
import type { Rows } from '../storage/rows.ts'
import type { Extent } from '../storage/segment.ts'
import { extent } from './stream.ts'
import { CellState } from './state.ts'
import type { MachineFactories } from './state.ts'

/**
 * The state of a cell after a block, and where the flushed bytes of its streams lie. It is the only place that names
 * segments: what no checkpoint names is an orphan. Big-endian.
 *
 *   magic 'DRGC', version u8 = 2, 3 x 0, cell u32, epoch i64, seq i64, writer u64 and checksum u32 of that block, time i64,
 *   state length u32, state (`CellState.save`)
 *   next segment u32, segments u32 x { id u32, name, bytes i64 }
 *   streams u32 x { stream u32, extents u32 x { segment u32, first i64, last i64, position u32, bytes u32,
 *                   chunk position u32, chunks u32, greatest timestamp i64 } }
 *   compacted streams u32 x { stream u32, below which offset i64 }: not in version 1
 *   CRC-32C of all before u32
 *
 * On-disk format: to change it, raise the version, keep the old reader, add a file of the old form to `test/upgrade`.
 */
const magic = 0x44524743
const checkpointVersion = 2

export interface SegmentInfo {
  id: number
  name: string
  bytes: number
}

export interface Placement {
  nextSegment: number
  /** Those that a checkpoint names. One of 0 bytes was never finished: only blocks older than the checkpoint tell of its batches. */
  segments: Map<number, SegmentInfo>
  /** Those that only blocks tell of: large batches lie in them that no checkpoint has placed yet. */
  open: Map<number, SegmentInfo>
}

/** The name of a segment, wherever it stands. */
export const nameOf = ({ segments, open }: Placement, segment: number): string =>
  (segments.get(segment) ?? open.get(segment))?.name ?? `segment ${segment}`

/** What is in use of a segment. */
export interface Usage {
  bytes: number
  extents: number
  chunks: number
}

/**
 * Where the extents of all streams lie now, as bytes; and what they use of which segments. There may be hundreds of thousands
 * of rows, and nothing else happens meanwhile: they are written without a detour.
 */
export function saveExtents(state: CellState): { bytes: Buffer; usage: Map<number, Usage> } {
  const usage = new Map<number, Usage>()
  const streams = [...state.streams.values()].filter(stream => stream.extents.count > 0)
  const rowCount = streams.reduce((sum, stream) => sum + stream.extents.count, 0)
  const bytes = Buffer.allocUnsafeSlow(4 + streams.length * 8 + rowCount * extentRowBytes)
  const out = new DataView(bytes.buffer)
  out.setUint32(0, streams.length)
  let at = 4
  for (const { id, extents } of streams) {
    out.setUint32(at, id)
    out.setUint32(at + 4, extents.count)
    at += 8
    for (let row = 0; row < extents.count; row++, at += extentRowBytes) {
      const segment = extents.get(row, extent.segment)
      let used = usage.get(segment)
      if (!used) usage.set(segment, (used = { bytes: 0, extents: 0, chunks: 0 }))
      used.bytes += extents.get(row, extent.bytes)
      used.extents++
      used.chunks += extents.get(row, extent.chunkCount)
      writeExtentRow(out, at, extents, row)
    }
  }
  return { bytes, usage }
}

const extentRowBytes = 44

function writeExtentRow(out: DataView, at: number, extents: Rows, row: number): void {
  out.setUint32(at, extents.get(row, extent.segment))
  setInt64(out, at + 4, extents.get(row, extent.first))
  setInt64(out, at + 12, extents.get(row, extent.last))
  out.setUint32(at + 20, extents.get(row, extent.position))
  out.setUint32(at + 24, extents.get(row, extent.bytes))
  out.setUint32(at + 28, extents.get(row, extent.chunkPosition))
  out.setUint32(at + 32, extents.get(row, extent.chunkCount))
  setInt64(out, at + 36, extents.get(row, extent.maxTimestamp))
}

function setInt64(out: DataView, at: number, value: number): void {
  out.setInt32(at, Math.floor(value / 0x1_0000_0000))
  out.setUint32(at + 4, value)
}

/** The extents that a flush adds, in the form of `saveExtents`. */
function writeFlushed(out: Writer, flushed: readonly Extent[], segment: number): void {
  out.u32(flushed.length)
  for (const added of flushed) {
    out.u32(added.stream)
    out.u32(1)
    out.u32(segment)
    out.i64(added.firstOffset)
    out.i64(added.lastOffset)
    out.u32(added.position)
    out.u32(added.bytes)
    out.u32(added.chunkPosition)
    out.u32(added.chunkCount)
    out.i64(added.maxTimestamp)
  }
}

/** How far the streams are compacted now: it is a property of the bytes that the extents name. */
export function saveCompacted(state: CellState): Buffer {
  const out = new Writer()
  const compacted = [...state.streams.values()].filter(({ compactedTo }) => compactedTo > 0)
  out.u32(compacted.length)
  for (const { id, compactedTo } of compacted) {
    out.u32(id)
    out.i64(compactedTo)
  }
  return out.take()
}

function readCompacted(from: Reader, state: CellState): void {
  for (let left = from.u32(); left > 0; left--) {
    const stream = state.streams.get(from.u32())
    const compactedTo = from.i64()
    if (!stream) throw new Corrupt('the checkpoint tells of the compaction of a stream that does not exist')
    stream.compactedTo = compactedTo
  }
}

export interface CheckpointParts {
  cell: number
  point: ChainPoint
  /** `CellState.save` at that point. */
  state: Buffer
  /** `saveExtents` at that point. */
  extents: Buffer
  /** `saveCompacted` at that point. */
  compacted: Buffer
  /** What was flushed since, up to that point, all in one segment. */
  flushed: readonly Extent[]
  flushedSegment: number
  placement: Omit<Placement, 'open'>
}

export function writeCheckpoint(parts: CheckpointParts): Buffer[] {
  const { point, placement } = parts
  const head = new Writer()
  head.u32(magic)
  head.u8(checkpointVersion)
  head.fill(3)
  head.u32(parts.cell)
  head.i64(point.epoch)
  head.i64(point.seq)
  head.bigint64(BigInt.asIntN(64, point.link.writer))
  head.u32(point.link.crc)
  head.i64(point.timeMs)
  head.u32(parts.state.length)
  const names = new Writer()
  names.u32(placement.nextSegment)
  names.u32(placement.segments.size)
  for (const { id, name, bytes } of placement.segments.values()) {
    names.u32(id)
    names.string16(name)
    names.i64(bytes)
  }
  const added = new Writer()
  writeFlushed(added, parts.flushed, parts.flushedSegment)
  const all = [head.take(), parts.state, names.take(), parts.extents, added.take(), parts.compacted]
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(all.reduce((crc, part) => crc32c(part, 0, part.length, crc), 0))
  return [...all, sum]
}

/** The bytes of a checkpoint, null when there is none. A medium that does not give them back is damaged like one that gives others: `Corrupt`. */
export async function readCheckpointBlob(blobs: BlobStore, name: string, bytes: number): Promise<Buffer | null> {
  try {
    return await readBlob(blobs, name, bytes)
  } catch (error) {
    if (!(error instanceof DiskError && error.code === 'io')) throw error
    throw new Corrupt(error.message, { cause: error })
  }
}

/** Fills `state`, which must be new, and tells the rest. Throws `Corrupt` when the bytes are not a whole checkpoint. */
export function readCheckpoint(bytes: Buffer, state: CellState): { point: ChainPoint; placement: Placement } {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== magic) throw new Corrupt('these bytes are not a checkpoint')
  const version = bytes[4]!
  if (version < 1 || version > checkpointVersion)
    throw new Corrupt(`checkpoint version ${version} cannot be read by this release`)
  if (crc32c(bytes, 0, bytes.length - 4) !== bytes.readUInt32BE(bytes.length - 4))
    throw new Corrupt('the checksum of the checkpoint is wrong')
  const from = new Reader(bytes, 12, bytes.length - 4)
  try {
    const epoch = from.i64()
    const seq = from.i64()
    const link = { writer: BigInt.asUintN(64, from.bigint64()), crc: from.u32() }
    const timeMs = from.i64()
    state.load(new Reader(from.bytes(from.u32())))
    const placement: Placement = { nextSegment: from.u32(), segments: new Map(), open: new Map() }
    for (let left = from.u32(); left > 0; left--) {
      const id = from.u32()
      placement.segments.set(id, { id, name: from.string16(), bytes: from.i64() })
    }
    readExtents(from, state)
    readExtents(from, state)
    if (version >= 2) readCompacted(from, state)
    return { point: { epoch, seq, link, timeMs }, placement }
  } catch (error) {
    if (error instanceof ProtocolError)
      throw new Corrupt(`the checkpoint is damaged: ${error.message}`, { cause: error })
    throw error
  }
}

/** The segments that a checkpoint names; undefined when it cannot be read. */
export async function segmentsNamedBy(
  blobs: BlobStore,
  name: string,
  bytes: number,
  machines: MachineFactories,
): Promise<SegmentInfo[] | undefined> {
  try {
    const blob = await readCheckpointBlob(blobs, name, bytes)
    return blob ? [...readCheckpoint(blob, new CellState(machines)).placement.segments.values()] : undefined
  } catch (error) {
    if (error instanceof Corrupt) return undefined
    throw error
  }
}

function readExtents(from: Reader, state: CellState): void {
  for (let streams = from.u32(); streams > 0; streams--) {
    const id = from.u32()
    const stream = state.streams.get(id)
    if (!stream) throw new Corrupt(`the checkpoint places bytes of stream ${id}, which does not exist`)
    for (let rows = from.u32(); rows > 0; rows--) {
      const segment = from.u32()
      const placed: Extent = {
        stream: id,
        firstOffset: from.i64(),
        lastOffset: from.i64(),
        position: from.u32(),
        bytes: from.u32(),
        chunkPosition: from.u32(),
        chunkCount: from.u32(),
        maxTimestamp: from.i64(),
      }
      stream.place(placed, segment)
      stream.bytes += placed.bytes
    }
  }
}

export const checkpointName = (cell: number, seq: number): string =>
  `cell/${cell}/c/${seq.toString(16).padStart(16, '0')}`

/** Number of the block that a checkpoint's name says, or undefined when it is another file. */
export function checkpointSeq(name: string): number | undefined {
  const digits = name.slice(name.lastIndexOf('/') + 1)
  return /^[0-9a-f]{16}$/.test(digits) ? Number.parseInt(digits, 16) : undefined
}
