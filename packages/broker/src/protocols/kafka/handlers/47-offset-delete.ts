import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { BrokerError } from '../../../core/errors.ts'
import type { TopicPartitions } from '../../../core/groups/requests.ts'
import { codes } from '../errors.ts'
import { consumerProtocol, groupCodeOf, subscribedTopics } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.offsetDelete.request>
type Answer = Write<typeof apis.offsetDelete.response>
type AnswerTopic = NonNullable<Answer['topics']>[number]

/**
 * OffsetDelete 0: answered when it is durable. Offsets of topics that a member subscribes to stay; a group with members whose
 * subscriptions cannot be read keeps them all.
 */
export const handler = defineHandler(apis.offsetDelete, handle)

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { groupId: group } = request
  const { broker } = exchange
  if (!exchange.may('delete', 'group', group)) return { errorCode: codes.groupAuthorizationFailed }
  const errorCode = refusal(broker, group)
  if (errorCode !== codes.none) return { errorCode }

  const used = topicsInUse(broker, group)
  const removals: TopicPartitions[] = []
  const topics = request.topics.map(topic => sortOut(exchange, topic, used, removals))
  try {
    await broker.groups.removeOffsets({ namespace: homeNamespace, group }, removals)
    return { errorCode: codes.none, topics }
  } catch (error) {
    if (error instanceof BrokerError) return { errorCode: groupCodeOf(error.code) }
    throw error
  }
}

function refusal(broker: Broker, groupId: string): number {
  if (groupId === '') return codes.invalidGroupId
  const kind = broker.groups.kindOf(homeNamespace, groupId)
  if (kind !== 'classic') return kind === 'exclusive' ? codes.none : codes.groupIdNotFound
  const group = broker.groups.describe(homeNamespace, groupId)
  if (group === undefined) return codes.groupIdNotFound
  return group.state === 'empty' || group.protocolType === consumerProtocol ? codes.none : codes.nonEmptyGroup
}

/** Undefined: it is not known which, so it may be any. */
function topicsInUse(broker: Broker, group: string): Set<string> | undefined {
  const used = broker.groups.subscribedTopics(homeNamespace, group)
  for (const subscription of broker.groups.subscriptions(homeNamespace, group)) {
    const topics = subscribedTopics(subscription)
    if (topics === undefined) return undefined
    for (const topic of topics) used.add(topic)
  }
  return used
}

/** Answers for one topic, and adds what of it can be removed to `removals`. */
function sortOut(
  exchange: Exchange<Answer>,
  { name, partitions }: Request['topics'][number],
  used: Set<string> | undefined,
  removals: TopicPartitions[],
): AnswerTopic {
  const topic = exchange.broker.topics.get(homeNamespace, name)
  const isDenied = !exchange.may('read', 'topic', name)
  const isUsed = used === undefined || used.has(name)
  const removable: number[] = []
  const answers = partitions.map(({ partitionIndex }) => {
    if (isDenied) return { partitionIndex, errorCode: codes.topicAuthorizationFailed }
    if (topic?.partitions[partitionIndex] === undefined) {
      return { partitionIndex, errorCode: codes.unknownTopicOrPartition }
    }
    if (isUsed) return { partitionIndex, errorCode: codes.groupSubscribedToTopic }
    removable.push(partitionIndex)
    return { partitionIndex, errorCode: codes.none }
  })
  if (topic !== undefined && removable.length > 0) removals.push({ topicId: topic.id, partitions: removable })
  return { name, partitions: answers }
}
