import assert from 'node:assert/strict'
import type { Infer, Write } from '@dragoman/wire'
import type { FetchPosition, FetchResult, StreamRead } from '../../../cell/client.ts'
import { homeNamespace, type Topic } from '../../../core/broker.ts'
import { epochProblem } from '../cluster.ts'
import { codeOf, codes } from '../errors.ts'
import { readable } from '../foreign.ts'
import { FetchSessions, type FetchPartition, type FetchPlan } from '../fetch-sessions.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.fetch.request>
type Answer = Write<typeof apis.fetch.response>

/** Whatever a client asks for, an answer holds no more than this and one batch: it is memory while the client takes it. */
const answerBytesMax = 16 * 1024 * 1024

/**
 * Fetch 4-18: waits for `minBytes`, reads partitions in turn up to `maxBytes`, answers with the batches as they are stored; those that came by
 * other protocols are translated, and may take more than they were counted for.
 * Sessions (KIP-227) and topic ids are supported. Who reads only what is committed gets batches up to the last stable offset, and
 * which transactions in them were aborted: the client leaves those out. There is one copy of everything: no diverging log, no other replica to prefer.
 */
export const handler = defineHandler(apis.fetch, handle, { bulky: true, counts: 'fetched' })

function handle(exchange: Exchange<Answer>, request: Request): void {
  const plan = FetchSessions.of(exchange.broker).plan(request, exchange.version, exchange.connection)
  if (plan.errorCode !== codes.none) return exchange.reply({ errorCode: plan.errorCode, sessionId: plan.sessionId })
  new Fetch(exchange, request, plan).run()
}

type Slices = readonly Buffer[]

/** What a partition is answered with. All of the fields always, so that all have one shape. */
interface PartitionAnswer {
  partitionIndex: number
  errorCode: number
  highWatermark: number
  lastStableOffset: number
  logStartOffset: number
  divergingEpoch: { epoch: number; endOffset: number } | undefined
  abortedTransactions: readonly { producerId: number; firstOffset: number }[] | null
  records: Slices
}

interface TopicAnswer {
  topic: string
  topicId: string
  partitions: PartitionAnswer[]
}

type Refusal = Pick<PartitionAnswer, 'errorCode' | 'divergingEpoch'>

const noRecords: Slices = []

class Fetch {
  readonly #exchange: Exchange<Answer>
  readonly #request: Request
  readonly #plan: FetchPlan
  readonly #partitions: FetchPartition[] = []
  /** For each partition: why it is not read, or undefined. */
  readonly #refusals: (Refusal | undefined)[] = []
  readonly #positions: FetchPosition[] = []
  #topic: Topic | undefined

  constructor(exchange: Exchange<Answer>, request: Request, plan: FetchPlan) {
    this.#exchange = exchange
    this.#request = request
    this.#plan = plan
  }

  run(): void {
    let refused = false
    for (const partition of this.#plan.partitions) {
      const refusal = this.#locate(partition)
      this.#partitions.push(partition)
      this.#refusals.push(refusal)
      refused ||= refusal !== undefined
    }
    const { minBytes, maxBytes, maxWaitMs } = this.#request
    const { broker, principal: user, clientId: client } = this.#exchange
    const quotaBytesMax = broker.quotas.fetchBytesMax({ user, client })
    const bytesMax = Math.min(Math.max(maxBytes, 0), answerBytesMax, quotaBytesMax)
    const committed = this.#isCommitted()
    // Who is told of an error must not wait for data first.
    const wait = refused ? 0 : Math.max(0, maxWaitMs)
    this.#exchange.cancel = broker.cell.fetch(
      {
        streams: this.#positions,
        minBytes: Math.min(minBytes, bytesMax),
        maxBytes: bytesMax,
        maxWaitMs: wait,
        committed,
      },
      result => this.#answer(result),
    )
  }

  /** Adds where the partition is to be read; else says why it is not. */
  #locate(wanted: FetchPartition): Refusal | undefined {
    const { broker, version } = this.#exchange
    const topic = this.#findTopic(wanted)
    if (topic === undefined && version >= 13) return refusal(codes.unknownTopicId)
    const { name } = topic ?? { name: wanted.topic }
    if (!this.#exchange.may('read', 'topic', name)) return refusal(codes.topicAuthorizationFailed)
    if (topic === undefined) return refusal(codes.unknownTopicOrPartition)
    const stream = topic.partitions[wanted.partition]
    if (stream === undefined) return refusal(codes.unknownTopicOrPartition)
    const problem = epochProblem(broker, wanted.currentLeaderEpoch)
    if (problem !== undefined) return refusal(problem)
    if (wanted.lastFetchedEpoch >= 0) {
      const end = broker.cell.epochEnd(stream, wanted.lastFetchedEpoch)
      if (end !== undefined && (end.endOffset < wanted.fetchOffset || end.epoch < wanted.lastFetchedEpoch)) {
        return { errorCode: codes.none, divergingEpoch: end }
      }
    }
    this.#positions.push({ stream, offset: wanted.fetchOffset, maxBytes: wanted.maxBytes })
    return undefined
  }

  /** Partitions of one topic mostly come one after the other. */
  #findTopic(wanted: FetchPartition): Topic | undefined {
    const { topics } = this.#exchange.broker
    const last = this.#topic
    if (this.#exchange.version >= 13) {
      this.#topic = last?.id === wanted.topicId ? last : topics.byId(wanted.topicId)
    } else this.#topic = last?.name === wanted.topic ? last : topics.get(homeNamespace, wanted.topic)
    return this.#topic
  }

  #answer(result: FetchResult): void {
    const { session, sessionId } = this.#plan
    const responses: TopicAnswer[] = []
    const busy: FetchPartition[] = []
    let reads = 0
    for (const [index, partition] of this.#partitions.entries()) {
      const refused = this.#refusals[index]
      const read = refused === undefined ? result.streams[reads++] : undefined
      const answer = read === undefined ? this.#refused(partition, refused) : this.#read(partition, read)
      if (session !== undefined) {
        if (!hasNews(partition, answer)) continue
        partition.knownEnd = answer.errorCode === codes.none ? answer.highWatermark : -1
        partition.knownStart = answer.logStartOffset
        if (answer.records.length > 0) busy.push(partition)
      }
      addAnswer(responses, partition, answer)
    }
    for (const partition of busy) session?.moveToEnd(partition)
    this.#exchange.reply({ errorCode: codes.none, sessionId, responses }, () => result.release())
  }

  #read({ partition }: FetchPartition, read: StreamRead): PartitionAnswer {
    const errorCode = read.error === undefined ? codes.none : codeOfRead[read.error]
    return {
      partitionIndex: partition,
      errorCode,
      highWatermark: read.endOffset,
      lastStableOffset: read.stableOffset,
      logStartOffset: read.startOffset,
      divergingEpoch: undefined,
      abortedTransactions: this.#isCommitted() ? read.aborted : null,
      records: readable(read.batches, this.#exchange.broker.origins),
    }
  }

  #refused({ partition }: FetchPartition, refused: Refusal | undefined): PartitionAnswer {
    assert(refused, 'The cell answers for every position')
    const { errorCode, divergingEpoch } = refused
    return {
      partitionIndex: partition,
      errorCode,
      highWatermark: -1,
      lastStableOffset: -1,
      logStartOffset: -1,
      divergingEpoch,
      abortedTransactions: this.#isCommitted() ? [] : null,
      records: noRecords,
    }
  }

  /** The client reads only what is committed. */
  #isCommitted(): boolean {
    return this.#request.isolationLevel === 1
  }
}

const refusal = (errorCode: number): Refusal => ({ errorCode, divergingEpoch: undefined })

const codeOfRead = {
  'stream-not-found': codes.unknownTopicOrPartition,
  'offset-out-of-range': codeOf['offset-out-of-range'],
  'storage-corrupt': codeOf['storage-corrupt'],
} satisfies Record<NonNullable<StreamRead['error']>, number>

/** Whether a client with a session has something to learn from the answer. */
function hasNews(partition: FetchPartition, answer: PartitionAnswer): boolean {
  return (
    answer.records.length > 0 ||
    answer.errorCode !== codes.none ||
    answer.divergingEpoch !== undefined ||
    answer.highWatermark !== partition.knownEnd ||
    answer.logStartOffset !== partition.knownStart
  )
}

function addAnswer(responses: TopicAnswer[], { topic, topicId }: FetchPartition, answer: PartitionAnswer): void {
  const last = responses.at(-1)
  if (last?.topic === topic && last.topicId === topicId) last.partitions.push(answer)
  else responses.push({ topic, topicId, partitions: [answer] })
}
