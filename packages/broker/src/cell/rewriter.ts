import assert from 'node:assert/strict'
import { Corrupt } from '../storage/errors.ts'
import * as batches from '../storage/record-batch.ts'
import { chunkRowBytes, directoryRowBytes, segmentHeaderBytes, trailerBytes } from '../storage/segment.ts'
import type { Extent, SegmentWriter } from '../storage/segment.ts'
import { SegmentSource } from '../storage/segment-source.ts'
import type { CellCore } from './core.ts'
import type { Placement, SegmentInfo, Usage } from './checkpoint.ts'
import type { Retention } from './options.ts'
import type { Pace } from './pace.ts'
import { extent } from './stream.ts'
import type { Stream } from './stream.ts'

/** So many segments of about one size, whose stretches are small, are merged into one: each byte moves once per factor of growth. */
const mergeWidth = 8
/** Stretches of this average are worth a read of their own. */
const extentBytesGoal = 256 * 1024
/** A stretch grows no further: retention drops whole ones. */
const extentBytesMax = 64 * 1024 * 1024
/** No merged stretch spans more than this share of a time by which its stream is kept or compacted, or of the bytes. */
export const shareMax = 0.25
/** Positions in a segment are 32 bits wide. */
const segmentBytesMax = 2 * 1024 * 1024 * 1024
/** Live bytes that are moved out of sparse segments in one round, but for the first of them. */
const sparseBytesMax = 256 * 1024 * 1024

/** Neighbouring extents of one stream that become one. */
export interface Run {
  stream: Stream
  bytes: number
  oldestMs: number
  pieces: Piece[]
}

/** One of them. */
interface Piece {
  segment: number
  first: number
  last: number
  chunkPosition: number
  chunkCount: number
}

/** A new segment, if anything was left to go into one, and what it takes the place of; nothing is left of a run that was not placed. */
export interface Rewritten {
  segment: SegmentInfo | undefined
  moves: { run: Run; placed: Extent | undefined }[]
  /** Streams that are compacted below an offset with this. */
  compacted: { stream: Stream; to: number }[]
}

/** What becomes of one batch: itself, another in its place, or nothing. */
export type BatchFilter = (batch: Buffer) => Promise<Buffer | undefined>

export type CreateSegment = () => Promise<{ id: number; name: string; writer: SegmentWriter }>

/** What is left out of a rewrite though it lies above the start of its stream. */
export interface LeftOut {
  /** Undefined when all of the stream stays. */
  filterFor(stream: Stream): { readonly filter: BatchFilter; readonly keptCount: number } | undefined
  /** How many records the filters have kept of each run. */
  note(rewritten: Rewritten, counts: ReadonlyMap<Run, number>): void
}

export interface RewriteOptions {
  create: CreateSegment
  mustStop(): boolean
  settled: LeftOut
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
  { create, mustStop, settled }: RewriteOptions,
): Promise<Rewritten | undefined> {
  const rewrite = new Rewrite(cell, placement, create, mustStop)
  const counts = new Map<Run, number>()
  try {
    for (const stream of [...cell.state.streams.values()].sort((a, b) => a.id - b.id)) {
      for (const run of findRuns(cell, stream, segment => chosen.has(segment))) {
        const left = settled.filterFor(stream)
        await rewrite.copy(run, left?.filter)
        if (left) counts.set(run, left.keptCount)
      }
    }
    const rewritten = await rewrite.finish()
    if (rewritten) settled.note(rewritten, counts)
    return rewritten
  } catch (error) {
    await rewrite.abort()
    throw error
  }
}

/** One new segment: runs are copied into it, in order of stream and offset. */
export class Rewrite {
  readonly #cell: CellCore
  readonly #placement: Placement
  readonly #create: CreateSegment
  readonly #mustStop: () => boolean
  readonly #sourcesMax: number
  readonly #pace: Pace | undefined
  readonly #sources = new Map<number, SegmentSource>()
  readonly #moves: { run: Run; isEmpty: boolean }[] = []
  #target: { id: number; name: string; writer: SegmentWriter } | undefined
  #stopped = false
  bytesRead = 0

  /** At most `sourcesMax` segments are read from at a time: each costs a megabyte and its tables. `pace` cuts the work into slices. */
  constructor(
    cell: CellCore,
    placement: Placement,
    create: CreateSegment,
    mustStop: () => boolean,
    pace?: Pace,
    sourcesMax = Infinity,
  ) {
    this.#cell = cell
    this.#placement = placement
    this.#create = create
    this.#mustStop = mustStop
    this.#sourcesMax = sourcesMax
    this.#pace = pace
  }

  /** Once true, nothing comes of it. */
  get isStopped(): boolean {
    return (this.#stopped ||= this.#mustStop())
  }

  /**
   * Copies the batches of a run that are not below the start, as far as a filter leaves them. Without one, a run of which
   * nothing was copied stays where it is, as does in any case the run of a stream that has moved on.
   */
  async copy(run: Run, filter?: BatchFilter): Promise<void> {
    const { stream, pieces } = run
    const { startOffset } = stream
    let isBegun = false
    for (const piece of pieces) {
      for await (const bytes of this.chunks(stream, piece)) {
        for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
          if (batches.lastOffset(bytes, at) < startOffset) continue
          const whole = bytes.subarray(at, at + batches.batchBytes(bytes, at))
          const batch = filter ? await filter(whole) : whole
          if (!batch) continue
          if (!isBegun) await this.#begin(stream)
          isBegun = true
          await this.#add(batch)
        }
        if (this.#pace?.isDue) await this.#pace.rest()
      }
    }
    if (isBegun || filter) this.#moves.push({ run, isEmpty: !isBegun })
  }

  /** The chunks of one piece, one after the other; no more of them when it must stop, or the piece is gone. */
  async *chunks(stream: Stream, piece: Piece): AsyncGenerator<Buffer, void, undefined> {
    const { segment, chunkPosition, chunkCount } = piece
    try {
      if (this.isStopped || this.#isGone(stream, piece)) return
      const source = await this.#source(segment)
      for (const chunk of source.chunks(chunkPosition, chunkCount)) {
        if (this.isStopped) return
        const bytes = await source.read(chunk)
        this.bytesRead += bytes.length
        yield bytes
      }
    } catch (error) {
      // What is gone may have been removed under the read.
      if (this.#isGone(stream, piece)) return
      throw error instanceof Corrupt ? new UnreadableSegment(segment, error) : error
    }
  }

  #isGone(stream: Stream, piece: Piece): boolean {
    return this.#cell.state.streams.get(stream.id) !== stream || rowOf(stream, piece) < 0
  }

  async #source(segment: number): Promise<SegmentSource> {
    let source = this.#sources.get(segment)
    if (source) return source
    const info = this.#placement.segments.get(segment)
    assert(info, 'a segment in use has no name')
    source = await SegmentSource.open(this.#cell.options.blobs, info.name, info.bytes)
    if (this.#sources.size >= this.#sourcesMax) this.#sources.delete(this.#sources.keys().next().value!)
    this.#sources.set(segment, source)
    return source
  }

  async #begin({ id }: Stream): Promise<void> {
    this.#target ??= await this.#create()
    // The memory of what is read and rebuilt is used again: new memory for each megabyte would have the collector run all the time.
    this.#target.writer.isLent = true
    this.#target.writer.begin(id)
  }

  async #add(batch: Buffer): Promise<void> {
    const last = batches.lastOffset(batch)
    const { writer } = this.#target!
    const wait = writer.add(batch, 0, batch.length, batches.baseOffset(batch), last, batches.maxTimestamp(batch))
    if (wait) await wait
  }

  /** Makes the new segment durable. Undefined when it had to stop, or there is nothing to change. */
  async finish(): Promise<Rewritten | undefined> {
    if (this.isStopped || this.#moves.length === 0) {
      await this.abort()
      return undefined
    }
    const placed = (await this.#target?.writer.finish()) ?? []
    const moves = this.#moves.map(({ run, isEmpty }) => ({ run, placed: isEmpty ? undefined : placed.shift() }))
    const segment = this.#target && {
      id: this.#target.id,
      name: this.#target.name,
      bytes: this.#target.writer.bytes,
    }
    return { segment, moves, compacted: [] }
  }

  async abort(): Promise<void> {
    this.#stopped = true
    await this.#target?.writer.abort()
    this.#target = undefined
  }
}

/** Readers go to the new segment from now on. What was trimmed or dropped meanwhile stays gone. */
export function installRewritten(cell: CellCore, placement: Placement, rewritten: Rewritten): void {
  const { segment, moves, compacted } = rewritten
  if (segment) placement.segments.set(segment.id, segment)
  for (const { run, placed } of moves) {
    const { stream, pieces } = run
    if (cell.state.streams.get(stream.id) !== stream) continue
    const last = rowOf(stream, pieces.at(-1)!)
    if (last < 0) continue
    // Trimming takes whole extents from the front: of the run's rows those that are left end at `last`.
    const row = Math.max(0, last - pieces.length + 1)
    if (segment && placed) stream.moveExtents(row, last - row + 1, placed, segment.id)
    else stream.removeExtents(row, last - row + 1)
  }
  for (const { stream, to } of compacted) stream.compactedTo = to
}

/** The first `runsMax` runs of extents from row `from` on that lie in segments for which `isWanted`. */
export function findRuns(
  cell: CellCore,
  stream: Stream,
  isWanted: (segment: number) => boolean,
  { from = 0, runsMax = Infinity } = {},
): Run[] {
  const { bytesMax, spanMax } = runLimits(cell, stream)
  const { extents } = stream
  const found: Run[] = []
  let run: Run | undefined
  for (let row = from; row < extents.count; row++) {
    const segment = extents.get(row, extent.segment)
    if (!isWanted(segment)) {
      run = undefined
      continue
    }
    const bytes = extents.get(row, extent.bytes)
    const newestMs = extents.get(row, extent.maxTimestamp)
    const fits = run && run.bytes + bytes <= bytesMax && newestMs - run.oldestMs <= spanMax
    if (!fits && found.length === runsMax) break
    if (!run || !fits) found.push((run = { stream, bytes: 0, oldestMs: newestMs, pieces: [] }))
    run.bytes += bytes
    run.pieces.push(pieceAt(stream, row))
  }
  return found
}

export function pieceAt({ extents }: Stream, row: number): Piece {
  return {
    segment: extents.get(row, extent.segment),
    first: extents.get(row, extent.first),
    last: extents.get(row, extent.last),
    chunkPosition: extents.get(row, extent.chunkPosition),
    chunkCount: extents.get(row, extent.chunkCount),
  }
}

/** What goes by whole extents (retention, the lags of compaction) must not wait for one that grew too large or spans too long. */
function runLimits(cell: CellCore, stream: Stream): { bytesMax: number; spanMax: number } {
  const { ms, bytes, compaction } = cell.options.retentionOf(stream.id) ?? keepsAll
  const spans = [ms, compaction?.lagMinMs ?? 0, compaction?.lagMaxMs ?? 0].filter(span => span > 0)
  return {
    bytesMax: bytes < 0 ? extentBytesMax : Math.min(extentBytesMax, bytes * shareMax),
    spanMax: ms === 0 ? 0 : Math.min(...spans) * shareMax,
  }
}

const keepsAll: Retention = { ms: -1, bytes: -1 }

/** The row that still is this piece, or -1 when it is gone. */
function rowOf(stream: Stream, { segment, first }: Piece): number {
  const row = stream.extents.lastAtMost(extent.first, first)
  if (row < 0 || stream.extents.get(row, extent.first) !== first) return -1
  return stream.extents.get(row, extent.segment) === segment ? row : -1
}
