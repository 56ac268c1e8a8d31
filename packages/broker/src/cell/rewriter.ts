import assert from 'node:assert/strict'
import * as batches from '../storage/record-batch.ts'
import { chunkRowBytes, directoryRowBytes, segmentHeaderBytes, trailerBytes } from '../storage/segment.ts'
import type { Extent, SegmentWriter } from '../storage/segment.ts'
import { SegmentSource } from '../storage/segment-source.ts'
import type { CellCore } from './core.ts'
import type { Placement, SegmentInfo, Usage } from './checkpoint.ts'
import { extent } from './stream.ts'
import type { Stream } from './stream.ts'

/** So many segments of about one size, whose stretches are small, are merged into one: each byte moves once per factor of growth. */
const mergeWidth = 8
/** Stretches of this average are worth a read of their own. */
const extentBytesGoal = 256 * 1024
/** A stretch grows no further: retention drops whole ones. */
const extentBytesMax = 64 * 1024 * 1024
/** No merged stretch spans more than this share of the time that its stream is kept, or of the bytes. */
const retentionShareMax = 0.25
/** Positions in a segment are 32 bits wide. */
const segmentBytesMax = 2 * 1024 * 1024 * 1024
/** Live bytes that are moved out of sparse segments in one round, but for the first of them. */
const sparseBytesMax = 256 * 1024 * 1024

/** Neighbouring extents of one stream that become one. */
interface Run {
  stream: Stream
  bytes: number
  oldestMs: number
  pieces: { segment: number; first: number; chunkPosition: number; chunkCount: number }[]
}

/** A finished new segment and what it takes the place of. */
export interface Rewritten {
  segment: SegmentInfo
  moves: { run: Run; placed: Extent }[]
}

/** Which segment cannot be read, and why. */
export class UnreadableSegment extends Error {
  override name = 'UnreadableSegment'
  readonly segment: number
  constructor(segment: number, cause: Error) {
    super(cause.message, { cause })
    this.segment = segment
  }
}

/**
 * Segments that should be copied into a new one, or none: those of which most is dead, so that one long-lived stream does not pin
 * the space of many short-lived ones; else those that hold many small stretches, so that a backlog is read in large pieces and
 * checkpoints, which name every stretch, stay small.
 */
export function chooseSegments(
  cell: CellCore,
  placement: Placement,
  usage: ReadonlyMap<number, Usage>,
  avoid: ReadonlySet<number>,
  mayMerge: boolean,
): Set<number> {
  const { flushBytes } = cell.options.sizes
  const deadMin = flushBytes / 512
  const chosen = new Set<number>()
  let moved = 0
  const fragmented = new Map<number, { id: number; bytes: number }[]>()
  for (const { id, bytes } of placement.segments.values()) {
    const used = usage.get(id)
    if (!used || avoid.has(id)) continue
    const dead = bytes - used.bytes - tableBytes(used)
    if (dead > Math.max(used.bytes, deadMin)) {
      if (cell.full ? moved + used.bytes > flushBytes / 2 : chosen.size > 0 && moved + used.bytes > sparseBytesMax)
        continue
      chosen.add(id)
      moved += used.bytes
    } else if (used.bytes / used.extents < extentBytesGoal) {
      const size = Math.floor(Math.log2(bytes) / Math.log2(mergeWidth))
      fragmented.set(size, [...(fragmented.get(size) ?? []), { id, bytes }])
    }
  }
  if (chosen.size > 0 || !mayMerge) return chosen
  for (const group of fragmented.values()) {
    if (group.length < mergeWidth) continue
    const oldest = group.sort((a, b) => a.id - b.id).slice(0, mergeWidth)
    if (oldest.reduce((sum, { bytes }) => sum + bytes, 0) <= segmentBytesMax) return new Set(oldest.map(({ id }) => id))
  }
  return chosen
}

const tableBytes = ({ extents, chunks }: Usage): number =>
  segmentHeaderBytes + extents * directoryRowBytes + chunks * chunkRowBytes + trailerBytes

/**
 * Copies what is still in use of the chosen segments into a new one, beside everything else that goes on: segments never
 * change. Nothing refers to the new one before `installRewritten`. Undefined when nothing was left, or `mustStop` once was true.
 * Rejects with `UnreadableSegment` when a source is damaged: it is then left as it is, so that its checksums go on telling.
 */
export async function rewriteSegments(
  cell: CellCore,
  placement: Placement,
  chosen: ReadonlySet<number>,
  create: () => Promise<{ id: number; name: string; writer: SegmentWriter }>,
  mustStop: () => boolean,
): Promise<Rewritten | undefined> {
  let stopped = false
  const isStopped = (): boolean => (stopped ||= mustStop())
  const runs = findRuns(cell, chosen)
  const sources = await openSources(cell, placement, chosen)
  const { id, name, writer } = await create()
  try {
    const copied: Run[] = []
    for (const run of runs) {
      if (isStopped()) break
      if (cell.state.streams.get(run.stream.id) === run.stream && (await copyRun(run, sources, writer, isStopped)))
        copied.push(run)
    }
    if (isStopped() || copied.length === 0) {
      await writer.abort()
      return undefined
    }
    const placed = await writer.finish()
    const moves = placed.map((extent, index) => ({ run: copied[index]!, placed: extent }))
    return { segment: { id, name, bytes: writer.bytes }, moves }
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** Readers go to the new segment from now on. What was trimmed or dropped meanwhile stays gone. */
export function installRewritten(cell: CellCore, placement: Placement, { segment, moves }: Rewritten): void {
  placement.segments.set(segment.id, segment)
  for (const { run, placed } of moves) {
    const { stream, pieces } = run
    if (cell.state.streams.get(stream.id) !== stream) continue
    const last = rowOf(stream, pieces.at(-1)!)
    if (last < 0) continue
    // Trimming takes whole extents from the front: of the run's rows those that are left end at `last`.
    const row = Math.max(0, last - pieces.length + 1)
    stream.moveExtents(row, last - row + 1, placed, segment.id)
  }
}

/** Runs of extents that lie in the chosen segments, in order of stream and offset. */
function findRuns(cell: CellCore, chosen: ReadonlySet<number>): Run[] {
  const runs: Run[] = []
  for (const stream of [...cell.state.streams.values()].sort((a, b) => a.id - b.id)) {
    const { ms, bytes: keptBytes } = cell.options.retentionOf(stream.id) ?? { ms: -1, bytes: -1 }
    const spanMax = ms < 0 ? Infinity : ms * retentionShareMax
    const bytesMax = keptBytes < 0 ? extentBytesMax : Math.min(extentBytesMax, keptBytes * retentionShareMax)
    let run: Run | undefined
    for (let row = 0; row < stream.extents.count; row++) {
      const segment = stream.extents.get(row, extent.segment)
      if (!chosen.has(segment)) {
        run = undefined
        continue
      }
      const bytes = stream.extents.get(row, extent.bytes)
      const newestMs = stream.extents.get(row, extent.maxTimestamp)
      const fits = run && run.bytes + bytes <= bytesMax && newestMs - run.oldestMs <= spanMax
      if (!run || !fits) runs.push((run = { stream, bytes: 0, oldestMs: newestMs, pieces: [] }))
      run.bytes += bytes
      run.pieces.push({
        segment,
        first: stream.extents.get(row, extent.first),
        chunkPosition: stream.extents.get(row, extent.chunkPosition),
        chunkCount: stream.extents.get(row, extent.chunkCount),
      })
    }
  }
  return runs
}

async function openSources(
  cell: CellCore,
  placement: Placement,
  chosen: ReadonlySet<number>,
): Promise<Map<number, SegmentSource>> {
  const sources = new Map<number, SegmentSource>()
  for (const id of chosen) {
    const info = placement.segments.get(id)
    if (!info) continue // Nothing is left of it.
    sources.set(id, await blaming(id, () => SegmentSource.open(cell.options.blobs, info.name, info.bytes)))
  }
  return sources
}

/** Copies the batches that are not below the start. False when there are none, or the stream has moved on. */
async function copyRun(
  { stream, pieces }: Run,
  sources: Map<number, SegmentSource>,
  writer: SegmentWriter,
  isStopped: () => boolean,
): Promise<boolean> {
  if (rowOf(stream, pieces.at(-1)!) < 0) return false
  const { startOffset } = stream
  let isBegun = false
  for (const { segment, first, chunkPosition, chunkCount } of pieces) {
    const source = sources.get(segment)
    if (!source) {
      assert(rowOf(stream, { segment, first }) < 0, 'a segment in use has no source')
      continue
    }
    for (const chunk of await blaming(segment, async () => source.chunks(chunkPosition, chunkCount))) {
      if (isStopped()) return false
      const bytes = await blaming(segment, () => source.read(chunk))
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        const last = batches.lastOffset(bytes, at)
        if (last < startOffset) continue
        if (!isBegun) writer.begin(stream.id)
        isBegun = true
        const length = batches.batchBytes(bytes, at)
        const wait = writer.add(bytes, at, length, batches.baseOffset(bytes, at), last, batches.maxTimestamp(bytes, at))
        if (wait) await wait
      }
    }
  }
  return isBegun
}

async function blaming<T>(segment: number, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw error instanceof Error ? new UnreadableSegment(segment, error) : error
  }
}

/** The row that still is this piece, or -1 when it is gone. */
function rowOf(stream: Stream, { segment, first }: { segment: number; first: number }): number {
  const row = stream.extents.lastAtMost(extent.first, first)
  if (row < 0 || stream.extents.get(row, extent.first) !== first) return -1
  return stream.extents.get(row, extent.segment) === segment ? row : -1
}
