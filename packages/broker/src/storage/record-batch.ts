import { Reader, Writer } from '@dragoman/wire'
import { crc32c } from './crc32c.ts'

/**
 * The one stored form of messages: a record batch, version 2.
 *
 *   offset size field
 *        0    8 base offset               (outside the checksum: the owner assigns it)
 *        8    4 length of all that follows
 *       12    4 leader epoch              (outside the checksum)
 *       16    1 magic = 2
 *       17    4 CRC-32C of bytes 21 to the end
 *       21    2 attributes                bits 0-2 compression, 3 time of append, 4 transactional, 5 control, 6 delete horizon,
 *                                   14 the broker's own headers come first in some of its records
 *       23    4 last offset delta
 *       27    8 base timestamp            with bit 6 the delete horizon: when tombstones in it may go
 *       35    8 greatest timestamp
 *       43    8 producer id               (-1: none)
 *       51    2 producer epoch
 *       53    4 base sequence
 *       57    4 record count
 *       61      records, compressed as the attributes say
 *
 * On-disk and on-wire format, fixed by clients that exist: it cannot be changed.
 */
export const batchHeaderBytes = 61
/** Bytes of a batch that its own length field does not count. */
export const batchLengthOverhead = 12

export const compressionNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Compression = (typeof compressionNames)[number]

export const attributeBits = {
  compression: 0x07,
  appendTime: 0x08,
  transactional: 0x10,
  control: 0x20,
  deleteHorizon: 0x40,
  ownHeaders: 0x4000,
} as const

/** Why a batch cannot be taken. */
export type BatchError =
  | 'message-corrupt'
  | 'message-invalid'
  | 'message-too-large'
  | 'compression-unsupported'
  | 'timestamp-invalid'

/** Whole size of the batch at `at`, from its length field. */
export const batchBytes = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 8) + batchLengthOverhead
export const baseOffset = (bytes: Buffer, at = 0): number => readInt64(bytes, at)
export const lastOffset = (bytes: Buffer, at = 0): number => readInt64(bytes, at) + bytes.readInt32BE(at + 23)
export const leaderEpoch = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 12)
export const attributes = (bytes: Buffer, at = 0): number => bytes.readInt16BE(at + 21)
export const lastOffsetDelta = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 23)
export const baseTimestamp = (bytes: Buffer, at = 0): number => readInt64(bytes, at + 27)
export const maxTimestamp = (bytes: Buffer, at = 0): number => readInt64(bytes, at + 35)
export const producerId = (bytes: Buffer, at = 0): number => readInt64(bytes, at + 43)
export const producerEpoch = (bytes: Buffer, at = 0): number => bytes.readInt16BE(at + 51)
export const baseSequence = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 53)
export const recordCount = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 57)
export const compressionOf = (bytes: Buffer, at = 0): Compression | undefined =>
  compressionNames[attributes(bytes, at) & attributeBits.compression]

/** The time from which the batch's tombstones, or it as a marker, may be removed; undefined while none is set. */
export const deleteHorizon = (bytes: Buffer, at = 0): number | undefined =>
  attributes(bytes, at) & attributeBits.deleteHorizon ? baseTimestamp(bytes, at) : undefined

/** Puts the batch at its place in the log. Touches only bytes that the checksum leaves out. */
export function placeBatch(bytes: Buffer, at: number, offset: number, epoch: number): void {
  writeInt64(bytes, at, offset)
  bytes.writeInt32BE(epoch, at + 12)
}

/** Stamps all records with the time of append, as a topic may ask for, and renews the checksum. */
export function stampBatch(bytes: Buffer, at: number, timeMs: number): void {
  bytes.writeInt16BE(attributes(bytes, at) | attributeBits.appendTime, at + 21)
  writeInt64(bytes, at + 35, timeMs)
  sealBatch(bytes, at)
}

/** Renews the checksum after a change inside it. */
export function sealBatch(bytes: Buffer, at = 0): void {
  bytes.writeUInt32BE(crc32c(bytes, at + 21, at + batchBytes(bytes, at)), at + 17)
}

/**
 * Checks the one batch that `bytes` must consist of: sizes, magic, checksum, counts, and that the records fill it when they are
 * not compressed. Returns undefined when it may be stored.
 */
export function checkBatch(bytes: Buffer, bytesMax: number): BatchError | undefined {
  if (bytes.length < batchHeaderBytes) return 'message-corrupt'
  if (bytes.length > bytesMax) return 'message-too-large'
  if (bytes[16] !== 2) return 'message-invalid'
  if (batchBytes(bytes) !== bytes.length) return 'message-corrupt'
  if (bytes.readUInt32BE(17) !== crc32c(bytes, 21, bytes.length)) return 'message-corrupt'
  const count = recordCount(bytes)
  if (count <= 0 || lastOffsetDelta(bytes) !== count - 1) return 'message-invalid'
  const compression = compressionOf(bytes)
  if (compression === undefined) return 'compression-unsupported'
  return compression === 'none' && !holdsRecords(bytes, count) ? 'message-invalid' : undefined
}

/** The least record: length, attributes, two deltas, lengths of key and value, count of headers. */
const recordBytesMin = 7

/** Goes from length to length: a count that the records do not bear out would tear a hole into the offsets. */
function holdsRecords(bytes: Buffer, count: number): boolean {
  let at = batchHeaderBytes
  for (let left = count; left > 0; left--) {
    let zigzag = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined || shift > 28) return false
      zigzag |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    const length = (zigzag >>> 1) ^ -(zigzag & 1)
    if (length < recordBytesMin - 1 || length > bytes.length - at) return false
    at += length
  }
  return at === bytes.length
}

/** One record of a batch. Bytes are slices of the batch. */
export interface StoredRecord {
  offset: number
  timestampMs: number
  key: Buffer | null
  value: Buffer | null
  headers: { key: string; value: Buffer | null }[]
}

/** Headers whose names begin with this are the broker's own, when they come before all others. */
export const ownHeaderMark = '~'

export interface NewRecord {
  key?: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly { key: string; value: Uint8Array | null }[]
  timestampMs: number
  /** From the base offset of its batch; its index when absent. */
  offsetDelta?: number
}

/** Records of an uncompressed body (`records` of the batch after decompression). Throws `ProtocolError` when the bytes are not records. */
export function* readRecords(batch: Buffer, body: Buffer, at = 0): Generator<StoredRecord> {
  const reader = new Reader(body)
  const first = baseOffset(batch, at)
  const time = baseTimestamp(batch, at)
  const appendTime = attributes(batch, at) & attributeBits.appendTime ? maxTimestamp(batch, at) : undefined
  for (let left = recordCount(batch, at); left > 0; left--) {
    const record = new Reader(reader.bytes(reader.varint()))
    record.i8() // Attributes: none are defined.
    const timestampMs = appendTime ?? time + record.varlong()
    if (appendTime !== undefined) record.varlong()
    const offset = first + record.varint()
    const key = readVarBytes(record)
    const value = readVarBytes(record)
    const headers: StoredRecord['headers'] = []
    for (let count = record.varint(); count > 0; count--) {
      const name = record.bytes(record.varint()).toString()
      headers.push({ key: name, value: readVarBytes(record) })
    }
    yield { offset, timestampMs, key, value, headers }
  }
}

function readVarBytes(reader: Reader): Buffer | null {
  const length = reader.varint()
  return length < 0 ? null : reader.bytes(length)
}

export interface NewBatch {
  producerId?: number
  producerEpoch?: number
  baseSequence?: number
  attributes?: number
}

/** An uncompressed batch of at least one record, base offset 0, sealed. */
export function makeBatch(records: readonly NewRecord[], options: NewBatch = {}): Buffer {
  const out = batchWriter
  // What a record that could not be written has left behind.
  if (out.length > 0) out.take()
  out.fill(batchHeaderBytes)
  const base = records[0]!.timestampMs
  let newest = base
  let bits = options.attributes ?? 0
  for (const [index, record] of records.entries()) {
    if (record.timestampMs > newest) newest = record.timestampMs
    if (record.headers?.[0]?.key.startsWith(ownHeaderMark)) bits |= attributeBits.ownHeaders
    writeRecord(out, record, record.offsetDelta ?? index, record.timestampMs - base)
  }
  const bytes = out.take()
  bytes.writeInt32BE(bytes.length - batchLengthOverhead, 8)
  bytes[16] = 2
  bytes.writeInt16BE(bits, 21)
  bytes.writeInt32BE(records.length - 1, 23)
  writeInt64(bytes, 27, base)
  writeInt64(bytes, 35, newest)
  writeInt64(bytes, 43, options.producerId ?? -1)
  bytes.writeInt16BE(options.producerEpoch ?? -1, 51)
  bytes.writeInt32BE(options.baseSequence ?? -1, 53)
  bytes.writeInt32BE(records.length, 57)
  sealBatch(bytes)
  return bytes
}

/** Cuts one batch after the other. */
const batchWriter = new Writer()

function writeRecord(out: Writer, record: NewRecord, offsetDelta: number, timeDelta: number): void {
  const { key = null, value, headers = [] } = record
  let bytes = 1 + varintBytes(timeDelta) + varintBytes(offsetDelta) + varBytesSize(key) + varBytesSize(value)
  bytes += varintBytes(headers.length)
  const names = headers.map(header => Buffer.from(header.key))
  for (const [index, header] of headers.entries()) bytes += varBytesSize(names[index]!) + varBytesSize(header.value)
  out.varint(bytes)
  out.i8(0)
  out.varlong(timeDelta)
  out.varint(offsetDelta)
  writeVarBytes(out, key)
  writeVarBytes(out, value)
  out.varint(headers.length)
  for (const [index, header] of headers.entries()) {
    writeVarBytes(out, names[index]!)
    writeVarBytes(out, header.value)
  }
}

/** Bytes of a signed number, seven bits in each. */
function varintBytes(value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  let bytes = 1
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes++
  return bytes
}

const varBytesSize = (bytes: Uint8Array | null): number =>
  bytes === null ? 1 : varintBytes(bytes.length) + bytes.length

function writeVarBytes(out: Writer, bytes: Uint8Array | null): void {
  if (bytes === null) return out.varint(-1)
  out.varint(bytes.length)
  out.bytes(bytes)
}

/** A signed 64-bit integer as a double: exact up to 2^53, which offsets and times do not pass. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
}

export function writeInt64(bytes: Buffer, at: number, value: number): void {
  bytes.writeInt32BE(Math.floor(value / 0x1_0000_0000), at)
  bytes.writeUInt32BE(value >>> 0, at + 4)
}
