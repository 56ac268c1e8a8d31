import { ProtocolError } from '@dragoman/wire'
import { decompress } from './compression.ts'
import {
  batchBytes,
  batchHeaderBytes,
  compressionOf,
  lastOffsetDelta,
  recordCount,
  type Compression,
} from './record-batch.ts'

/** What the records of one batch may grow to when they must be looked at. */
const plainBytesMax = 256 * 1024 * 1024

/**
 * Goes through the records of stored batches and tells where their parts lie; no object is made for a record.
 *
 *   if (records.open(batch)) while (records.next()) … ; if (!records.isSound) …
 *
 * Records were stored unseen: they may be anything. Those that are told before damage shows are within the batch, in order.
 */
export class BatchRecords {
  /** The records uncompressed, as they lie between `start` and `end` of each. */
  plain: Buffer = Buffer.alloc(0)
  /** The present record, its length field included. */
  start = 0
  end = 0
  timeDelta = 0
  /** Where the offset's delta begins: before it are length, attributes and the time's delta. */
  restAt = 0
  offsetDelta = -1
  /** -1: the record has no key. */
  keyBytes = -1
  keyAt = 0
  hasValue = false
  /** Behind the last record: all of the batch was records, with ascending offsets and as many as its header says. */
  isSound = false
  #at = 0
  #left = 0
  #count = 0
  #lastDelta = 0

  /** Before the first record of the batch at `at`. False when it cannot be decompressed. */
  open(batch: Buffer, at = 0): boolean {
    this.#count = recordCount(batch, at)
    this.#lastDelta = lastOffsetDelta(batch, at)
    const plain = uncompressed(
      compressionOf(batch, at),
      batch.subarray(at + batchHeaderBytes, at + batchBytes(batch, at)),
    )
    this.plain = plain ?? noBytes
    this.rewind()
    return plain !== undefined
  }

  /** Before the first record of the same batch again. */
  rewind(): void {
    this.isSound = false
    this.offsetDelta = -1
    this.#at = 0
    this.#left = this.#count
  }

  /** False behind the last record, and where the bytes are no record. */
  next(): boolean {
    if (this.#left === 0) {
      this.isSound = this.#at === this.plain.length
      return false
    }
    this.#left--
    return this.#read()
  }

  #read(): boolean {
    const before = this.offsetDelta
    this.start = this.#at
    const length = this.#varint()
    this.end = this.#at + length
    if (!(length > 0 && this.end <= this.plain.length)) return false
    this.#at++ // Attributes: none are defined.
    this.timeDelta = this.#varlong()
    this.restAt = this.#at
    this.offsetDelta = this.#varint()
    this.keyBytes = Math.max(-1, this.#varint())
    this.keyAt = this.#at
    if (this.keyBytes > 0) this.#at += this.keyBytes
    const valueBytes = this.#varint()
    this.hasValue = valueBytes >= 0
    // What is not a number makes one of these untrue.
    const isWithin = this.#at + Math.max(0, valueBytes) <= this.end && !Number.isNaN(this.timeDelta)
    this.#at = this.end
    return isWithin && this.offsetDelta > before && this.offsetDelta <= this.#lastDelta
  }

  /** NaN when there is none. */
  #varint(): number {
    const { plain } = this
    let zigzag = 0
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = plain[this.#at++]
      if (byte === undefined) break
      zigzag |= (byte & 0x7f) << shift
      if (byte < 0x80) return (zigzag >>> 1) ^ -(zigzag & 1)
    }
    return NaN
  }

  /** As a double, exact up to 2^53. */
  #varlong(): number {
    const { plain } = this
    let zigzag = 0
    let unit = 1
    for (let count = 0; count < 10; count++) {
      const byte = plain[this.#at++]
      if (byte === undefined) break
      zigzag += (byte & 0x7f) * unit
      unit *= 128
      if (byte < 0x80) return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2
    }
    return NaN
  }
}

/** Indexes of the first `countMax` records without a key. Undefined when not all of the batch is records. */
export function recordsWithoutKey(batch: Buffer, countMax: number): number[] | undefined {
  const records = new BatchRecords()
  const found: number[] = []
  records.open(batch)
  for (let index = 0; records.next(); index++) {
    if (records.keyBytes < 0 && found.length < countMax) found.push(index)
  }
  return records.isSound ? found : undefined
}

const noBytes = Buffer.alloc(0)

function uncompressed(compression: Compression | undefined, bytes: Buffer): Buffer | undefined {
  if (compression === undefined) return undefined
  try {
    return decompress(compression, bytes, plainBytesMax)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
