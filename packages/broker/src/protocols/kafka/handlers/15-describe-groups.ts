import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { authorizedOperations } from '../acls.ts'
import { operationsNotAsked } from '../cluster.ts'
import { codes } from '../errors.ts'
import { stateNames } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeGroups.request>
type Answer = Write<typeof apis.describeGroups.response>
type AnswerGroup = NonNullable<Answer['groups']>[number]

/** DescribeGroups 0-6. A group that does not exist or is of another kind is dead; from 6 on that is also an error. */
export const handler = defineHandler(apis.describeGroups, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker } = exchange
  const groups = request.groups.map(groupId => {
    if (!exchange.may('describe', 'group', groupId)) return { ...unauthorized, groupId }
    const isAsked = request.includeAuthorizedOperations
    const operations = isAsked ? authorizedOperations(exchange, 'group', groupId) : operationsNotAsked
    return { ...describe(broker, groupId, version), authorizedOperations: operations }
  })
  broker.groups.allSettled(answer => exchange.reply(answer), { groups })
}

const unauthorized = {
  ...refused(codes.groupAuthorizationFailed, 'Group authorization failed.'),
  groupState: '',
  authorizedOperations: operationsNotAsked,
}

function describe(broker: Broker, groupId: string, version: number): AnswerGroup {
  const group = broker.groups.describe(homeNamespace, groupId)
  if (group === undefined) {
    const isOther = broker.groups.kindOf(homeNamespace, groupId) !== 'classic'
    const text = isOther ? `Group ${groupId} is not a classic group.` : `Group ${groupId} not found.`
    const outcome = version < 6 ? succeeded : refused(codes.groupIdNotFound, text)
    return { ...outcome, groupId, groupState: stateNames.dead }
  }
  return {
    ...succeeded,
    groupId,
    groupState: stateNames[group.state],
    protocolType: group.protocolType ?? '',
    protocolData: group.state === 'stable' ? (group.protocol ?? '') : '',
    members: group.members.map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: member.subscription,
      memberAssignment: member.assignment,
    })),
  }
}
