import assert from 'node:assert/strict'
import { realRuntime } from '../../../packages/broker/src/runtime/real/real-runtime.ts'
import { readMarker } from '../../../packages/broker/src/cell/marker.ts'
import { KafkaConnection } from '../../../packages/broker/src/protocols/kafka/client.ts'
import { apis } from '../../../packages/broker/src/protocols/kafka/messages/index.ts'
import {
  attributeBits,
  attributes,
  batchBytes,
  batchHeaderBytes,
  lastOffset,
  makeBatch,
  producerId,
  readRecords,
  type NewBatch,
} from '../../../packages/broker/src/storage/record-batch.ts'

/** Numbers as records, and back: what goes through the pipeline. */

export async function connect(address: string): Promise<KafkaConnection> {
  const [host = '', port] = address.split(':')
  return KafkaConnection.open(await realRuntime().network.connect({ host, port: Number(port) }), {
    clientId: 'pipeline',
  })
}

export function batchOf(numbers: readonly number[], options: NewBatch = {}): Buffer {
  const timestampMs = Date.now()
  return makeBatch(
    numbers.map(number => ({ value: Buffer.from(String(number)), timestampMs })),
    options,
  )
}

export interface Numbered {
  offset: number
  number: number
}

/** What is committed in a partition from `offset` on, in portions of some 2 KiB. Empty when there is nothing within `maxWaitMs`. */
export async function readCommitted(
  connection: KafkaConnection,
  topic: string,
  partition: number,
  offset: number,
  { maxWaitMs = 0, maxBytes = 2048 } = {},
): Promise<{ records: Numbered[]; next: number }> {
  const partitions = [{ partition, fetchOffset: offset, partitionMaxBytes: maxBytes }]
  const asked = { maxWaitMs, minBytes: 1, maxBytes, isolationLevel: 1, topics: [{ topic, partitions }] }
  const answer = (await connection.request(apis.fetch, asked, 12)).responses[0]?.partitions[0]
  assert(answer)
  assert.equal(answer.errorCode, 0)
  const waiting = (answer.abortedTransactions ?? []).toSorted((a, b) => a.firstOffset - b.firstOffset)
  const aborted = new Set<number>()
  const records: Numbered[] = []
  let next = offset
  const bytes = answer.records ?? Buffer.alloc(0)
  for (let at = 0; at < bytes.length; at += batchBytes(bytes, at)) {
    const batch = bytes.subarray(at, at + batchBytes(bytes, at))
    next = lastOffset(batch) + 1
    for (let first = waiting[0]; first !== undefined && first.firstOffset < next; first = waiting[0]) {
      aborted.add(first.producerId)
      waiting.shift()
    }
    if (attributes(batch) & attributeBits.control) {
      if (readMarker(batch)?.isCommitted === false) aborted.delete(producerId(batch))
      continue
    }
    if (attributes(batch) & attributeBits.transactional && aborted.has(producerId(batch))) continue
    for (const record of readRecords(batch, batch.subarray(batchHeaderBytes))) {
      if (record.offset >= offset) records.push({ offset: record.offset, number: Number(record.value?.toString()) })
    }
  }
  return { records, next }
}
