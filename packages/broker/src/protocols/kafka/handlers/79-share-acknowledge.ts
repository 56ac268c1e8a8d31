import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { acknowledge, memberProblem, type AcknowledgedPartition } from '../share-acknowledgements.ts'
import { ShareSessions } from '../share-sessions.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.shareAcknowledge.request>
type Answer = Write<typeof apis.shareAcknowledge.response>

/** ShareAcknowledge 1-2 (KIP-932, KIP-1222): answered when what was said is durable. Of each partition all is taken, or nothing. */
export const handler = defineHandler(apis.shareAcknowledge, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker } = exchange
  const groupId = request.groupId ?? ''
  const memberId = request.memberId ?? ''
  const group = { namespace: homeNamespace, group: groupId }
  const { lockDurationMs: acquisitionLockTimeoutMs } = broker.shareGroups.settings(group)
  const problem = memberProblem(exchange, groupId, memberId)
  if (problem !== codes.none) return exchange.reply({ errorCode: problem, acquisitionLockTimeoutMs })
  const plan = ShareSessions.of(broker).acknowledge(groupId, memberId, request.shareSessionEpoch)
  if (!('session' in plan)) return exchange.reply({ errorCode: plan.errorCode, acquisitionLockTimeoutMs })
  const { partitions, seq } = acknowledge(exchange, group, memberId, request.topics, version >= 2 && request.isRenewAck)
  if (plan.isFinal) {
    broker.shareGroups.release(group, memberId)
    ShareSessions.of(broker).end(plan.session)
  }
  const answer = { acquisitionLockTimeoutMs, responses: byTopic(partitions) }
  broker.shareGroups.whenDurable(seq, () => exchange.reply(answer), undefined)
}

function byTopic(acknowledged: readonly AcknowledgedPartition[]): NonNullable<Answer['responses']> {
  const topics = new Map<string, { partitionIndex: number; errorCode: number }[]>()
  for (const { topicId, partition: partitionIndex, errorCode } of acknowledged) {
    const partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, [{ partitionIndex, errorCode }])
    else partitions.push({ partitionIndex, errorCode })
  }
  return Array.from(topics, ([topicId, partitions]) => ({ topicId, partitions }))
}
