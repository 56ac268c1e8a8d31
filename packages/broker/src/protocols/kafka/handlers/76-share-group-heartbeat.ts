import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { BrokerError } from '../../../core/errors.ts'
import { listsOf } from '../../../core/groups/assigned/partitions.ts'
import { heartbeatRefused, leaves, type HeartbeatResult } from '../../../core/groups/assigned/requests.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.shareGroupHeartbeat.request>
type Answer = Write<typeof apis.shareGroupHeartbeat.response>

/**
 * ShareGroupHeartbeat 1 (KIP-932). The group begins in its partitions before a member is told of them: what is written from then
 * on is delivered, wherever the group begins.
 */
export const handler = defineHandler(apis.shareGroupHeartbeat, handle)

function handle(exchange: Exchange<Answer>, request: Request): void {
  const problem = problemOf(exchange, request)
  if (problem !== undefined) return exchange.reply(problem)
  const { broker, clientId, connection } = exchange
  const { groupId: group, memberId, memberEpoch: epoch, rackId, subscribedTopicNames: topics } = request
  broker.groups.heartbeatAssigned(
    {
      namespace: homeNamespace,
      group,
      kind: 'shared',
      memberId,
      epoch,
      instanceId: null,
      rackId,
      rebalanceTimeoutMs: null,
      topics,
      pattern: null,
      assignor: null,
      owned: null,
      clientId: clientId ?? '',
      clientHost: `/${connection.remote.host}`,
      principal: exchange.principal,
      host: connection.remote.host,
    },
    result => {
      begin(exchange, group, result).then(
        answer => exchange.reply(answer),
        (error: unknown) => exchange.fail(error),
      )
    },
  )
}

function problemOf(exchange: Exchange<Answer>, { groupId, memberId, ...request }: Request): Answer | undefined {
  if (!exchange.may('read', 'group', groupId)) return { errorCode: codes.groupAuthorizationFailed }
  const isHidden = (name: string): boolean => !exchange.may('describe', 'topic', name)
  if (request.subscribedTopicNames?.some(isHidden) === true) return { errorCode: codes.topicAuthorizationFailed }
  const invalid = (errorMessage: string): Answer => ({ errorCode: codes.invalidRequest, errorMessage })
  if (memberId === '') return invalid("MemberId can't be empty.")
  if (groupId === '') return invalid("GroupId can't be empty.")
  if (request.memberEpoch < leaves) return invalid('MemberEpoch is invalid.')
  if (request.memberEpoch === 0 && (request.subscribedTopicNames?.length ?? 0) === 0) {
    return invalid('SubscribedTopicNames must be set in first request.')
  }
  return undefined
}

/** The answer, once the group has begun in all partitions that it names. */
async function begin({ broker }: Exchange<Answer>, group: string, result: HeartbeatResult): Promise<Answer> {
  if (result.assigned === null || result.error !== undefined) return answerOf(result)
  try {
    await broker.shareGroups.prepare({ namespace: homeNamespace, group }, result.assigned.keys())
  } catch (error) {
    if (error instanceof BrokerError) return answerOf(heartbeatRefused(error.code, error.message))
    throw error
  }
  return answerOf(result)
}

function answerOf({ error, detail, memberId, epoch, heartbeatIntervalMs, assigned }: HeartbeatResult): Answer {
  if (error !== undefined) return { errorCode: groupCodeOf(error), errorMessage: detail }
  return {
    errorCode: codes.none,
    memberId,
    memberEpoch: epoch,
    heartbeatIntervalMs,
    assignment: assigned && { topicPartitions: listsOf(assigned) },
  }
}
