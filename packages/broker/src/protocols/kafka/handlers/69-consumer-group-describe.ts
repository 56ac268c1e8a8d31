import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import type { Membership } from '../../../core/groups/assigned/machine.ts'
import { authorizedOperations } from '../acls.ts'
import { operationsNotAsked } from '../cluster.ts'
import { codes } from '../errors.ts'
import { memberTypes, namedPartitions, stateNames } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.consumerGroupDescribe.request>
type Answer = Write<typeof apis.consumerGroupDescribe.response>
type AnswerGroup = NonNullable<Answer['groups']>[number]
type AnswerMember = NonNullable<AnswerGroup['members']>[number]

/** ConsumerGroupDescribe 0-1: groups of other kinds are not found. */
export const handler = defineHandler(apis.consumerGroupDescribe, handle, { bulky: true })

function handle(exchange: Exchange<Answer>, request: Request): void {
  const groups = request.groupIds.map(groupId => ({
    ...describe(exchange, groupId),
    authorizedOperations: request.includeAuthorizedOperations
      ? authorizedOperations(exchange, 'group', groupId)
      : operationsNotAsked,
  }))
  exchange.broker.groups.allSettled(answer => exchange.reply(answer), { groups })
}

function describe(exchange: Exchange<Answer>, groupId: string): AnswerGroup {
  const refuse = (code: number, text: string): AnswerGroup => ({ ...refused(code, text), groupId })
  if (!exchange.may('describe', 'group', groupId)) {
    return refuse(codes.groupAuthorizationFailed, 'Group authorization failed.')
  }
  if (groupId === '') return refuse(codes.invalidGroupId, 'The group id is empty.')
  const group = exchange.broker.groups.describeAssigned(homeNamespace, groupId)
  if (group?.kind !== 'exclusive') return refuse(codes.groupIdNotFound, `Group ${groupId} is not a consumer group.`)
  const members = group.members.map(member => describeMember(exchange, member))
  const hidden = members.some(({ assignment, targetAssignment }) =>
    [assignment, targetAssignment].some(
      given =>
        given?.topicPartitions?.some(({ topicName = '' }) => !exchange.may('describe', 'topic', topicName)) === true,
    ),
  )
  if (hidden) {
    const text = 'The described group uses topics that the client is not authorized to describe.'
    return refuse(codes.topicAuthorizationFailed, text)
  }
  return {
    ...succeeded,
    groupId,
    groupState: stateNames[group.state],
    groupEpoch: group.epoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: group.assignor,
    members,
  }
}

function describeMember(exchange: Exchange<Answer>, member: Membership): AnswerMember {
  return {
    memberId: member.memberId,
    instanceId: member.instanceId,
    rackId: member.rackId,
    memberEpoch: member.epoch,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: member.topics,
    subscribedTopicRegex: member.pattern,
    assignment: { topicPartitions: namedPartitions(exchange.broker.topics, member.assigned) },
    targetAssignment: { topicPartitions: namedPartitions(exchange.broker.topics, member.target) },
    memberType: member.classic === null ? memberTypes.consumer : memberTypes.classic,
  }
}
