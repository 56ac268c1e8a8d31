import type { Infer, Write } from '@dragoman/wire'
import type { StreamId } from '../../../cell/client.ts'
import { homeNamespace, type Topic } from '../../../core/broker.ts'
import { topicConfig, type TopicSettings } from '../../../core/topic-config.ts'
import type { AppendOutcome } from '../../../core/transactions/transactions.ts'
import { recordsWithoutKey } from '../../../storage/batch-records.ts'
import { recompressBatch } from '../../../storage/rebuild-batch.ts'
import {
  attributeBits,
  attributes,
  baseSequence,
  baseTimestamp,
  batchBytes,
  batchHeaderBytes,
  checkBatch,
  compressionOf,
  maxTimestamp,
  producerEpoch,
  producerId,
  stampBatch,
} from '../../../storage/record-batch.ts'
import { codeOf, codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.produce.request>
type Answer = Write<typeof apis.produce.response>

/**
 * Produce 3-13: one record batch of version 2 for each partition. With acks 1 and -1 the answer waits until all batches are
 * durable; with 0 there is none, and a refusal closes the connection, which is the only way to tell.
 *
 * From version 12 on, the first batch of a transaction for a partition lets it take part; before, that must have been asked for.
 * Control batches are refused.
 */
export const handler = defineHandler(apis.produce, handle, { feeds: true, counts: 'published' })

function handle(exchange: Exchange<Answer>, request: Request): void {
  new Production(exchange, request).run()
}

/** So many records of a batch are named as the ones that are wrong. */
const recordErrorsMax = 100

/** A client that gives no time at all would be refused before the first sync. */
const timeoutMsMin = 1000

/** What a partition is answered with. All of the fields always, so that all have one shape. */
interface PartitionAnswer {
  index: number
  errorCode: number
  baseOffset: number
  logAppendTimeMs: number
  logStartOffset: number
  recordErrors: { batchIndex: number; batchIndexErrorMessage: string }[]
  errorMessage: string | null
}

interface TopicAnswer {
  name: string
  topicId: string
  partitionResponses: PartitionAnswer[]
}

type TopicData = Request['topicData'][number]

/** One request: counts the batches that are not durable yet. */
class Production {
  readonly #exchange: Exchange<Answer>
  readonly #request: Request
  readonly #responses: TopicAnswer[] = []
  readonly #nowMs: number
  /** One more than the batches under way, until all have been started. */
  #open = 1
  #failure: string | undefined

  constructor(exchange: Exchange<Answer>, request: Request) {
    this.#exchange = exchange
    this.#request = request
    this.#nowMs = exchange.connection.clock.nowMs()
  }

  run(): void {
    for (const data of this.#request.topicData) this.#topic(data)
    this.#settle()
    const { timeoutMs } = this.#request
    if (this.#open > 0) this.#exchange.answerWithin(Math.max(timeoutMs, timeoutMsMin), () => this.#overdue())
  }

  /** The disk takes nothing. What is under way may become durable later, as the client must expect after a time-out. */
  #overdue(): void {
    for (const { partitionResponses } of this.#responses) {
      for (const answer of partitionResponses) {
        if (answer.errorCode !== codes.none || answer.baseOffset >= 0) continue
        this.#refuse(answer, codes.requestTimedOut, 'The records were not on the disk in the time that was given')
      }
    }
    this.#open = 1
    this.#settle()
  }

  #topic(data: TopicData): void {
    const { topics } = this.#exchange.broker
    const byId = this.#exchange.version >= 13
    const topic = byId ? topics.byId(data.topicId) : topics.get(homeNamespace, data.name)
    const settings = topic && topicConfig(topic)
    const name = byId ? topic?.name : data.name
    const isDenied = name !== undefined && !this.#exchange.may('write', 'topic', name)
    const partitionResponses: PartitionAnswer[] = []
    this.#responses.push({ name: data.name, topicId: data.topicId, partitionResponses })
    for (const { index, records } of data.partitionData) {
      const answer = newAnswer(index)
      partitionResponses.push(answer)
      if (isDenied) this.#refuse(answer, codes.topicAuthorizationFailed, 'The client may not write to the topic')
      else if (topic === undefined || settings === undefined) {
        this.#refuse(answer, byId ? codes.unknownTopicId : codes.unknownTopicOrPartition, 'There is no such topic')
      } else this.#partition(answer, topic, settings, records)
    }
  }

  #partition(answer: PartitionAnswer, topic: Topic, settings: TopicSettings, records: Buffer | null): void {
    const { acks } = this.#request
    const stream = topic.partitions[answer.index]
    if (stream === undefined) return this.#refuse(answer, codes.unknownTopicOrPartition, 'There is no such partition')
    if (acks < -1 || acks > 1) return this.#refuse(answer, codes.invalidRequiredAcks, `Acks ${acks} is not 0, 1 or -1`)
    if (records === null) return this.#refuse(answer, codes.invalidRecord, 'There are no records')
    const problem = problemOf(records, settings, this.#nowMs, this.#exchange.version)
    if (problem !== undefined) return this.#refuse(answer, problem.code, problem.text)
    if (settings.cleanupPolicy.compacts && !this.#haveKeys(answer, records)) return
    const batch = this.#inTopicForm(answer, settings, records)
    if (batch === undefined) return
    if (settings.timestampType === 'append') {
      stampBatch(batch, 0, this.#nowMs)
      answer.logAppendTimeMs = this.#nowMs
    }
    this.#open++
    if (isTransactional(batch)) return this.#appendInTransaction(answer, stream, batch)
    this.#exchange.broker.cell.append(stream, batch, result => this.#appended(answer, result))
  }

  /** In the compression that the topic asks for, if it does. */
  #inTopicForm(answer: PartitionAnswer, settings: TopicSettings, records: Buffer): Buffer | undefined {
    const { compressionType: compression, messageBytesMax } = settings
    if (compression === undefined || compression === compressionOf(records)) return records
    const batch = recompressBatch(records, compression)
    if (batch === undefined) this.#refuse(answer, codes.corruptMessage, 'The records cannot be read')
    else if (batch.length > messageBytesMax) {
      this.#refuse(answer, codes.messageTooLarge, textOf('message-too-large', batch, settings))
    } else return batch
    return undefined
  }

  /** What is kept by key must have one. */
  #haveKeys(answer: PartitionAnswer, records: Buffer): boolean {
    const keyless = recordsWithoutKey(records, recordErrorsMax)
    if (keyless?.length === 0) return true
    const text = keyless ? 'Records of a compacted topic need a key' : 'The records cannot be read'
    answer.recordErrors = (keyless ?? []).map(batchIndex => ({ batchIndex, batchIndexErrorMessage: text }))
    this.#refuse(answer, keyless ? codes.invalidRecord : codes.corruptMessage, text)
    return false
  }

  #appendInTransaction(answer: PartitionAnswer, stream: StreamId, records: Buffer): void {
    const { broker, version, connection } = this.#exchange
    const id = this.#request.transactionalId
    if (id === null) {
      this.#refuse(answer, codes.invalidProducerIdMapping, 'Transactional records need the transactional id')
      return this.#settle()
    }
    if (!this.#exchange.may('write', 'transactional-id', id)) {
      const text = 'The client may not write with the transactional id'
      this.#refuse(answer, codes.transactionalIdAuthorizationFailed, text)
      return this.#settle()
    }
    const producer = { producerId: producerId(records), epoch: producerEpoch(records) }
    const epochPerTransaction = version >= 12
    const request = { namespace: homeNamespace, id, ...producer, epochPerTransaction, connection: connection.ordinal }
    broker.transactions.append(request, stream, records, result => this.#appended(answer, result))
  }

  #appended(answer: PartitionAnswer, result: AppendOutcome): void {
    if (result.error === undefined) {
      answer.baseOffset = result.baseOffset
      answer.logStartOffset = result.startOffset
    } else if (result.error === 'transaction-abortable' && this.#exchange.version < 11) {
      this.#refuse(answer, codes.invalidTransactionState, null)
    } else this.#refuse(answer, codeOfAppend[result.error], null)
    this.#settle()
  }

  #refuse(answer: PartitionAnswer, code: number, text: string | null): void {
    answer.errorCode = code
    answer.errorMessage = text
    answer.logAppendTimeMs = -1
    this.#failure ??= text ?? `error ${code}`
  }

  #settle(): void {
    if (--this.#open !== 0) return // Below 0: answered already, because the time was over.
    if (this.#request.acks !== 0) return this.#exchange.reply({ responses: this.#responses })
    if (this.#failure === undefined) this.#exchange.replyNothing()
    else this.#exchange.disconnect(`Records with acks 0 were refused: ${this.#failure}`)
  }
}

/** As `codeOf`, and a stream that is gone is a topic that was deleted meanwhile. */
const codeOfAppend = { ...codeOf, 'stream-not-found': codes.unknownTopicOrPartition } satisfies Record<
  NonNullable<AppendOutcome['error']>,
  number
>

const isTransactional = (records: Buffer): boolean => (attributes(records) & attributeBits.transactional) !== 0

function newAnswer(index: number): PartitionAnswer {
  return {
    index,
    errorCode: codes.none,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: [],
    errorMessage: null,
  }
}

interface Problem {
  code: number
  text: string
}

/** Why the records cannot be taken, as far as it can be seen without the state of the partition. */
function problemOf(records: Buffer, settings: TopicSettings, nowMs: number, version: number): Problem | undefined {
  if (records.length < batchHeaderBytes || batchBytes(records) > records.length) {
    return { code: codes.invalidRecord, text: 'There is no whole record batch' }
  }
  const magic = records.readUInt8(16)
  if (magic < 2) return { code: codes.invalidRecord, text: `Messages of format ${magic} are not taken` }
  if (batchBytes(records) < records.length) return { code: codes.invalidRecord, text: 'There is more than one batch' }
  const error = checkBatch(records, settings.messageBytesMax)
  if (error !== undefined) return { code: codeOf[error], text: textOf(error, records, settings) }
  const bits = attributes(records)
  if (bits & attributeBits.control) return { code: codes.invalidRecord, text: 'Clients cannot write control batches' }
  if (isTransactional(records) && producerId(records) < 0) {
    return { code: codes.invalidRecord, text: 'Transactional records need a producer id' }
  }
  if (producerId(records) >= 0 && baseSequence(records) < 0) {
    return { code: codes.invalidRecord, text: 'A producer id needs a sequence number' }
  }
  if (version < 7 && compressionOf(records) === 'zstd') {
    return { code: codes.unsupportedCompressionType, text: 'Zstd needs Produce version 7' }
  }
  return settings.timestampType === 'create' ? timestampProblem(records, settings, nowMs) : undefined
}

function textOf(error: NonNullable<ReturnType<typeof checkBatch>>, records: Buffer, settings: TopicSettings): string {
  if (error !== 'message-too-large') return 'The record batch is damaged or not of a known form'
  return `The record batch of ${records.length} bytes is larger than the ${settings.messageBytesMax} that the topic allows`
}

/** Timestamp -1 says that there is none. */
function timestampProblem(records: Buffer, settings: TopicSettings, nowMs: number): Problem | undefined {
  const oldest = baseTimestamp(records)
  if (oldest < 0) return undefined
  const before = nowMs - oldest
  const after = maxTimestamp(records) - nowMs
  if (before <= settings.timestampBeforeMaxMs && after <= settings.timestampAfterMaxMs) return undefined
  return {
    code: codes.invalidTimestamp,
    text: 'A timestamp is further from the time of the broker than the topic allows',
  }
}
