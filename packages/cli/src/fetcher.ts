import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import { decompress } from '@dragoman/broker/compression'
import {
  attributeBits,
  attributes,
  batchBytes,
  batchHeaderBytes,
  compressionOf,
  lastOffset,
  readRecords,
  type StoredRecord,
} from '@dragoman/broker/record-batch'
import type { Cluster } from './cluster.ts'
import { check } from './errors.ts'
import { offsetsAt, type PartitionOffsets } from './positions.ts'
import { CommandError } from './command.ts'

/** The newest version that names topics instead of giving their ids. */
const versionWithNames = 12
const fetchBytesMax = 16 * 1024 * 1024
const partitionBytesMax = 4 * 1024 * 1024
/** A batch that unpacks to more is refused. */
const unpackedBytesMax = 512 * 1024 * 1024

export interface Fetched {
  topic: string
  partition: number
  records: StoredRecord[]
  /** Where the partition goes on. */
  next: number
}

/** One fetch over all positions; waits up to `waitMs` for something to come. */
export async function fetchRecords(cluster: Cluster, positions: PartitionOffsets, waitMs: number): Promise<Fetched[]> {
  const answer = await cluster.request(
    apis.fetch,
    {
      maxWaitMs: waitMs,
      minBytes: 1,
      maxBytes: fetchBytesMax,
      isolationLevel: 1,
      topics: [...positions].map(([topic, partitions]) => ({
        topic,
        partitions: [...partitions].map(([partition, fetchOffset]) => ({
          partition,
          fetchOffset,
          partitionMaxBytes: partitionBytesMax,
        })),
      })),
    },
    { versionMax: versionWithNames, timeoutMs: waitMs + 30_000 },
  )
  check(answer.errorCode, 'Cannot fetch')
  const fetched: Fetched[] = []
  for (const { topic, partitions } of answer.responses) {
    for (const { partitionIndex: partition, errorCode, records } of partitions) {
      const from = positions.get(topic)?.get(partition) ?? 0
      if (errorCode === codes.offsetOutOfRange) fetched.push(await jumpToStart(cluster, topic, partition, from))
      else {
        check(errorCode, `Cannot fetch from ${topic}/${partition}`)
        const bytes = records ?? Buffer.alloc(0)
        fetched.push({ topic, partition, ...unpack(Array.isArray(bytes) ? Buffer.concat(bytes) : bytes, from) })
      }
    }
  }
  return fetched
}

/** Retention has overtaken the reader: it goes on with the oldest that is left, and says so. */
async function jumpToStart(cluster: Cluster, topic: string, partition: number, from: number): Promise<Fetched> {
  const starts = await offsetsAt(cluster, [{ topic, id: '', partitions: [partition] }], { kind: 'beginning' })
  const next = starts.get(topic)?.get(partition) ?? 0
  if (next < from) throw new CommandError(`${topic}/${partition} holds no offset ${from}`)
  process.stderr.write(
    `dragoman: ${topic}/${partition}: offsets ${from} to ${next - 1} are gone; going on with ${next}\n`,
  )
  return { topic, partition, records: [], next }
}

/** The records of whole batches from offset `from` on, and where the partition goes on. */
export function unpack(bytes: Buffer, from: number): { records: StoredRecord[]; next: number } {
  const records: StoredRecord[] = []
  let next = from
  for (let at = 0; at + batchHeaderBytes <= bytes.length;) {
    const end = at + batchBytes(bytes, at)
    if (end > bytes.length) break // A batch may be cut off at the end; the next fetch brings it whole.
    next = lastOffset(bytes, at) + 1
    if ((attributes(bytes, at) & attributeBits.control) === 0) {
      const compression = compressionOf(bytes, at)
      if (compression === undefined)
        throw new CommandError(`The batch at offset ${next} is compressed in an unknown way`)
      const body = decompress(compression, bytes.subarray(at + batchHeaderBytes, end), unpackedBytesMax)
      for (const record of readRecords(bytes, body, at)) if (record.offset >= from) records.push(record)
    }
    at = end
  }
  return { records, next }
}
