import type { Infer, Write } from '@dragoman/wire'
import { authorizedOperations } from '../acls.ts'
import { operationsNotAsked } from '../cluster.ts'
import { codes } from '../errors.ts'
import { namedPartitions, stateNames } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded } from '../outcome.ts'
import { shareGroupNamed } from '../share-group-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.shareGroupDescribe.request>
type Answer = Write<typeof apis.shareGroupDescribe.response>
type AnswerGroup = NonNullable<Answer['groups']>[number]

/** ShareGroupDescribe 1. */
export const handler = defineHandler(apis.shareGroupDescribe, handle)

function handle(exchange: Exchange<Answer>, { groupIds, includeAuthorizedOperations }: Request): void {
  const groups = groupIds.map(groupId => ({
    ...describe(exchange, groupId),
    authorizedOperations: includeAuthorizedOperations
      ? authorizedOperations(exchange, 'group', groupId)
      : operationsNotAsked,
  }))
  exchange.broker.groups.allSettled(answer => exchange.reply(answer), { groups })
}

function describe(exchange: Exchange<Answer>, groupId: string): AnswerGroup {
  const hidden = (errorCode: number): AnswerGroup => ({ ...refused(errorCode, ''), groupId, errorMessage: null })
  if (!exchange.may('describe', 'group', groupId)) return hidden(codes.groupAuthorizationFailed)
  const group = shareGroupNamed(exchange.broker, groupId)
  if ('errorCode' in group) return { ...group, groupId, groupState: stateNames.dead }
  const isHidden = (name: string): boolean => !exchange.may('describe', 'topic', name)
  if (group.members.some(({ topics }) => topics.some(isHidden))) return hidden(codes.topicAuthorizationFailed)
  return {
    ...succeeded,
    groupId,
    groupState: stateNames[group.state],
    groupEpoch: group.epoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: group.assignor,
    members: group.members.map(({ memberId, rackId, epoch, clientId, clientHost, topics, assigned }) => ({
      memberId,
      rackId,
      memberEpoch: epoch,
      clientId,
      clientHost,
      subscribedTopicNames: topics,
      assignment: { topicPartitions: namedPartitions(exchange.broker.topics, assigned) },
    })),
  }
}
