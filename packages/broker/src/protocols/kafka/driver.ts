import assert from 'node:assert/strict'
import type { Infer } from '@dragoman/wire'
import { decompress } from '../../storage/compression.ts'
import {
  batchBytes,
  batchHeaderBytes,
  compressionOf,
  makeBatch,
  readRecords,
  type NewBatch,
  type NewRecord,
  type StoredRecord,
} from '../../storage/record-batch.ts'
import type { Address, Network } from '../../runtime/runtime.ts'
import { KafkaConnection } from './client.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'

const bodyBytesMax = 64 * 1024 * 1024
const anyPartition = 0

/** A client for tests: each method does one thing and fails when the broker refuses it. */
export class KafkaDriver {
  readonly connection: KafkaConnection

  static async connect(network: Network, address: Address): Promise<KafkaDriver> {
    return new KafkaDriver(await KafkaConnection.open(await network.connect(address), { clientId: 'driver' }))
  }

  private constructor(connection: KafkaConnection) {
    this.connection = connection
  }

  async declare(topic: string, partitions = 1, config: Record<string, string> = {}): Promise<void> {
    const configs = Object.entries(config).map(([name, value]) => ({ name, value }))
    const wanted = { name: topic, numPartitions: partitions, replicationFactor: -1, configs }
    const { topics } = await this.connection.request(apis.createTopics, { topics: [wanted], timeoutMs: 10_000 })
    assert.equal(topics[0]?.errorCode, codes.none, topics[0]?.errorMessage ?? undefined)
  }

  /** Resolves with the offset of the first record when all are durable. */
  async publish(topic: string, records: NewRecord[], options: NewBatch & { partition?: number } = {}): Promise<number> {
    const { errorCode, errorMessage, baseOffset } = await this.produce(topic, makeBatch(records, options), options)
    assert.equal(errorCode, codes.none, errorMessage ?? undefined)
    return baseOffset
  }

  /** Sends any bytes as the records of one partition; resolves with what is answered for it. */
  async produce(
    topic: string,
    records: Buffer | null,
    { partition = anyPartition, acks = -1, version = 9 }: { partition?: number; acks?: number; version?: number } = {},
  ): Promise<Infer<typeof apis.produce.response>['responses'][number]['partitionResponses'][number]> {
    const topicData = [{ name: topic, partitionData: [{ index: partition, records }] }]
    const { responses } = await this.connection.request(apis.produce, { acks, timeoutMs: 10_000, topicData }, version)
    const answer = responses[0]?.partitionResponses[0]
    assert(answer)
    return answer
  }

  /** Reads from `offset` on until there are `count` records. */
  async consume(topic: string, count: number, { offset = 0, partition = anyPartition } = {}): Promise<StoredRecord[]> {
    const found: StoredRecord[] = []
    while (found.length < count) {
      const next = (found.at(-1)?.offset ?? offset - 1) + 1
      const partitions = [{ partition, fetchOffset: next, partitionMaxBytes: bodyBytesMax }]
      const asked = { maxWaitMs: 500, minBytes: 1, maxBytes: bodyBytesMax, topics: [{ topic, partitions }] }
      const { responses } = await this.connection.request(apis.fetch, asked, 12)
      const answer = responses[0]?.partitions[0]
      assert.equal(answer?.errorCode, codes.none)
      for (const record of recordsOf(answer.records ?? Buffer.alloc(0))) if (record.offset >= next) found.push(record)
    }
    return found
  }

  /** Commits how far a group has come. */
  async ack(group: string, topic: string, offset: number, partition = anyPartition): Promise<void> {
    const partitions = [{ partitionIndex: partition, committedOffset: offset }]
    const asked = { groupId: group, generationIdOrMemberEpoch: -1, topics: [{ name: topic, partitions }] }
    const { topics } = await this.connection.request(apis.offsetCommit, asked, 8)
    assert.equal(topics[0]?.partitions[0]?.errorCode, codes.none)
  }

  close(): void {
    this.connection.close()
  }
}

/** Every record of whole batches, one after the other. */
export function* recordsOf(batches: Buffer): Generator<StoredRecord> {
  for (let at = 0; at < batches.length; at += batchBytes(batches, at)) {
    const compression = compressionOf(batches, at)
    assert(compression)
    const body = batches.subarray(at + batchHeaderBytes, at + batchBytes(batches, at))
    yield* readRecords(batches, decompress(compression, body, bodyBytesMax), at)
  }
}
