import { randomUUID } from 'node:crypto'
import { codes } from '@dragoman/broker/kafka-errors'
import { ShareMember, type Acknowledgement } from '@dragoman/broker/kafka-share-member'
import type { StoredRecord } from '@dragoman/broker/record-batch'
import type { Cluster, TopicPartitions } from './cluster.ts'
import { check } from './errors.ts'
import { unpack } from './fetcher.ts'

const waitMs = 500
const recordsMax = 500

/** The membership is over: it begins anew. */
const ends = new Set<number>([codes.unknownMemberId, codes.fencedMemberEpoch, codes.groupIdNotFound])
/** The session is gone with what it held: others get it. */
const sessionEnds = new Set<number>([codes.shareSessionNotFound, codes.invalidShareSessionEpoch])
/** The topic is not there, or not any more: what the group does next heartbeats tell. */
const absent = new Set<number>([codes.unknownTopicId, codes.unknownTopicOrPartition])

export interface SharedRecord {
  topic: string
  partition: number
  record: StoredRecord
}

/** A member of a share group, as far as a reader on the command line needs one. */
export class ShareReader {
  readonly #member: ShareMember<Cluster>
  readonly #topics: readonly TopicPartitions[]
  #held: Acknowledgement[] = []
  #beatMs = -Infinity

  constructor(cluster: Cluster, group: string, topics: readonly TopicPartitions[]) {
    this.#member = new ShareMember(cluster, group, randomUUID())
    this.#topics = topics
  }

  /** Up to `max` records, after a while without any: none. Those that were given before are accepted now. */
  async next(max: number): Promise<SharedRecord[]> {
    await this.#beat()
    const held = this.#held
    this.#held = []
    const options = { maxWaitMs: waitMs, maxRecords: Math.min(max, recordsMax), exact: true }
    const answer = await this.#member.fetch(options, held)
    if (sessionEnds.has(answer.errorCode)) {
      this.#member.sessionEpoch = 0
      return []
    }
    check(answer.errorCode, 'Cannot fetch', answer.errorMessage)
    const found: SharedRecord[] = []
    for (const { topicId, partitions } of answer.responses) {
      const topic = this.#topics.find(({ id }) => id === topicId)?.topic ?? topicId
      for (const { partitionIndex: partition, errorCode, records, acquiredRecords } of partitions) {
        if (!absent.has(errorCode)) check(errorCode, `Cannot fetch from ${topic}/${partition}`)
        const byOffset = new Map(unpack(records, 0).records.map(record => [record.offset, record]))
        for (const { firstOffset, lastOffset } of acquiredRecords) {
          for (let first = firstOffset; first <= lastOffset; first++) {
            const record = byOffset.get(first)
            this.#held.push({ topicId, partition, first, as: record === undefined ? 'gap' : 'accept' })
            if (record !== undefined) found.push({ topic, partition, record })
          }
        }
      }
    }
    return found
  }

  async #beat(): Promise<void> {
    if (performance.now() - this.#beatMs < this.#member.heartbeatIntervalMs) return
    this.#beatMs = performance.now()
    const names = this.#topics.map(({ topic }) => topic)
    let code = await this.#member.heartbeat(this.#member.epoch === 0 ? names : null)
    if (ends.has(code)) {
      this.#member.epoch = 0
      code = await this.#member.heartbeat(names)
    }
    check(code, `Cannot stay in group "${this.#member.group}"`)
  }

  /** Accepts what was given last, and leaves. */
  async close(): Promise<void> {
    if (this.#member.sessionEpoch > 0) await this.#member.closeSession(this.#held)
    await this.#member.leave()
  }
}
