import assert from 'node:assert/strict'
import type { Codec, Infer, Write } from '@dragoman/wire'
import type { KafkaConnection } from './client.ts'
import { codes } from './errors.ts'
import { apis, type Api } from './messages/index.ts'

type FetchRequest = Write<typeof apis.shareFetch.request>
type FetchAnswer = Infer<typeof apis.shareFetch.response>
type Partition = FetchAnswer['responses'][number]['partitions'][number]
type Topics = NonNullable<Write<typeof apis.shareAcknowledge.request>['topics']>

/** What becomes of records, on the wire. */
export const acknowledgeTypes = { gap: 0, accept: 1, release: 2, reject: 3, renew: 4 } as const
export type AcknowledgeType = keyof typeof acknowledgeTypes

/** What a member says of records that it has acquired. */
export interface Acknowledgement {
  topicId: string
  partition: number
  first: number
  /** The same as `first` when absent. */
  last?: number
  as: AcknowledgeType
}

export interface FetchOptions {
  maxWaitMs?: number
  maxRecords?: number
  batchSize?: number
  maxBytes?: number
  minBytes?: number
  /** Never more than `maxRecords`. */
  exact?: boolean
}

export interface Acquired {
  topicId: string
  partition: number
  offset: number
  deliveryCount: number
}

/** What can be asked. */
export interface Asked {
  request<Q extends Codec<unknown>, A extends Codec<unknown>>(api: Api<Q, A>, body: Write<Q>): Promise<Infer<A>>
}

/** The asking side of one member of a share group: for tests and tools. One request at a time. */
export class ShareMember<C extends Asked = KafkaConnection> {
  readonly connection: C
  readonly group: string
  readonly memberId: string
  epoch = 0
  sessionEpoch = 0
  heartbeatIntervalMs = 0
  /** Topic ids with partitions, as last told. */
  assignment: { topicId: string; partitions: number[] }[] = []
  #announced = ''

  constructor(connection: C, group: string, memberId: string) {
    this.connection = connection
    this.group = group
    this.memberId = memberId
  }

  /** Joins with topics, else gives a sign of life. Resolves with the error code. */
  async heartbeat(topics: readonly string[] | null = null): Promise<number> {
    const answer = await this.connection.request(apis.shareGroupHeartbeat, {
      groupId: this.group,
      memberId: this.memberId,
      memberEpoch: this.epoch,
      rackId: null,
      subscribedTopicNames: topics,
    })
    if (answer.errorCode !== codes.none) return answer.errorCode
    this.epoch = answer.memberEpoch
    this.heartbeatIntervalMs = answer.heartbeatIntervalMs
    if (answer.assignment !== null) this.assignment = answer.assignment.topicPartitions
    return codes.none
  }

  async join(topics: readonly string[]): Promise<void> {
    this.epoch = 0
    assert.equal(await this.heartbeat(topics), codes.none)
  }

  async leave(): Promise<number> {
    this.epoch = -1
    return this.heartbeat()
  }

  /** Takes records, and acknowledges others. The first fetch opens the session. */
  async fetch(options: FetchOptions = {}, acknowledgements: readonly Acknowledgement[] = []): Promise<FetchAnswer> {
    const { maxWaitMs = 0, maxRecords = 500, batchSize = maxRecords, maxBytes = 1 << 20, minBytes = 1 } = options
    const announced = JSON.stringify(this.assignment)
    const isNew = this.sessionEpoch === 0 || announced !== this.#announced
    this.#announced = announced
    const isRenewAck = acknowledgements.some(({ as }) => as === 'renew')
    const request: FetchRequest = {
      groupId: this.group,
      memberId: this.memberId,
      shareSessionEpoch: this.sessionEpoch,
      maxWaitMs,
      minBytes,
      maxBytes,
      maxRecords,
      batchSize,
      shareAcquireMode: options.exact === true ? 1 : 0,
      isRenewAck,
      topics: withAssignment(acknowledgementTopics(acknowledgements), isNew ? this.assignment : []),
      forgottenTopicsData: [],
    }
    const answer = await this.connection.request(apis.shareFetch, request)
    if (answer.errorCode === codes.none) this.sessionEpoch++
    return answer
  }

  /** What a fetch acquires, record by record. Fails when a partition has an error. */
  async take(options: FetchOptions = {}, acknowledgements: readonly Acknowledgement[] = []): Promise<Acquired[]> {
    const answer = await this.fetch(options, acknowledgements)
    assert.equal(answer.errorCode, codes.none)
    return acquiredOf(answer)
  }

  /** Resolves with the error codes: of the whole, and of the partitions. */
  async acknowledge(acknowledgements: readonly Acknowledgement[]): Promise<number[]> {
    const answer = await this.connection.request(apis.shareAcknowledge, {
      groupId: this.group,
      memberId: this.memberId,
      shareSessionEpoch: this.sessionEpoch,
      isRenewAck: acknowledgements.some(({ as }) => as === 'renew'),
      topics: acknowledgementTopics(acknowledgements),
    })
    if (answer.errorCode === codes.none) this.sessionEpoch++
    return [
      answer.errorCode,
      ...answer.responses.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode)),
    ]
  }

  /** Ends the session, with last acknowledgements. */
  async closeSession(acknowledgements: readonly Acknowledgement[] = []): Promise<FetchAnswer> {
    this.sessionEpoch = -1
    const answer = await this.fetch({ maxRecords: 0 }, acknowledgements)
    this.sessionEpoch = 0
    return answer
  }
}

export function acquiredOf(answer: FetchAnswer): Acquired[] {
  const found: Acquired[] = []
  for (const { topicId, partitions } of answer.responses) {
    for (const { partitionIndex: partition, errorCode, acknowledgeErrorCode, acquiredRecords } of partitions) {
      assert.deepEqual([errorCode, acknowledgeErrorCode], [codes.none, codes.none])
      for (const { firstOffset, lastOffset, deliveryCount } of acquiredRecords) {
        for (let offset = firstOffset; offset <= lastOffset; offset++) {
          found.push({ topicId, partition, offset, deliveryCount })
        }
      }
    }
  }
  return found
}

export const partitionsOf = (answer: FetchAnswer): Partition[] =>
  answer.responses.flatMap(({ partitions }) => partitions)

/** The form of requests: by topic and partition, ranges ascending. */
function acknowledgementTopics(acknowledgements: readonly Acknowledgement[]): Topics {
  const sorted = acknowledgements.toSorted((a, b) => a.first - b.first)
  const topics = new Map<
    string,
    Map<number, { firstOffset: number; lastOffset: number; acknowledgeTypes: number[] }[]>
  >()
  for (const { topicId, partition, first, last = first, as } of sorted) {
    let partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, (partitions = new Map()))
    let batches = partitions.get(partition)
    if (batches === undefined) partitions.set(partition, (batches = []))
    batches.push({ firstOffset: first, lastOffset: last, acknowledgeTypes: [acknowledgeTypes[as]] })
  }
  return Array.from(topics, ([topicId, partitions]) => ({
    topicId,
    partitions: Array.from(partitions, ([partitionIndex, acknowledgementBatches]) => ({
      partitionIndex,
      acknowledgementBatches,
    })),
  }))
}

function withAssignment(topics: Topics, assignment: ShareMember['assignment']): Topics {
  const merged = new Map(topics.map(({ topicId = '', partitions = [] }) => [topicId, [...partitions]]))
  for (const { topicId, partitions } of assignment) {
    const known = merged.get(topicId) ?? []
    for (const partitionIndex of partitions) {
      if (!known.some(one => one.partitionIndex === partitionIndex)) known.push({ partitionIndex })
    }
    merged.set(topicId, known)
  }
  return Array.from(merged, ([topicId, partitions]) => ({ topicId, partitions }))
}
