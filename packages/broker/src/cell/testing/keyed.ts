import assert from 'node:assert/strict'
import { BatchRecords } from '../../storage/batch-records.ts'
import { compress } from '../../storage/compress.ts'
import { decompress } from '../../storage/compression.ts'
import * as batches from '../../storage/record-batch.ts'
import type { LocalCellClient } from '../local-client.ts'
import { fetchOne } from './cells.ts'

/** What tests of compaction share: records with keys, in batches with holes. */

export interface Keyed {
  key: string | null
  value: string | null
  timestampMs?: number
}

export function keyedBatch(
  records: readonly Keyed[],
  { compression = 'none', ...options }: batches.NewBatch & { compression?: batches.Compression } = {},
): Buffer {
  const plain = batches.makeBatch(
    records.map(({ key, value, timestampMs = 1000 }) => ({
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestampMs,
    })),
    options,
  )
  const body = compress(compression, plain.subarray(batches.batchHeaderBytes))
  const batch = Buffer.concat([plain.subarray(0, batches.batchHeaderBytes), body])
  batch.writeInt32BE(batch.length - batches.batchLengthOverhead, 8)
  batch.writeInt16BE((options.attributes ?? 0) | batches.compressionNames.indexOf(compression), 21)
  batches.sealBatch(batch)
  return batch
}

export interface FoundRecord {
  offset: number
  key: string | null
  value: string | null
  timestampMs: number
}

/** Records of stored batches, each of which must be whole: checksum, counts, offsets in order. */
export function keyedRecords(pieces: readonly Buffer[], from = 0): FoundRecord[] {
  const found: FoundRecord[] = []
  const records = new BatchRecords()
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
      const batch = bytes.subarray(at, at + batches.batchBytes(bytes, at))
      const { sum, count } = { sum: batch.readUInt32BE(17), count: batches.recordCount(batch) }
      batches.sealBatch(batch)
      assert.equal(batch.readUInt32BE(17), sum, `the checksum of the batch at ${batches.baseOffset(batch)}`)
      assert(count > 0, 'an empty batch')
      records.open(batch)
      while (records.next());
      assert(records.isSound, `the batch at ${batches.baseOffset(batch)} does not hold records`)
      if (batches.attributes(batch) & batches.attributeBits.control) continue
      const plain = decompress(batches.compressionOf(batch)!, batch.subarray(batches.batchHeaderBytes), 1e9)
      for (const { offset, key, value, timestampMs } of batches.readRecords(batch, plain)) {
        const words = { key: key && String(key), value: value && String(value) }
        if (offset >= from) found.push({ offset, ...words, timestampMs })
      }
    }
  }
  return found
}

/** Reads a stream as a consumer does, batch by batch from its start; every answer before the end must hold something. */
export async function readKeyed(client: LocalCellClient, stream: number, maxBytes = 10_000): Promise<FoundRecord[]> {
  const found: FoundRecord[] = []
  for (let offset = client.bounds(stream)!.startOffset; offset < client.bounds(stream)!.endOffset;) {
    const read = await fetchOne(client, stream, offset, maxBytes)
    const { startOffset } = client.bounds(stream)!
    if (read.error === 'offset-out-of-range' && startOffset > offset) {
      offset = startOffset // Trimmed meanwhile.
      continue
    }
    assert.equal(read.error, undefined)
    assert(read.bytes > 0, `nothing at ${offset}, and the end is ${client.bounds(stream)!.endOffset}`)
    const pieces = read.batches.map(bytes => Buffer.from(bytes))
    read.release()
    found.push(...keyedRecords(pieces, offset))
    const last = pieces.at(-1)!
    for (let at = 0; at < last.length; at += batches.batchBytes(last, at)) offset = batches.lastOffset(last, at) + 1
  }
  return found
}
