import {
  batchBytes,
  batchHeaderBytes,
  baseOffset,
  checkBatch,
  makeBatch,
  readRecords,
  type NewBatch,
} from '../../packages/broker/src/storage/record-batch.ts'
import type { RecordId } from './history.ts'

const idBytes = 8

/** A record's value: its id and filler that follows from the id, so that any altered byte shows. */
export function valueOf({ producer, index }: RecordId): Buffer {
  const value = Buffer.alloc(
    idBytes + ((Math.imul(index + 1, 0x9e3779b1) >>> 0) % (index % 16 === 0 ? 3000 : 60)),
    index & 0xff,
  )
  value.writeUInt32BE(producer, 0)
  value.writeUInt32BE(index, 4)
  return value
}

export function batchOf(ids: readonly RecordId[], timestampMs: number, options: NewBatch = {}): Buffer {
  return makeBatch(
    ids.map(id => ({ value: valueOf(id), timestampMs })),
    options,
  )
}

export interface FoundRecord {
  offset: number
  id: RecordId
}

/** The records of fetched bytes, whole batches one after the other. Throws when anything is not as it was sent. */
export function recordsOf(bytes: Buffer): FoundRecord[] {
  const found: FoundRecord[] = []
  for (let at = 0; at < bytes.length;) {
    const batch = bytes.subarray(at, at + batchBytes(bytes, at))
    const error = checkBatch(batch, batch.length)
    if (error) throw new Error(`the batch at offset ${baseOffset(batch)} is ${error}`)
    for (const { offset, value } of readRecords(batch, batch.subarray(batchHeaderBytes))) {
      found.push({ offset, id: idOf(offset, value) })
    }
    at += batch.length
  }
  return found
}

/** Whose record a value is. Throws when it is not as it was sent. */
export function idOf(offset: number, value: Uint8Array | null): RecordId {
  if (!value || value.length < idBytes) throw new Error(`offset ${offset} has no value`)
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const id = { producer: bytes.readUInt32BE(0), index: bytes.readUInt32BE(4) }
  if (!bytes.equals(valueOf(id))) throw new Error(`offset ${offset} is altered`)
  return id
}
