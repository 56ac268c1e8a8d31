import type { Infer, Write } from '@dragoman/wire'
import type { StreamRead } from '../../../cell/client.ts'
import { homeNamespace } from '../../../core/broker.ts'
import { BrokerError } from '../../../core/errors.ts'
import type { GroupName } from '../../../core/groups/requests.ts'
import type { SharePartition } from '../../../core/share/share-partition.ts'
import type { Taken, TakeResult } from '../../../core/share/taking.ts'
import { codeOf, codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { readable } from '../foreign.ts'
import { acknowledge, memberProblem, type Acknowledged } from '../share-acknowledgements.ts'
import { ShareSessions, type SessionPartition, type ShareSession } from '../share-sessions.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.shareFetch.request>
type Answer = Write<typeof apis.shareFetch.response>
type AnswerTopic = NonNullable<Answer['responses']>[number]
type AnswerPartition = NonNullable<AnswerTopic['partitions']>[number]

/** Whatever a member asks for, an answer holds no more than this and one batch: it is memory while the client takes it. */
const answerBytesMax = 16 * 1024 * 1024
const deliveryCountMax = 0x7fff
const modes = { wholeBatches: 0, recordLimit: 1 } as const

/**
 * ShareFetch 1-2 (KIP-932, KIP-1206, KIP-1222): settles what the member acknowledges, then takes records for it, or waits for them.
 *
 * Batches go out as they are stored; the acquired records say which of their records are the member's. The answer tells of
 * partitions with records, acknowledgements or errors only. A session ends with the connection on which it was opened, and
 * what the member holds then is released.
 */
export const handler = defineHandler(apis.shareFetch, handle, { bulky: true, counts: 'fetched' })

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker } = exchange
  const groupId = request.groupId ?? ''
  const memberId = request.memberId ?? ''
  const group = { namespace: homeNamespace, group: groupId }
  const { lockDurationMs: acquisitionLockTimeoutMs } = broker.shareGroups.settings(group)
  const refuse = (errorCode: number): void => exchange.reply({ errorCode, acquisitionLockTimeoutMs })
  const problem = memberProblem(exchange, groupId, memberId)
  if (problem !== codes.none) return refuse(problem)
  if (request.isRenewAck && wantsRecords(request)) return refuse(codes.invalidRequest)
  const plan = ShareSessions.of(broker).fetch(groupId, memberId, request)
  if (!('session' in plan)) {
    if (plan.errorCode !== codes.shareSessionLimitReached) return refuse(plan.errorCode)
    broker.shareGroups.release(group, memberId)
    // Who finds no room asks again at once, unless it is kept waiting.
    exchange.cancel = exchange.connection.clock.after(Math.max(0, request.maxWaitMs), () => refuse(plan.errorCode))
    return
  }
  attach(exchange, plan.session, group, memberId)
  const acknowledged = acknowledge(exchange, group, memberId, request.topics, version >= 2 && request.isRenewAck)
  const share = new ShareFetch(exchange, request, group, memberId, acknowledged)
  if (!plan.isFinal) return share.run(plan.session)
  broker.shareGroups.release(group, memberId)
  ShareSessions.of(broker).end(plan.session)
  share.finish(undefined)
}

/** Time for records could be more than the renewed lock leaves. */
function wantsRecords({ maxBytes, minBytes, maxRecords, maxWaitMs }: Request): boolean {
  return maxBytes !== 0 || minBytes !== 0 || maxRecords !== 0 || maxWaitMs !== 0
}

/** The session belongs to the connection that used it last. */
function attach(exchange: Exchange<Answer>, session: ShareSession, group: GroupName, memberId: string): void {
  const { broker, connection } = exchange
  if (session.connection === connection) return
  session.detach()
  session.connection = connection
  session.detach = exchange.atClose(() => {
    ShareSessions.of(broker).end(session)
    broker.shareGroups.release(group, memberId)
  })
}

class ShareFetch {
  readonly #exchange: Exchange<Answer>
  readonly #request: Request
  readonly #group: GroupName
  readonly #memberId: string
  readonly #acknowledged: Acknowledged
  readonly #topics = new Map<string, Map<number, AnswerPartition>>()

  constructor(
    exchange: Exchange<Answer>,
    request: Request,
    group: GroupName,
    memberId: string,
    acknowledged: Acknowledged,
  ) {
    this.#exchange = exchange
    this.#request = request
    this.#group = group
    this.#memberId = memberId
    this.#acknowledged = acknowledged
  }

  run(session: ShareSession): void {
    const missing = this.#missing(session)
    if (missing.size === 0) return this.#take(session)
    const { broker } = this.#exchange
    let isGone = false
    this.#exchange.cancel = () => void (isGone = true)
    broker.shareGroups.prepare(this.#group, missing).then(
      () => {
        if (!isGone) this.#take(session)
      },
      (error: unknown) => {
        // The partitions are refused one by one.
        if (error instanceof BrokerError) this.#take(session)
        else this.#exchange.fail(error)
      },
    )
  }

  /** Topics of the group in which it has not begun everywhere: as a rule it begins before members are told of them. */
  #missing(session: ShareSession): Set<string> {
    const { broker } = this.#exchange
    const { namespace, group } = this.#group
    const missing = new Set<string>()
    for (const wanted of session.partitions.values()) {
      if (typeof this.#locate(wanted) !== 'number') continue
      const stream = broker.topics.byId(wanted.topicId)?.partitions[wanted.partition]
      if (stream !== undefined) missing.add(wanted.topicId)
    }
    return missing.size > 0 && broker.groups.kindOf(namespace, group) === 'shared' ? missing : new Set()
  }

  #take(session: ShareSession): void {
    const partitions: SharePartition[] = []
    for (const wanted of session.inTurn()) {
      const share = this.#locate(wanted)
      if (typeof share === 'number') this.#put(wanted.topicId, wanted.partition, { errorCode: share })
      else partitions.push(share)
    }
    const { maxRecords, batchSize, shareAcquireMode, minBytes, maxBytes, maxWaitMs } = this.#request
    const bytesMax = Math.min(Math.max(maxBytes, 0), answerBytesMax)
    this.#exchange.cancel = this.#exchange.broker.shareGroups.take(
      this.#group,
      this.#memberId,
      {
        partitions,
        recordsMax: Math.max(0, maxRecords),
        runRecords: Math.max(1, batchSize),
        wholeBatches: shareAcquireMode !== modes.recordLimit,
        bytesMin: Math.min(minBytes, bytesMax),
        bytesMax,
        // Who is told of errors alone must not wait for what cannot come.
        waitMsMax: partitions.length === 0 && session.partitions.size > 0 ? 0 : Math.max(0, maxWaitMs),
      },
      result => this.finish(result),
    )
  }

  /** The partition, or the code that says why it cannot be had. */
  #locate(wanted: SessionPartition): SharePartition | number {
    const { broker } = this.#exchange
    const topic = broker.topics.byId(wanted.topicId)
    if (topic?.namespace !== homeNamespace) return codes.unknownTopicId
    if (!this.#exchange.may('read', 'topic', topic.name)) return codes.topicAuthorizationFailed
    if (wanted.share?.isClosed !== false) {
      wanted.share = broker.shareGroups.partition(this.#group, wanted.topicId, wanted.partition)
    }
    return wanted.share ?? codes.unknownTopicOrPartition
  }

  /** Answers once what was acknowledged is durable. */
  finish(result: TakeResult | undefined): void {
    for (const taken of result?.taken ?? []) this.#putTaken(taken)
    for (const { topicId, partition, errorCode } of this.#acknowledged.partitions) {
      this.#put(topicId, partition, { acknowledgeErrorCode: errorCode })
    }
    const { broker } = this.#exchange
    const { lockDurationMs: acquisitionLockTimeoutMs } = broker.shareGroups.settings(this.#group)
    const responses = Array.from(this.#topics, ([topicId, partitions]) => ({
      topicId,
      partitions: [...partitions.values()],
    }))
    const answer = { acquisitionLockTimeoutMs, responses }
    broker.shareGroups.whenDurable(
      this.#acknowledged.seq,
      () => this.#exchange.reply(answer, result?.release),
      undefined,
    )
  }

  #putTaken({ partition: { topicId, partition }, error, batches, runs }: Taken): void {
    if (error !== undefined) return this.#put(topicId, partition, { errorCode: codeOfRead[error] })
    const acquiredRecords = runs.map(({ first, last, deliveryCount }) => ({
      firstOffset: first,
      lastOffset: last,
      deliveryCount: Math.min(deliveryCount, deliveryCountMax),
    }))
    const records = readable(batches, this.#exchange.broker.origins)
    this.#put(topicId, partition, { records, acquiredRecords })
  }

  #put(topicId: string, partitionIndex: number, more: AnswerPartition): void {
    let partitions = this.#topics.get(topicId)
    if (partitions === undefined) this.#topics.set(topicId, (partitions = new Map()))
    partitions.set(partitionIndex, { ...(partitions.get(partitionIndex) ?? { partitionIndex }), ...more })
  }
}

const codeOfRead = {
  'stream-not-found': codes.unknownTopicId,
  'offset-out-of-range': codeOf['offset-out-of-range'],
  'storage-corrupt': codeOf['storage-corrupt'],
} satisfies Record<NonNullable<StreamRead['error']>, number>
