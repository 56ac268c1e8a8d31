import { decompress } from '../storage/compression.ts'
import * as batches from '../storage/record-batch.ts'
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

/** The first record whose time is `at` or later. Extents and tail rows tell their greatest time, so only one of them is read. */
export async function timeLookup(cell: Cell, reader: StreamReader, id: number, at: number): Promise<TimedOffset | undefined> {
  const stream = cell.state.streams.get(id)
  if (!stream) return undefined
  for (let row = 0; row < stream.extents.count; row++) {
    if (stream.extents.get(row, extent.maxTimestamp) < at || stream.extents.get(row, extent.last) < stream.startOffset) continue
    const from = Math.max(stream.startOffset, stream.extents.get(row, extent.first))
    const found = await scan(stream, reader, from, stream.extents.get(row, extent.last), at)
    if (found) return found
  }
  for (let row = 0; row < stream.tail.count && stream.tail.get(row, tail.last) < stream.visibleEnd; row++) {
    if (stream.tail.get(row, tail.maxTimestamp) < at || stream.tail.get(row, tail.last) < stream.startOffset) continue
    const from = Math.max(stream.startOffset, stream.tail.get(row, tail.base))
    const found = await scan(stream, reader, from, stream.tail.get(row, tail.last), at)
    if (found) return found
  }
  return undefined
}

/** The record with the greatest time; the first of them when there are several. */
export async function newestLookup(cell: Cell, reader: StreamReader, id: number): Promise<TimedOffset | undefined> {
  const stream = cell.state.streams.get(id)
  if (!stream) return undefined
  let newest = -1
  for (let row = 0; row < stream.extents.count; row++) newest = Math.max(newest, stream.extents.get(row, extent.maxTimestamp))
  for (let row = 0; row < stream.tail.count && stream.tail.get(row, tail.last) < stream.visibleEnd; row++) {
    newest = Math.max(newest, stream.tail.get(row, tail.maxTimestamp))
  }
  return newest < 0 ? undefined : timeLookup(cell, reader, id, newest)
}

/** Looks through the batches of `[from, last]`. */
async function scan(stream: Stream, reader: StreamReader, from: number, last: number, at: number): Promise<TimedOffset | undefined> {
  for (let offset = from; offset <= last && offset < stream.visibleEnd; ) {
    const held: Slab[] = []
    try {
      const read = await reader.read(stream, offset, readBytes, true, held)
      if (read.error === 'storage-corrupt') throw new DamagedRange(`stream ${stream.id} cannot be read at offset ${offset}`)
      if (read.error || read.batches.length === 0) return undefined
      for (const bytes of read.batches) {
        for (let position = 0; position < bytes.length; position += batches.batchBytes(bytes, position)) {
          const found = lookInto(bytes, position, Math.max(from, stream.startOffset), at)
          if (found) return found
          offset = batches.lastOffset(bytes, position) + 1
        }
      }
    } finally {
      for (const slab of held) slab.release()
    }
  }
  return undefined
}

function lookInto(bytes: Buffer, position: number, from: number, at: number): TimedOffset | undefined {
  if (batches.maxTimestamp(bytes, position) < at || batches.lastOffset(bytes, position) < from) return undefined
  const body = bytes.subarray(position + batches.batchHeaderBytes, position + batches.batchBytes(bytes, position))
  const plain = decompress(batches.compressionOf(bytes, position) ?? 'none', body, decompressedBytesMax)
  for (const record of batches.readRecords(bytes, plain, position)) {
    if (record.timestampMs >= at && record.offset >= from) {
      return { offset: record.offset, timestampMs: record.timestampMs, epoch: batches.leaderEpoch(bytes, position) }
    }
  }
  return undefined
}
