import * as batches from '../storage/record-batch.ts'
import { chunkRowBytes, readChunk } from '../storage/segment.ts'
import type { Chunk } from '../storage/segment.ts'
import type { Slab } from '../storage/slab.ts'
import { tail } from './stream.ts'
import type { Stream } from './stream.ts'

/** What one stretch gives. */
export interface Found {
  batches: Buffer
  /** The offset behind them. */
  next: number
  /** Reading may go on there: the stretch has no more, or a hole was passed. */
  goesOn: boolean
}

export const noBytes = Buffer.alloc(0)

/** What is to be loaded of a segment. */
export interface Wanted {
  segment: number
  /** Back to back. */
  chunks: Chunk[]
  /** There are more, for which there is no room. */
  isLimited: boolean
  /** Offset at which the chunk behind them begins; undefined when the stretch has no more. */
  following: number | undefined
}

/** Chunks that were loaded, and whose checksums are right. */
export interface Stretch {
  /** Held since it was taken from the pool, for whoever has this. */
  slab: Slab
  wanted: Wanted
  /** The offset from which on it was asked for. */
  from: number
  /** Of the extent. */
  last: number
}

/** The chunk that holds `offset` and those behind it, as many as `bytesMax` asks for. */
export function chunksFor(
  table: { rows: Buffer; count: number; segment: number },
  offset: number,
  bytesMax: number,
): Wanted {
  let low = 0
  let high = table.count - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (batches.readInt64(table.rows, middle * chunkRowBytes) <= offset) low = middle
    else high = middle - 1
  }
  const chunks: Chunk[] = []
  let bytes = 0
  let row = low
  let isLimited = false
  for (; row < table.count; row++) {
    const chunk = readChunk(table.rows, row)
    const before = chunks.at(-1)
    if (before) {
      isLimited = bytes >= bytesMax || bytes + chunk.bytes > bytesMax + chunkSlack
      // A large batch lies where it was put, perhaps among those of other streams.
      if (isLimited || before.position + before.bytes !== chunk.position) break
    }
    chunks.push(chunk)
    bytes += chunk.bytes
  }
  const following = row < table.count ? batches.readInt64(table.rows, row * chunkRowBytes) : undefined
  return { segment: table.segment, chunks, isLimited, following }
}

/** Batches that lie together in a segment, from `row` of the tail on, up to `endOffset`. */
export function placedChunks(
  { tail: rows, tailSlabs }: Stream,
  first: number,
  endOffset: number,
  bytesMax: number,
  atLeastOne: boolean,
): Wanted {
  const segment = rows.get(first, tail.segment)
  const chunks: Chunk[] = []
  let end = rows.get(first, tail.position)
  let left = bytesMax
  for (let row = first; row < rows.count && rows.get(row, tail.last) < endOffset && !tailSlabs[row]; row++) {
    const position = rows.get(row, tail.position)
    if (rows.get(row, tail.segment) !== segment || position !== end) break
    const bytes = rows.get(row, tail.bytes)
    if (bytes > left && !(atLeastOne && row === first))
      return { segment, chunks, isLimited: true, following: undefined }
    left -= bytes
    end += bytes
    const crc = rows.get(row, tail.crc)
    chunks.push({ baseOffset: rows.get(row, tail.base), maxTimestamp: 0, position, bytes, crc })
  }
  return { segment, chunks, isLimited: false, following: undefined }
}

/** The first chunk may hold bytes before the offset: so much more is read to fill the answer. */
const chunkSlack = 64 * 1024

export function cutBatches(
  { slab: { bytes }, wanted, from, last }: Stretch,
  { end, bytesMax, atLeastOne }: { end: number; bytesMax: number; atLeastOne: boolean },
): Found {
  const bytesEnd = wanted.chunks.at(-1)!.position + wanted.chunks.at(-1)!.bytes - wanted.chunks[0]!.position
  let start = 0
  while (start < bytesEnd && batches.lastOffset(bytes, start) < from) start += batches.batchBytes(bytes, start)
  let stop = start
  let next = from
  while (stop < bytesEnd && batches.lastOffset(bytes, stop) < end) {
    const after = stop + batches.batchBytes(bytes, stop)
    if (after - start > bytesMax && !(atLeastOne && stop === start)) break
    next = batches.lastOffset(bytes, stop) + 1
    stop = after
  }
  if (start === bytesEnd) return { batches: noBytes, next: wanted.following ?? last + 1, goesOn: true }
  return { batches: bytes.subarray(start, stop), next, goesOn: !wanted.isLimited && stop === bytesEnd }
}
