import { Consumer, ListOffsetTimestamps } from '@platformatic/kafka'
import { read } from './record.ts'
import type { Audit } from './audit.ts'

const fetchBytesMax = 4 * 1024 * 1024

/** Reads a topic's partitions by offset, without a group, and shows each record to the audit. */
export class Reader {
  readonly #consumer: Consumer
  readonly #topic: string
  readonly #audit: Audit

  constructor(address: string, topic: string, audit: Audit) {
    const settings = { clientId: 'audit', bootstrapBrokers: [address], groupId: 'audit', retries: 0, timeout: 10_000 }
    this.#consumer = new Consumer(settings)
    this.#topic = topic
    this.#audit = audit
    this.#consumer.topics.track(topic)
  }

  /** From `starts` to where each partition ends at the time of the call. Rejects when the broker goes away. */
  async readFrom(starts: number[]): Promise<void> {
    const partitions = starts.map((_, partition) => partition)
    const found = await this.#consumer.listOffsets({
      topics: [this.#topic],
      partitions: { [this.#topic]: partitions },
      timestamp: ListOffsetTimestamps.LATEST,
    })
    const ends = found.get(this.#topic) ?? []
    const metadata = await this.#consumer.metadata({ topics: [this.#topic] })
    const topicId = metadata.topics.get(this.#topic)?.id ?? ''
    const node = [...metadata.brokers.keys()][0] ?? 0
    const places = [...starts]
    const behind = (): number[] => partitions.filter(partition => (places[partition] ?? 0) < Number(ends[partition]))
    for (let left = behind(); left.length > 0; left = behind()) {
      const wanted = left.map(partition => ({
        partition,
        currentLeaderEpoch: -1,
        lastFetchedEpoch: -1,
        fetchOffset: BigInt(places[partition] ?? 0),
        partitionMaxBytes: fetchBytesMax,
      }))
      const answer = await this.#consumer.fetch({
        node,
        maxWaitTime: 100,
        minBytes: 1,
        maxBytes: fetchBytesMax * 8,
        topics: [{ topicId, partitions: wanted }],
      })
      for (const { partitionIndex, records } of answer.responses.flatMap(topic => topic.partitions)) {
        for (const batch of records ?? []) {
          for (const record of batch.records) {
            const offset = Number(batch.firstOffset) + record.offsetDelta
            // A fetch answers with whole batches: the first may begin before the offset asked for.
            if (offset < (places[partitionIndex] ?? 0)) continue
            this.#audit.saw(partitionIndex, offset, read(record.value ?? Buffer.alloc(0)))
            places[partitionIndex] = offset + 1
          }
        }
      }
    }
  }

  async close(): Promise<void> {
    await this.#consumer.close(true).catch(() => undefined)
  }
}
