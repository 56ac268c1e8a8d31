import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.heartbeat.request>
type Answer = Write<typeof apis.heartbeat.response>

/** Heartbeat 0-4. */
export const handler = defineHandler(apis.heartbeat, handle)

function handle(exchange: Exchange<Answer>, request: Request): Answer {
  const { groupId, memberId, groupInstanceId, generationId } = request
  if (!exchange.may('read', 'group', groupId)) return { errorCode: codes.groupAuthorizationFailed }
  const error = exchange.broker.groups.heartbeat(homeNamespace, groupId, memberId, groupInstanceId, generationId)
  return { errorCode: groupCodeOf(error) }
}
