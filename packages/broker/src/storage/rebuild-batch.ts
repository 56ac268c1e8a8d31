import { ProtocolError, Writer } from '@dragoman/wire'
import type { BatchRecords } from './batch-records.ts'
import { compress } from './compress.ts'
import { decompress } from './compression.ts'
import {
  attributeBits,
  attributes,
  baseOffset,
  baseTimestamp,
  batchBytes,
  batchHeaderBytes,
  batchLengthOverhead,
  checkBatch,
  compressionNames,
  compressionOf,
  makeBatch,
  maxTimestamp,
  readRecords,
  sealBatch,
  writeInt64,
  type Compression,
  type NewRecord,
  type StoredRecord,
} from './record-batch.ts'
import { Rows } from './rows.ts'
import { snappyStreamHeader } from './snappy.ts'

/** More is not kept for the next batch. */
const scratchBytesMax = 2 * 1024 * 1024

const column = { start: 0, end: 1, restAt: 2, timeDelta: 3 } as const

/**
 * Records of one batch that stay when others go. What is left keeps the batch's offsets, producer and sequence numbers, its
 * owner's epoch and its compression: base offset and last offset delta are as before, though there are fewer records.
 */
export class Survivors {
  readonly #rows = new Rows(4)
  #maxTimestamp = -1
  #scratch: Buffer = Buffer.alloc(0)

  get count(): number {
    return this.#rows.count
  }

  clear(): void {
    this.#rows.dropFirst(this.#rows.count)
    this.#maxTimestamp = -1
  }

  /** The record at which `records` stands; `baseTime` is its batch's base timestamp. */
  add({ start, end, restAt, timeDelta }: BatchRecords, baseTime: number): void {
    const row = this.#rows.add()
    this.#rows.set(row, column.start, start)
    this.#rows.set(row, column.end, end)
    this.#rows.set(row, column.restAt, restAt)
    this.#rows.set(row, column.timeDelta, timeDelta)
    if (baseTime + timeDelta > this.#maxTimestamp) this.#maxTimestamp = baseTime + timeDelta
  }

  /**
   * A batch of these records, of which there is at least one, in the place of the one at `at`, sealed. `plain` are the records
   * of that one uncompressed. With `horizonMs` it becomes the batch's delete horizon. Valid until the next one is rebuilt.
   */
  rebuild(batch: Buffer, at: number, plain: Buffer, horizonMs?: number): Buffer {
    const bits = attributes(batch, at)
    const compression = compressionOf(batch, at) ?? 'none'
    let bytes =
      horizonMs === undefined ? this.#gather(plain) : this.#retime(plain, baseTimestamp(batch, at) - horizonMs)
    if (compression !== 'none') {
      const old = batch.subarray(at + batchHeaderBytes, at + batchBytes(batch, at))
      bytes = Buffer.concat([
        bytes.subarray(0, batchHeaderBytes),
        compress(compression, bytes.subarray(batchHeaderBytes), old),
      ])
    }
    batch.copy(bytes, 0, at, at + batchHeaderBytes)
    bytes.writeInt32BE(bytes.length - batchLengthOverhead, 8)
    if (horizonMs !== undefined) {
      bytes.writeInt16BE(bits | attributeBits.deleteHorizon, 21)
      writeInt64(bytes, 27, horizonMs)
    }
    if ((bits & attributeBits.appendTime) === 0) writeInt64(bytes, 35, this.#maxTimestamp)
    bytes.writeInt32BE(this.count, 57)
    sealBatch(bytes)
    return bytes
  }

  /** The records behind room for a header. Neighbours are copied together. */
  #gather(plain: Buffer): Buffer {
    const rows = this.#rows
    let bytes = batchHeaderBytes
    for (let row = 0; row < rows.count; row++) bytes += rows.get(row, column.end) - rows.get(row, column.start)
    const gathered = this.#room(bytes)
    let at = batchHeaderBytes
    for (let row = 0; row < rows.count;) {
      const start = rows.get(row, column.start)
      let end = rows.get(row, column.end)
      for (row++; row < rows.count && rows.get(row, column.start) === end; row++) end = rows.get(row, column.end)
      at += plain.copy(gathered, at, start, end)
    }
    return gathered
  }

  #room(bytes: number): Buffer {
    if (bytes > scratchBytesMax) return Buffer.allocUnsafeSlow(bytes)
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#scratch.length))
    return this.#scratch.subarray(0, bytes)
  }

  /** The same, retimed: times are told from the base timestamp: when that moves back by `byMs`, each moves on by as much. */
  #retime(plain: Buffer, byMs: number): Buffer {
    const out = new Writer()
    out.fill(batchHeaderBytes)
    const head = new Writer()
    const rows = this.#rows
    for (let row = 0; row < rows.count; row++) {
      const rest = plain.subarray(rows.get(row, column.restAt), rows.get(row, column.end))
      head.i8(0)
      head.varlong(rows.get(row, column.timeDelta) + byMs)
      const bytes = head.take()
      out.varint(bytes.length + rest.length)
      out.bytes(bytes)
      out.bytes(rest)
    }
    return out.take()
  }
}

/** What the records of one batch may come to when they are decompressed. */
const plainBytesMax = 256 * 1024 * 1024

/** The batch with its records in another compression, sealed. Undefined when they cannot be read. */
export function recompressBatch(batch: Buffer, compression: Compression): Buffer | undefined {
  const old = compressionOf(batch)
  if (old === undefined) return undefined
  const body = batch.subarray(batchHeaderBytes, batchBytes(batch))
  try {
    // Not every client reads snappy without the stream around it.
    const packed = compress(compression, decompress(old, body, plainBytesMax), snappyStreamHeader)
    const bytes = Buffer.concat([batch.subarray(0, batchHeaderBytes), packed])
    const bits = (attributes(batch) & ~attributeBits.compression) | compressionNames.indexOf(compression)
    bytes.writeInt32BE(bytes.length - batchLengthOverhead, 8)
    bytes.writeInt16BE(bits, 21)
    sealBatch(bytes)
    return checkBatch(bytes, bytes.length) === undefined ? bytes : undefined
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/**
 * The batch at `at` with each of its records as `change` wants it, at the same offsets and with the same producer; not compressed. Undefined when its
 * records cannot be read.
 */
export function mapBatch(batch: Buffer, at: number, change: (record: StoredRecord) => NewRecord): Buffer | undefined {
  const compression = compressionOf(batch, at)
  if (compression === undefined) return undefined
  const first = baseOffset(batch, at)
  try {
    const body = batch.subarray(at + batchHeaderBytes, at + batchBytes(batch, at))
    const records: NewRecord[] = []
    for (const record of readRecords(batch, decompress(compression, body, plainBytesMax), at))
      records.push({ ...change(record), offsetDelta: record.offset - first })
    if (records.length === 0) return undefined
    const bytes = makeBatch(records)
    // All but sizes, times and attributes.
    batch.copy(bytes, 0, at, at + 8)
    batch.copy(bytes, 12, at + 12, at + 16)
    batch.copy(bytes, 23, at + 23, at + 27)
    batch.copy(bytes, 43, at + 43, at + 57)
    const kept = attributeBits.appendTime | attributeBits.transactional | attributeBits.control
    const bits = attributes(batch, at) & kept
    bytes.writeInt16BE(bits, 21)
    if (bits & attributeBits.appendTime) writeInt64(bytes, 35, maxTimestamp(batch, at))
    sealBatch(bytes)
    return bytes
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
