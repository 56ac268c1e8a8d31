import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.leaveGroup.request>
type Answer = Write<typeof apis.leaveGroup.response>

/** LeaveGroup 0-5: one member before version 3, several from it on, also by instance id alone. */
export const handler = defineHandler(apis.leaveGroup, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { groupId: group } = request
  if (!exchange.may('read', 'group', group)) return exchange.reply({ errorCode: codes.groupAuthorizationFailed })
  if (group === '') return exchange.reply({ errorCode: codes.invalidGroupId })
  const leaving =
    version < 3
      ? [{ memberId: request.memberId, instanceId: null }]
      : request.members.map(({ memberId, groupInstanceId }) => ({ memberId, instanceId: groupInstanceId }))
  exchange.broker.groups.leave({ namespace: homeNamespace, group }, leaving, results => {
    if (version < 3) return exchange.reply({ errorCode: groupCodeOf(results[0]) })
    const members = leaving.map(({ memberId, instanceId }, index) => ({
      memberId,
      groupInstanceId: instanceId,
      errorCode: groupCodeOf(results[index]),
    }))
    exchange.reply({ members })
  })
}
