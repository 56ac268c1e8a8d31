import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import { makeBatch, type NewRecord } from '@dragoman/broker/record-batch'
import { Cluster, pause, type TopicPartitions } from './cluster.ts'
import { CommandError } from './command.ts'
import { check, explainCode, isPassing } from './errors.ts'
import { partitionOf } from './partitioner.ts'

/** Below the default max.message.bytes of a topic, with room for headers of batch and records. */
const batchBytesMax = 512 * 1024
const bufferedBytesMax = 8 * 1024 * 1024
/** What each record costs beyond its own bytes, at most nearly always. */
const recordOverheadBytes = 64
const retryMsMax = 30_000
/** The newest version that names the topic instead of giving its id. */
const versionWithNames = 12

/** One partition's line: a batch is on its way while the next one fills. */
interface Line {
  readonly partition: number
  records: NewRecord[]
  bytes: number
  sequence: number
  sending: boolean
}

/**
 * Publishes with an idempotent producer: what is sent again after a lost answer is stored once.
 *
 * Invariant: at most one batch of a partition is on its way, so order within a partition is that of `add`.
 */
export class Producer {
  published = 0
  publishedBytes = 0
  readonly #topic: string
  readonly #lines: Line[]
  readonly #producerId: number
  readonly #producerEpoch: number
  #cluster: Cluster
  #reconnecting: Promise<void> | undefined
  #bufferedBytes = 0
  #nextLine = 0
  #failure: Error | undefined
  #waiting: (() => void)[] = []

  static async open(cluster: Cluster, topic: TopicPartitions): Promise<Producer> {
    const answer = await cluster.request(apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 60_000 })
    check(answer.errorCode, 'Cannot get a producer id')
    return new Producer(cluster, topic, answer.producerId, answer.producerEpoch)
  }

  private constructor(
    cluster: Cluster,
    { topic, partitions }: TopicPartitions,
    producerId: number,
    producerEpoch: number,
  ) {
    this.#cluster = cluster
    this.#topic = topic
    this.#lines = partitions.map(partition => ({ partition, records: [], bytes: 0, sequence: 0, sending: false }))
    this.#producerId = producerId
    this.#producerEpoch = producerEpoch
  }

  /** Resolves when there is room for more. Rejects with `CommandError` when an earlier record could not be published. */
  async add(record: NewRecord, partition?: number): Promise<void> {
    if (this.#failure) throw this.#failure
    const line = this.#lineOf(record, partition)
    const bytes = sizeOf(record)
    while (line.records.length > 0 && line.bytes + bytes > batchBytesMax) {
      this.#send(line)
      // While the batch before is on its way, this one waits, so that order is kept.
      if (line.sending && line.records.length > 0) await this.#change()
    }
    line.records.push(record)
    line.bytes += bytes
    this.#bufferedBytes += bytes
    if (line.bytes >= batchBytesMax) this.#send(line)
    while (this.#bufferedBytes > bufferedBytesMax) await this.#change()
  }

  /** Sends what has gathered, as far as nothing of the same partition is on its way. */
  kick(): void {
    for (const line of this.#lines) this.#send(line)
  }

  /** Resolves when everything is published. */
  async flush(): Promise<void> {
    for (;;) {
      if (this.#failure) throw this.#failure
      this.kick()
      if (!this.#lines.some(line => line.sending)) return
      await this.#change()
    }
  }

  close(): void {
    this.#cluster.close()
  }

  #lineOf({ key }: NewRecord, partition: number | undefined): Line {
    const count = this.#lines.length
    const index = partition ?? (key ? partitionOf(key, count) : this.#nextLine)
    const line = this.#lines[index]
    if (!line) throw new CommandError(`Topic "${this.#topic}" has no partition ${index}: it has ${count}`)
    return line
  }

  #send(line: Line): void {
    if (line.sending || line.records.length === 0 || this.#failure) return
    const { records, bytes } = line
    line.records = []
    line.bytes = 0
    line.sending = true
    // Records without a key fill one batch after the other, each for another partition.
    if (this.#lines[this.#nextLine] === line) this.#nextLine = (this.#nextLine + 1) % this.#lines.length
    const batch = makeBatch(records, {
      producerId: this.#producerId,
      producerEpoch: this.#producerEpoch,
      baseSequence: line.sequence,
    })
    line.sequence = (line.sequence + records.length) % 0x8000_0000
    void this.#publish(line.partition, batch)
      .then(
        () => {
          this.published += records.length
          this.publishedBytes += bytes
        },
        (error: unknown) => {
          this.#failure ??= error instanceof Error ? error : new Error(String(error))
        },
      )
      .finally(() => {
        line.sending = false
        this.#bufferedBytes -= bytes
        if (line.bytes >= batchBytesMax) this.#send(line)
        for (const tell of this.#waiting.splice(0)) tell()
      })
  }

  /** Tries again while the reason may pass. */
  async #publish(partition: number, batch: Buffer): Promise<void> {
    const giveUpMs = Date.now() + retryMsMax
    for (let delayMs = 50; ; delayMs = Math.min(1000, delayMs * 2)) {
      const cluster = this.#cluster
      try {
        const code = await this.#produce(cluster, partition, batch)
        if (code === codes.none || code === codes.duplicateSequenceNumber) return
        if (!isPassing(code) || Date.now() > giveUpMs) throw new Refused(explainCode(code))
      } catch (error) {
        if (error instanceof Refused || Date.now() > giveUpMs) throw error
        await this.#reconnect(cluster).catch(() => {})
      }
      await pause(delayMs)
    }
  }

  async #produce(cluster: Cluster, index: number, records: Buffer): Promise<number> {
    const answer = await cluster.request(
      apis.produce,
      {
        transactionalId: null,
        acks: -1,
        timeoutMs: 30_000,
        topicData: [{ name: this.#topic, partitionData: [{ index, records }] }],
      },
      { versionMax: versionWithNames },
    )
    return answer.responses[0]?.partitionResponses[0]?.errorCode ?? codes.unknownServerError
  }

  /** All lines of a lost connection share the next one. */
  #reconnect(lost: Cluster): Promise<void> {
    if (this.#cluster !== lost) return Promise.resolve()
    this.#reconnecting ??= Cluster.connect(lost.target)
      .then(cluster => {
        lost.close()
        this.#cluster = cluster
      })
      .finally(() => (this.#reconnecting = undefined))
    return this.#reconnecting
  }

  #change(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => (this.#failure ? reject(this.#failure) : resolve()))
    })
  }
}

/** The broker has said no for good. */
class Refused extends CommandError {}

function sizeOf({ key, value, headers }: NewRecord): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers ?? []) bytes += header.key.length * 3 + (header.value?.length ?? 0) + 10
  return bytes
}
