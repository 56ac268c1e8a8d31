import { ProtocolError } from '@dragoman/wire'
import { decompress } from '../storage/compression.ts'
import * as batches from '../storage/record-batch.ts'
import type { Rows } from '../storage/rows.ts'
import type { Slab } from '../storage/slab.ts'
import type { Cell } from './cell.ts'
import type { TimedOffset } from './client.ts'
import { DamagedRange } from './reader.ts'
import type { StreamReader } from './reader.ts'
import { extent, tail } from './stream.ts'
import type { Stream } from './stream.ts'

const readBytes = 1024 * 1024
/** What one batch may grow to when its records must be looked at. */
const decompressedBytesMax = 256 * 1024 * 1024

/** The first record whose time is `at` or later. Extents and tail rows tell their greatest time, so only few of them are read. */
export async function timeLookup(
  cell: Cell,
  reader: StreamReader,
  id: number,
  at: number,
): Promise<TimedOffset | undefined> {
  const stream = cell.state.streams.get(id)
  if (!stream) return undefined
  // By offset and not by row: rows move while one of them is read.
  for (let offset = stream.startOffset; ;) {
    const range = nextRange(stream, Math.max(offset, stream.startOffset), at)
    if (!range) return undefined
    const found = await scan(stream, reader, range, bytes =>
      firstAt(bytes, Math.max(range.from, stream.startOffset), at),
    )
    if (found) return found
    offset = range.last + 1
  }
}

/** The record with the greatest time; the first of them when there are several. */
export async function newestLookup(cell: Cell, reader: StreamReader, id: number): Promise<TimedOffset | undefined> {
  const stream = cell.state.streams.get(id)
  if (!stream) return undefined
  // What is told of a stretch that begins below the start may be the time of a record that was removed: its batches must be asked.
  let newest: TimedOffset | undefined
  let offset = stream.startOffset
  const first = nextRange(stream, offset, -Infinity)
  if (first && first.begins < offset) {
    await scan(stream, reader, first, bytes => {
      const found = greatest(bytes, first.from)
      if (found && found.timestampMs > (newest?.timestampMs ?? -1)) newest = found
      return undefined
    })
    offset = first.last + 1
  }
  const time = greatestTime(stream, offset)
  if (time <= (newest?.timestampMs ?? -1)) return newest
  return (await timeLookup(cell, reader, id, time)) ?? newest
}

/** A stretch of a stream: an extent, or a batch of the tail. */
interface Range {
  /** Where it begins, and where the lookup does. */
  begins: number
  from: number
  last: number
}

/** The first stretch with anything from `offset` on that holds a time of `at` or later. */
function nextRange(stream: Stream, offset: number, at: number): Range | undefined {
  const { extents, tail: rows } = stream
  for (let row = Math.max(0, extents.lastAtMost(extent.first, offset)); row < extents.count; row++) {
    const last = extents.get(row, extent.last)
    if (last < offset || extents.get(row, extent.maxTimestamp) < at) continue
    const begins = extents.get(row, extent.first)
    return { begins, from: Math.max(offset, begins), last }
  }
  for (let row = Math.max(0, rows.lastAtMost(tail.base, offset)); row < rows.count; row++) {
    const last = rows.get(row, tail.last)
    if (last >= stream.visibleEnd) return undefined
    if (last < offset || rows.get(row, tail.maxTimestamp) < at) continue
    const begins = rows.get(row, tail.base)
    return { begins, from: Math.max(offset, begins), last }
  }
  return undefined
}

/** The greatest time that is told from `offset` on, or -1. */
function greatestTime(stream: Stream, offset: number): number {
  let newest = -1
  const ask = (rows: Rows, lastColumn: number, timeColumn: number): void => {
    for (let row = 0; row < rows.count && rows.get(row, lastColumn) < stream.visibleEnd; row++) {
      if (rows.get(row, lastColumn) >= offset) newest = Math.max(newest, rows.get(row, timeColumn))
    }
  }
  ask(stream.extents, extent.last, extent.maxTimestamp)
  ask(stream.tail, tail.last, tail.maxTimestamp)
  return newest
}

/** Calls `look` for the batches of the range until it gives an answer. */
async function scan(
  stream: Stream,
  reader: StreamReader,
  { from, last }: Range,
  look: (batch: Buffer) => TimedOffset | undefined,
): Promise<TimedOffset | undefined> {
  for (let offset = from; offset <= last && offset < stream.visibleEnd;) {
    const held: Slab[] = []
    offset = Math.max(offset, stream.startOffset)
    try {
      const read = await reader.read(stream, offset, readBytes, true, held)
      if (read.error === 'offset-out-of-range' && stream.startOffset > offset) continue // It was trimmed under the read.
      if (read.error === 'storage-corrupt')
        throw new DamagedRange(`stream ${stream.id} cannot be read at offset ${offset}`)
      if (read.error || read.batches.length === 0) return undefined
      for (const bytes of read.batches) {
        for (let position = 0; position < bytes.length; position += batches.batchBytes(bytes, position)) {
          const found = look(bytes.subarray(position, position + batches.batchBytes(bytes, position)))
          if (found) return found
          offset = batches.lastOffset(bytes, position) + 1
          if (offset > last) return undefined
        }
      }
    } finally {
      for (const slab of held) slab.release()
    }
  }
  return undefined
}

function firstAt(batch: Buffer, from: number, at: number): TimedOffset | undefined {
  if (batches.maxTimestamp(batch) < at || batches.lastOffset(batch) < from) return undefined
  for (const record of timesOf(batch, from)) if (record.timestampMs >= at) return record
  return undefined
}

/** By its header, unless the batch begins before `from`. */
function greatest(batch: Buffer, from: number): TimedOffset | undefined {
  if (batches.baseOffset(batch) >= from) return firstAt(batch, from, batches.maxTimestamp(batch))
  let newest: TimedOffset | undefined
  for (const record of timesOf(batch, from)) if (record.timestampMs > (newest?.timestampMs ?? -1)) newest = record
  return newest
}

/** Offsets and times of a batch's records from offset `from` on. Records are stored unseen: one that cannot be read counts as a whole. */
function timesOf(batch: Buffer, from: number): TimedOffset[] {
  const epoch = batches.leaderEpoch(batch)
  const found: TimedOffset[] = []
  try {
    const plain = decompress(
      batches.compressionOf(batch) ?? 'none',
      batch.subarray(batches.batchHeaderBytes),
      decompressedBytesMax,
    )
    for (const { offset, timestampMs } of batches.readRecords(batch, plain)) {
      if (offset >= from) found.push({ offset, timestampMs, epoch })
    }
    return found
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return [{ offset: Math.max(from, batches.baseOffset(batch)), timestampMs: batches.maxTimestamp(batch), epoch }]
  }
}
