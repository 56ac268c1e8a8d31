import type { Block } from '../storage/block.ts'
import { blockHeaderBytes, factHeaderBytes } from '../storage/block.ts'
import { combineCrc32c, crc32c } from '../storage/crc32c.ts'
import * as batches from '../storage/record-batch.ts'
import { segmentName } from '../storage/segment.ts'

/**
 * The fact of a large batch, which lies in a segment and not in the journal. Big-endian.
 *
 *   segment u32, the segment's number u32 (its name has the epoch of the block), position u32, CRC-32C of the whole batch u32,
 *   header of the batch (61 bytes)
 *
 * On-disk format, like the facts of streams that it is one of.
 */
export const placedFactBytes = 16 + batches.batchHeaderBytes

/** Where a large batch lies. */
export interface Place {
  segment: number
  position: number
  /** Of all its bytes, with the offset and the epoch that it was given. */
  crc: number
}

export function writePlaced(out: Buffer, at: number, place: Place, segmentNumber: number, header: Buffer): void {
  out.writeUInt32BE(place.segment, at)
  out.writeUInt32BE(segmentNumber, at + 4)
  out.writeUInt32BE(place.position, at + 8)
  out.writeUInt32BE(place.crc, at + 12)
  header.copy(out, at + 16, 0, batches.batchHeaderBytes)
}

export const readPlace = (fact: Buffer): Place => ({
  segment: fact.readUInt32BE(0),
  position: fact.readUInt32BE(8),
  crc: fact.readUInt32BE(12),
})

/** The batch's header within the fact. */
export const placedHeader = (fact: Buffer): Buffer => fact.subarray(16)

/** The checksum of a whole batch, of which the records were summed when it was checked. */
export function sumOfBatch(bytes: Buffer, at: number): number {
  const head = 21
  return combineCrc32c(crc32c(bytes, at, at + head), bytes.readUInt32BE(at + 17), batches.batchBytes(bytes, at) - head)
}

/** A large batch that a block tells of. */
export interface PlacedBatch extends Place {
  /** Of the segment. */
  name: string
  bytes: number
  stream: number
  baseOffset: number
}

/** Type of the fact. No machine but a stream has facts of this number. */
export const placedFact = 200

/** All large batches of a block. */
export function* placedIn(block: Block): Generator<PlacedBatch> {
  const { bytes } = block
  let at = blockHeaderBytes
  for (let left = block.factCount; left > 0; left--) {
    const length = bytes.readUInt32BE(at + 6)
    if (bytes[at] === placedFact && length === placedFactBytes) {
      const fact = bytes.subarray(at + factHeaderBytes, at + factHeaderBytes + length)
      const header = placedHeader(fact)
      yield {
        ...readPlace(fact),
        name: segmentName(block.cell, block.epoch, fact.readUInt32BE(4)),
        bytes: batches.batchBytes(header),
        stream: bytes.readUInt32BE(at + 2),
        baseOffset: batches.baseOffset(header),
      }
    }
    at += factHeaderBytes + length
  }
}
