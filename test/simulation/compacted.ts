import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import {
  batchBytes,
  batchHeaderBytes,
  lastOffset,
  makeBatch,
  readRecords,
} from '../../packages/broker/src/storage/record-batch.ts'
import { createTopic } from './churn.ts'
import { Client } from './client.ts'
import type { Shared } from './workload.ts'

const topic = 'compacted'
const keyCount = 12

interface Found {
  offset: number
  key: number
  number: number
}

/**
 * A writer of a table: for each key it writes ever greater numbers, and now and then a deletion, into a compacted topic.
 *
 * Holds at any time: for each key a reader from the start sees numbers that do not fall, and in the end the last one that was
 * acknowledged when it began, or a greater one, unless that or a later one was a deletion: then it may be gone.
 */
export class Compacted {
  readonly #shared: Shared
  readonly #client: Client
  #topicId = ''
  /** An idempotent producer: an attempt that was given up and comes late would bring older numbers. */
  #producerId = -1
  #sequence = 0
  #next = 1
  /** Of each key the last that was acknowledged, and the last deletion that was sent. */
  readonly #acknowledged = new Map<number, number>()
  readonly #deleted = new Map<number, number>()

  constructor(shared: Shared) {
    this.#shared = shared
    this.#client = new Client(shared.simulator, 'compacted')
  }

  async create(): Promise<void> {
    const { random } = this.#shared.simulator
    this.#topicId = await createTopic(this.#client, topic, 1, [
      { name: 'cleanup.policy', value: 'compact' },
      { name: 'min.cleanable.dirty.ratio', value: random.pick(['0', '0.3']) },
      { name: 'delete.retention.ms', value: random.pick(['0', '2000', '100000']) },
      { name: 'min.compaction.lag.ms', value: random.pick(['0', '0', '500']) },
    ])
    while (this.#producerId < 0) {
      const answer = await this.#client.request(apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 0 })
      if (answer?.errorCode === codes.none) this.#producerId = answer.producerId
    }
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const reading = this.#read()
    while (!this.#shared.isEnding) {
      await this.#write()
      await simulator.sleep(simulator.random.float() * 60)
    }
    await reading
    this.#client.drop()
  }

  /** One batch, again and again until it is acknowledged. */
  async #write(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const entries = Array.from({ length: random.pick([1, 3, 10]) }, () => ({
      key: random.below(keyCount),
      number: this.#next++,
      isDeletion: random.chance(0.2),
    }))
    const timestampMs = 1_767_225_600_000 + Math.floor(simulator.nowMs)
    const records = makeBatch(
      entries.map(({ key, number, isDeletion }) => ({
        key: Buffer.from(String(key)),
        value: isDeletion ? null : Buffer.alloc(number % 50, 'v'),
        headers: [{ key: 'number', value: Buffer.from(String(number)) }],
        timestampMs,
      })),
      { producerId: this.#producerId, producerEpoch: 0, baseSequence: this.#sequence },
    )
    this.#sequence += entries.length
    for (const { key, number, isDeletion } of entries) if (isDeletion) this.#deleted.set(key, number)
    for (;;) {
      const partitionData = [{ index: 0, records: Buffer.from(records) }]
      const answer = await this.#client.request(apis.produce, {
        transactionalId: null,
        acks: -1,
        timeoutMs: 5_000,
        topicData: [{ name: topic, topicId: this.#topicId, partitionData }],
      })
      const code = answer?.responses[0]?.partitionResponses[0]?.errorCode
      if (code === codes.none || code === codes.duplicateSequenceNumber) break
      await simulator.sleep(random.float() * 100)
    }
    for (const { key, number } of entries) this.#acknowledged.set(key, number)
    this.#shared.operations += entries.length
    this.#shared.acknowledged += entries.length
  }

  async #read(): Promise<void> {
    const { simulator } = this.#shared
    const client = new Client(simulator, 'compacted-reader')
    while (!this.#shared.isEnding) {
      await this.check(client)
      await simulator.sleep(simulator.random.float() * 2000)
    }
    client.drop()
  }

  /** Reads all of it and compares. */
  async check(client: Client): Promise<void> {
    const expected = [...this.#acknowledged]
    const newest = new Map<number, number>()
    for (let position = 0, end = Infinity; position < end;) {
      const answer = await this.#fetch(client, position)
      if (!answer) continue
      end = answer.end
      if (answer.next === position && position < end) this.#fail(`nothing to read at ${position} before ${end}`)
      for (const { offset, key, number } of answer.found) {
        if (offset < position) continue
        if (number < (newest.get(key) ?? 0))
          this.#fail(`key ${key} has ${number} at ${offset} after ${newest.get(key)}`)
        newest.set(key, number)
      }
      position = Math.max(position, answer.next)
    }
    for (const [key, number] of expected) {
      const found = newest.get(key) ?? 0
      if (found < number && (this.#deleted.get(key) ?? 0) < number)
        this.#fail(`key ${key} is at ${found}, and ${number} was acknowledged`)
    }
  }

  async #fetch(client: Client, offset: number): Promise<{ end: number; next: number; found: Found[] } | undefined> {
    const answer = await client.request(apis.fetch, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 20_000,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [
        {
          topic,
          topicId: this.#topicId,
          partitions: [{ partition: 0, fetchOffset: offset, partitionMaxBytes: 20_000 }],
        },
      ],
      forgottenTopicsData: [],
      rackId: '',
    })
    const partition = answer?.responses[0]?.partitions[0]
    if (partition?.errorCode !== codes.none) return undefined
    const bytes = Buffer.concat(partition.records === null ? [] : ([partition.records].flat() as Buffer[]))
    const found: Found[] = []
    let next = offset
    for (let at = 0; at < bytes.length; at += batchBytes(bytes, at)) {
      const batch = bytes.subarray(at, at + batchBytes(bytes, at))
      for (const record of readRecords(batch, batch.subarray(batchHeaderBytes))) {
        const number = Number(record.headers[0]?.value)
        found.push({ offset: record.offset, key: Number(record.key), number })
      }
      next = lastOffset(batch) + 1
    }
    return { end: partition.highWatermark, next, found }
  }

  #fail(message: string): void {
    this.#shared.simulator.fail(`${topic}: ${message}`)
  }
}
