import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.syncGroup.request>
type Answer = Write<typeof apis.syncGroup.response>

/** SyncGroup 0-5: answered when the leader's assignment is durable. */
export const handler = defineHandler(apis.syncGroup, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { groupId: group, generationId: generation, memberId, protocolType, protocolName: protocol } = request
  if (version >= 5 && (protocolType === null || protocol === null)) {
    return exchange.reply({ errorCode: codes.inconsistentGroupProtocol })
  }
  if (!exchange.may('read', 'group', group)) return exchange.reply({ errorCode: codes.groupAuthorizationFailed })
  const { groupInstanceId: instanceId, assignments } = request
  const sync = {
    namespace: homeNamespace,
    group,
    memberId,
    instanceId,
    generation,
    protocolType,
    protocol,
    assignments,
  }
  exchange.broker.groups.sync(sync, result =>
    exchange.reply({
      errorCode: groupCodeOf(result.error),
      protocolType: result.protocolType,
      protocolName: result.protocol,
      assignment: result.assignment,
    }),
  )
}
