import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { listsOf, partitionMap } from '../../../core/groups/assigned/partitions.ts'
import type { HeartbeatResult } from '../../../core/groups/assigned/requests.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { refused } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.consumerGroupHeartbeat.request>
type Answer = Write<typeof apis.consumerGroupHeartbeat.response>

/** ConsumerGroupHeartbeat 0-1: joins, lives and leaves. From version 1 on, members choose their ids themselves. */
export const handler = defineHandler(apis.consumerGroupHeartbeat, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { groupId: group, memberId, memberEpoch, subscribedTopicNames: topics, topicPartitions: owned } = request
  if (!exchange.may('read', 'group', group)) return exchange.reply({ errorCode: codes.groupAuthorizationFailed })
  if (topics?.some(name => !exchange.may('describe', 'topic', name)) === true) {
    return exchange.reply({ errorCode: codes.topicAuthorizationFailed })
  }
  if (version >= 1 && memberEpoch === 0 && memberId === '') {
    return exchange.reply(refused(codes.invalidRequest, "MemberId can't be empty."))
  }
  const { host } = exchange.connection.remote
  const heartbeat = {
    namespace: homeNamespace,
    group,
    kind: 'exclusive',
    memberId,
    epoch: memberEpoch,
    instanceId: request.instanceId,
    rackId: request.rackId,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs < 0 ? null : request.rebalanceTimeoutMs,
    topics,
    pattern: request.subscribedTopicRegex,
    assignor: request.serverAssignor,
    owned: owned && partitionMap(owned),
    clientId: exchange.clientId ?? '',
    clientHost: `/${host}`,
    principal: exchange.principal,
    host,
  } as const
  exchange.broker.groups.heartbeatAssigned(heartbeat, result => exchange.reply(answer(result)))
}

function answer({ error, detail, memberId, epoch, heartbeatIntervalMs, assigned }: HeartbeatResult): Answer {
  if (error !== undefined) return refused(groupCodeOf(error), detail ?? '')
  const assignment = assigned && { topicPartitions: listsOf(assigned) }
  return { errorCode: codes.none, errorMessage: null, memberId, memberEpoch: epoch, heartbeatIntervalMs, assignment }
}
