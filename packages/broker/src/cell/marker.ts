import { attributeBits, makeBatch, readRecords, batchHeaderBytes } from '../storage/record-batch.ts'

/** What a control batch says: how the producer's transaction ended, and under which owner. */
export interface Marker {
  isCommitted: boolean
  coordinatorEpoch: number
}

/** Key of a control record: version, then how it ended. Value: version, then the epoch of who decided it. Fixed by clients that exist. */
const version = 0
const kinds = { abort: 0, commit: 1 } as const

/** The control batch of one record that ends a producer's transaction in a stream. */
export function makeMarker(
  { isCommitted, coordinatorEpoch }: Marker,
  { producerId, producerEpoch, timeMs }: { producerId: number; producerEpoch: number; timeMs: number },
): Buffer {
  const key = Buffer.alloc(4)
  key.writeInt16BE(version, 0)
  key.writeInt16BE(isCommitted ? kinds.commit : kinds.abort, 2)
  const value = Buffer.alloc(6)
  value.writeInt16BE(version, 0)
  value.writeInt32BE(coordinatorEpoch, 2)
  const attributes = attributeBits.transactional | attributeBits.control
  return makeBatch([{ key, value, timestampMs: timeMs }], { producerId, producerEpoch, attributes })
}

/** Reads a control batch. Undefined when it is of a kind that ends no transaction. */
export function readMarker(batch: Buffer): Marker | undefined {
  for (const { key, value } of readRecords(batch, batch.subarray(batchHeaderBytes))) {
    if (key === null || key.length < 4) return undefined
    const kind = key.readInt16BE(2)
    if (kind !== kinds.abort && kind !== kinds.commit) return undefined
    const coordinatorEpoch = value !== null && value.length >= 6 ? value.readInt32BE(2) : -1
    return { isCommitted: kind === kinds.commit, coordinatorEpoch }
  }
  return undefined
}
