import assert from 'node:assert/strict'
import * as batches from '../../storage/record-batch.ts'
import type { CellClient } from '../client.ts'
import { readMarker } from '../marker.ts'

/** A record as those see it who read only what is committed. */
export interface CommittedRecord {
  offset: number
  text: string
  producerId: number
}

/**
 * Reads a stream up to its last stable offset as a client does that wants only what is committed: it leaves out the records of
 * aborted transactions, which the answers name, and the markers. Records are uncompressed texts.
 */
export async function readCommitted(
  client: Pick<CellClient, 'fetch' | 'bounds'>,
  stream: number,
  { from = 0, maxBytes = 700 } = {},
): Promise<CommittedRecord[]> {
  const found: CommittedRecord[] = []
  let offset = Math.max(from, client.bounds(stream)?.startOffset ?? 0)
  for (;;) {
    const wanted = { streams: [{ stream, offset, maxBytes }], minBytes: 0, maxBytes, maxWaitMs: 0, committed: true }
    const next = await new Promise<number>(resolve => {
      client.fetch(wanted, result => {
        const read = result.streams[0]
        assert(read && read.error === undefined, read?.error)
        const end = addCommitted(found, Buffer.concat(read.batches), read.aborted, offset)
        assert(end <= read.stableOffset, 'nothing unstable is handed out')
        result.release()
        resolve(end)
      })
    })
    if (next === offset) return found
    offset = next
  }
}

/** Returns the offset behind the batches. */
function addCommitted(
  found: CommittedRecord[],
  bytes: Buffer,
  aborted: readonly { producerId: number; firstOffset: number }[],
  from: number,
): number {
  const waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const skipped = new Set<number>()
  let next = from
  for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
    const batch = bytes.subarray(at, at + batches.batchBytes(bytes, at))
    next = batches.lastOffset(batch) + 1
    while (waiting[0] !== undefined && waiting[0].firstOffset < next) skipped.add(waiting.shift()!.producerId)
    const producerId = batches.producerId(batch)
    const bits = batches.attributes(batch)
    if (bits & batches.attributeBits.control) {
      if (readMarker(batch)?.isCommitted === false) skipped.delete(producerId)
      continue
    }
    if (bits & batches.attributeBits.transactional && skipped.has(producerId)) continue
    for (const { offset, value } of batches.readRecords(batch, batch.subarray(batches.batchHeaderBytes))) {
      if (offset >= from) found.push({ offset, text: String(value), producerId })
    }
  }
  return next
}
