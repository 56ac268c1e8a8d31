import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import type { JoinResult } from '../../../core/groups/requests.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.joinGroup.request>
type Answer = Write<typeof apis.joinGroup.response>

/**
 * JoinGroup 0-9: answered when the generation has its members. From version 4 newcomers are given their id first, from 5
 * members may have an instance id, from 9 a leader may be told that the assignment stands.
 */
export const handler = defineHandler(apis.joinGroup, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  if (!exchange.may('read', 'group', request.groupId)) {
    return exchange.reply({
      errorCode: codes.groupAuthorizationFailed,
      generationId: -1,
      protocolName: version < 7 ? '' : null,
    })
  }
  const { sessionTimeoutMs, rebalanceTimeoutMs } = request
  const join = {
    namespace: homeNamespace,
    group: request.groupId,
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    clientId: exchange.clientId ?? '',
    clientHost: `/${exchange.connection.remote.host}`,
    principal: exchange.principal,
    host: exchange.connection.remote.host,
    sessionTimeoutMs,
    rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
    protocolType: request.protocolType,
    offers: request.protocols,
    takesIdFirst: version >= 4,
    maySkipAssignment: version >= 9,
  }
  exchange.broker.groups.join(join, result => exchange.reply(answer(result, version)))
}

function answer(result: JoinResult, version: number): Answer {
  return {
    errorCode: groupCodeOf(result.error),
    generationId: result.generation,
    protocolType: result.protocolType,
    // Null is understood from version 7 on.
    protocolName: version < 7 ? (result.protocol ?? '') : result.protocol,
    leader: result.leader,
    skipAssignment: result.skipAssignment,
    memberId: result.memberId,
    members: result.members.map(({ memberId, instanceId, subscription }) => ({
      memberId,
      groupInstanceId: instanceId,
      metadata: subscription,
    })),
  }
}
