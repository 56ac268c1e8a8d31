import * as batches from '../storage/record-batch.ts'
import type { Extent, SegmentWriter } from '../storage/segment.ts'
import type { Cell } from './cell.ts'
import type { Placement } from './checkpoint.ts'
import { extent } from './stream.ts'
import type { Stream } from './stream.ts'

/** A segment is rewritten when less than this share of it is in use. */
const liveShareMin = 0.5
/** Live bytes that one round moves at most. */
const roundBytesMax = 32 * 1024 * 1024

interface Survivor {
  stream: Stream
  segment: number
  first: number
}

/**
 * Moves what is still in use out of segments that are mostly dead, so that one long-lived stream does not pin the space of
 * many short-lived ones. The old segments go when no checkpoint names them any more.
 */
export async function rewriteSparse(
  cell: Cell,
  placement: Placement,
  create: () => Promise<{ id: number; name: string; writer: SegmentWriter }>,
): Promise<void> {
  const survivors = findSurvivors(cell, placement)
  if (survivors.length === 0) return
  const { id, name, writer } = await create()
  try {
    for (const survivor of survivors) await copyExtent(cell, placement, survivor, writer)
    const placed = await writer.finish()
    placement.segments.set(id, { id, name, bytes: writer.bytes })
    const wanted = new Map(survivors.map(survivor => [`${survivor.stream.id}:${survivor.first}`, survivor]))
    for (const moved of placed) {
      const survivor = wanted.get(`${moved.stream}:${moved.firstOffset}`)
      if (survivor) moveExtent(cell, survivor, moved, id)
    }
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** Extents of sparse segments, in order of stream and offset. */
function findSurvivors(cell: Cell, placement: Placement): Survivor[] {
  const live = new Map<number, number>()
  for (const { extents } of cell.state.streams.values()) {
    for (let row = 0; row < extents.count; row++) {
      const segment = extents.get(row, extent.segment)
      live.set(segment, (live.get(segment) ?? 0) + extents.get(row, extent.bytes))
    }
  }
  const chosen = new Set<number>()
  let bytes = 0
  for (const { id, bytes: whole } of placement.segments.values()) {
    const used = live.get(id) ?? 0
    if (used === 0 || used > whole * liveShareMin || bytes + used > roundBytesMax) continue
    chosen.add(id)
    bytes += used
  }
  const survivors: Survivor[] = []
  for (const stream of [...cell.state.streams.values()].sort((a, b) => a.id - b.id)) {
    for (let row = 0; row < stream.extents.count; row++) {
      const segment = stream.extents.get(row, extent.segment)
      if (chosen.has(segment)) survivors.push({ stream, segment, first: stream.extents.get(row, extent.first) })
    }
  }
  return survivors
}

/** Copies one extent, unless it was trimmed away meanwhile. */
async function copyExtent(cell: Cell, { segments }: Placement, survivor: Survivor, writer: SegmentWriter): Promise<void> {
  const { stream, segment, first } = survivor
  const row = rowOf(survivor)
  if (row < 0) return
  writer.begin(stream.id)
  const bytes = Buffer.allocUnsafeSlow(stream.extents.get(row, extent.bytes))
  const name = segments.get(segment)?.name ?? ''
  const count = await cell.options.blobs.read(name, stream.extents.get(row, extent.position), bytes)
  if (count !== bytes.length) throw new Error(`Segment ${name} is cut short at offset ${first} of stream ${stream.id}`)
  for (let at = 0; at < bytes.length; ) {
    const length = batches.batchBytes(bytes, at)
    const [base, last] = [batches.baseOffset(bytes, at), batches.lastOffset(bytes, at)]
    const wait = writer.add(bytes, at, length, base, last, batches.maxTimestamp(bytes, at))
    if (wait) await wait
    at += length
  }
}

function moveExtent(cell: Cell, { stream, segment }: Survivor, placed: Extent, id: number): void {
  const row = rowOf({ stream, segment, first: placed.firstOffset })
  if (row < 0 || cell.state.streams.get(stream.id) !== stream) return
  stream.extents.set(row, extent.segment, id)
  stream.extents.set(row, extent.position, placed.position)
  stream.extents.set(row, extent.chunkPosition, placed.chunkPosition)
  stream.extents.set(row, extent.chunkCount, placed.chunkCount)
}

/** The extent's row now, or -1 when it is gone. */
function rowOf({ stream, segment, first }: Survivor): number {
  const row = stream.extents.lastAtMost(extent.first, first)
  if (row < 0 || stream.extents.get(row, extent.first) !== first) return -1
  return stream.extents.get(row, extent.segment) === segment ? row : -1
}
