import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import type { ShareMove } from '../../../core/share/share-groups.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import { leaves } from '../../../core/groups/assigned/requests.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded, type Outcome } from '../outcome.ts'
import { emptyShareGroupNamed, isFreeGroupName } from '../share-group-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.alterShareGroupOffsets.request>
type Answer = Write<typeof apis.alterShareGroupOffsets.response>

/** AlterShareGroupOffsets 0: for groups without members, which are made if need be. All that is known of records from there on is forgotten. */
export const handler = defineHandler(apis.alterShareGroupOffsets, handle)

async function handle(exchange: Exchange<Answer>, { groupId, topics }: Request): Promise<Answer> {
  const { broker } = exchange
  if (!exchange.may('read', 'group', groupId)) return { errorCode: codes.groupAuthorizationFailed }
  if (groupId !== '' && isFreeGroupName(broker, groupId)) {
    const error = await create(exchange, groupId)
    if (error !== undefined) return { errorCode: groupCodeOf(error) }
  }
  const group = emptyShareGroupNamed(broker, groupId)
  if ('errorCode' in group) return group
  const moves: ShareMove[] = []
  const responses = topics.map(({ topicName, partitions }) => {
    const topic = broker.topics.get(homeNamespace, topicName)
    const isAllowed = exchange.may('read', 'topic', topicName)
    const settle = (partition: number, offset: number): Outcome => {
      if (!isAllowed) return refused(codes.topicAuthorizationFailed, 'Topic authorization failed.')
      if (topic?.partitions[partition] === undefined) {
        return refused(codes.unknownTopicOrPartition, 'This server does not host this topic-partition.')
      }
      if (offset < 0) return refused(codes.invalidRequest, `There is no offset ${offset}.`)
      moves.push({ topicId: topic.id, partition, offset })
      return succeeded
    }
    return {
      topicName,
      ...(topic !== undefined && isAllowed && { topicId: topic.id }),
      partitions: partitions.map(({ partitionIndex, startOffset }) => ({
        partitionIndex,
        ...settle(partitionIndex, startOffset),
      })),
    }
  })
  try {
    await broker.shareGroups.move({ namespace: homeNamespace, group: groupId }, moves)
  } catch (error) {
    return outcomeOf(error)
  }
  return { ...succeeded, responses }
}

/** A group is made by a member that comes, and stays when it goes. */
async function create(
  { broker, principal, connection }: Exchange<Answer>,
  group: string,
): Promise<ErrorCode | undefined> {
  const founder = {
    ...{ namespace: homeNamespace, group, memberId: 'founder', topics: [] },
    ...{ instanceId: null, rackId: null, rebalanceTimeoutMs: null, pattern: null, assignor: null, owned: null },
    ...{ clientId: '', clientHost: '', principal, host: connection.remote.host },
    kind: 'shared' as const,
  }
  const beat = (epoch: number): Promise<ErrorCode | undefined> =>
    new Promise(resolve => broker.groups.heartbeatAssigned({ ...founder, epoch }, ({ error }) => resolve(error)))
  return (await beat(0)) ?? beat(leaves)
}
