import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Topic } from '../../../core/broker.ts'
import type { GroupName } from '../../../core/groups/requests.ts'
import { leaderEpochOf } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded } from '../outcome.ts'
import { isFreeGroupName, shareGroupNamed } from '../share-group-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeShareGroupOffsets.request>
type Answer = Write<typeof apis.describeShareGroupOffsets.response>
type RequestGroup = Request['groups'][number]
type AnswerGroup = NonNullable<Answer['groups']>[number]
type AnswerTopic = NonNullable<AnswerGroup['topics']>[number]
type AnswerPartition = NonNullable<AnswerTopic['partitions']>[number]

/**
 * DescribeShareGroupOffsets 0-1. A partition in which the group has not begun, or that is not there, has start offset -1 and lag -1; a group
 * that is not there has begun nowhere.
 */
export const handler = defineHandler(apis.describeShareGroupOffsets, handle)

function handle(exchange: Exchange<Answer>, request: Request): void {
  const groups = request.groups.map(group => describe(exchange, group))
  exchange.broker.shareGroups.allSettled(answer => exchange.reply(answer), { groups })
}

function describe(exchange: Exchange<Answer>, { groupId, topics }: RequestGroup): AnswerGroup {
  const { broker } = exchange
  if (!exchange.may('describe', 'group', groupId)) return { groupId, errorCode: codes.groupAuthorizationFailed }
  const group = shareGroupNamed(broker, groupId)
  if ('errorCode' in group && !isFreeGroupName(broker, groupId)) return { ...group, groupId }
  const name = { namespace: homeNamespace, group: groupId }
  if (topics === null) return { ...succeeded, groupId, topics: allOf(exchange, name) }
  const described = topics.map(({ topicName, partitions }): AnswerTopic => {
    const topic = broker.topics.get(homeNamespace, topicName)
    const isHidden = !exchange.may('describe', 'topic', topicName)
    return {
      topicName,
      ...(topic !== undefined && !isHidden && { topicId: topic.id }),
      partitions: partitions.map(partition =>
        isHidden
          ? { ...refused(codes.topicAuthorizationFailed, ''), ...unknown(partition), errorMessage: null }
          : position(exchange, name, topic, partition),
      ),
    }
  })
  return { ...succeeded, groupId, topics: described }
}

/** All in which the group has begun, as far as the client may know of them. */
function allOf(exchange: Exchange<Answer>, name: GroupName): AnswerTopic[] {
  const { broker } = exchange
  const topics = new Map<string, { topicName: string; topicId: string; partitions: AnswerPartition[] }>()
  for (const { topicId, partition } of broker.shareGroups.positions(name)) {
    const topic = broker.topics.byId(topicId)
    if (topic === undefined || !exchange.may('describe', 'topic', topic.name)) continue
    let entry = topics.get(topicId)
    if (entry === undefined) topics.set(topicId, (entry = { topicName: topic.name, topicId, partitions: [] }))
    entry.partitions.push(position(exchange, name, topic, partition))
  }
  return [...topics.values()]
}

function position(
  { broker }: Exchange<Answer>,
  name: GroupName,
  topic: Topic | undefined,
  partitionIndex: number,
): AnswerPartition {
  const found = topic && broker.shareGroups.position(name, topic.id, partitionIndex)
  if (found === undefined) return unknown(partitionIndex)
  return { partitionIndex, startOffset: found.startOffset, leaderEpoch: leaderEpochOf(broker), lag: found.lag }
}

const unknown = (partitionIndex: number): AnswerPartition => ({
  partitionIndex,
  startOffset: -1,
  leaderEpoch: -1,
  lag: -1,
})
