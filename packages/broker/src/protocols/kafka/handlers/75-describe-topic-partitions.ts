import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { topicNameProblem } from '../../../core/names.ts'
import { authorizedOperations } from '../acls.ts'
import { leaderEpochOf } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'
import { topicsOf } from '../topic-names.ts'

type Request = Infer<typeof apis.describeTopicPartitions.request>
type Answer = Write<typeof apis.describeTopicPartitions.response>
type AnswerTopic = NonNullable<Answer['topics']>[number]

/** Partitions in one answer. */
const partitionsMax = 2000
/** Topics in one answer, those included that are not there and so have no partitions. */
const topicsMax = 10_000

/**
 * DescribeTopicPartitions 0: topics in the order of their names, as many partitions as asked for, and where to go on. Each topic
 * begins within the limit or on the next page; unlike in Metadata, no topic is ever created.
 */
export const handler = defineHandler(apis.describeTopicPartitions, handle, { bulky: true })

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const answer = page(exchange, request)
  await exchange.broker.topics.settle()
  return answer
}

function page(exchange: Exchange<Answer>, { topics, cursor, responsePartitionLimit }: Request): Answer {
  const asked = [...new Set(topics.map(({ name }) => name))]
  if (cursor !== null && !isUsable(cursor, asked)) {
    return { topics: asked.map(name => ({ errorCode: codes.invalidRequest, name })) }
  }
  const from = cursor?.topicName ?? ''
  const names = (asked.length > 0 ? asked : visibleNames(exchange)).filter(name => name >= from).sort(byCodeUnit)
  let left = Math.max(1, Math.min(responsePartitionLimit, partitionsMax))
  const described: AnswerTopic[] = []
  for (const topicName of names) {
    if (left === 0 || described.length === topicsMax)
      return { topics: described, nextCursor: { topicName, partitionIndex: 0 } }
    const first = topicName === cursor?.topicName ? cursor.partitionIndex : 0
    const { topic, next } = describe(exchange, topicName, first, left)
    described.push(topic)
    if (next !== undefined) return { topics: described, nextCursor: { topicName, partitionIndex: next } }
    left -= topic.partitions?.length ?? 0
  }
  return { topics: described, nextCursor: null }
}

/** Where to go on must be a place among the topics that are asked for; all topics have room for any. */
function isUsable({ topicName, partitionIndex }: NonNullable<Request['cursor']>, asked: readonly string[]): boolean {
  return partitionIndex >= 0 && (asked.length === 0 || asked.includes(topicName))
}

function visibleNames(exchange: Exchange<Answer>): string[] {
  const names = topicsOf(exchange.broker).map(({ name }) => name)
  return names.filter(name => exchange.may('describe', 'topic', name))
}

/** At most `limit` partitions from `first` on; `next` is the one after them, if there is one. */
function describe(
  exchange: Exchange<Answer>,
  name: string,
  first: number,
  limit: number,
): { topic: AnswerTopic; next?: number } {
  const { broker } = exchange
  if (!exchange.may('describe', 'topic', name)) return { topic: { errorCode: codes.topicAuthorizationFailed, name } }
  const topic = broker.topics.get(homeNamespace, name)
  if (topic === undefined) {
    const errorCode = topicNameProblem(name) === undefined ? codes.unknownTopicOrPartition : codes.invalidTopic
    return { topic: { errorCode, name } }
  }
  const leaderId = broker.brokerId
  const leaderEpoch = leaderEpochOf(broker)
  const nodes = [leaderId]
  const end = Math.min(topic.partitions.length, first + limit)
  const indexes = Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index)
  const described: AnswerTopic = {
    errorCode: codes.none,
    name,
    topicId: topic.id,
    partitions: indexes.map(partitionIndex => ({
      errorCode: codes.none,
      partitionIndex,
      leaderId,
      leaderEpoch,
      replicaNodes: nodes,
      isrNodes: nodes,
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
    })),
    topicAuthorizedOperations: authorizedOperations(exchange, 'topic', name),
  }
  return end < topic.partitions.length ? { topic: described, next: end } : { topic: described }
}

const byCodeUnit = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
