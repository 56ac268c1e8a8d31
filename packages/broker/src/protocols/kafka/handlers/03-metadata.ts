import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker, type Topic } from '../../../core/broker.ts'
import { topicNameProblem } from '../../../core/names.ts'
import {
  advertisedAddress,
  clusterIdText,
  clusterOperations,
  leaderEpochOf,
  operationsNotAsked,
  topicOperations,
} from '../cluster.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.metadata.request>
type Answer = Write<typeof apis.metadata.response>
type AnswerTopic = NonNullable<Answer['topics']>[number]

/**
 * Metadata 0-13. One broker leads every partition and holds its only replica. A topic that is asked for by name and is not
 * there is created if both the request and the broker allow it, and is answered only when that is durable.
 */
export const handler = defineHandler(apis.metadata, handle, { bulky: true })

/** A topic that was found, or why there is none. Names and ids that were asked for twice are answered once. */
type Found = { topic: Topic } | { errorCode: number; name: string | null; topicId: string }

const nilId = '0'.repeat(32)

function handle(exchange: Exchange<Answer>, request: Request, version: number): Answer | Promise<Answer> {
  const { broker } = exchange
  const found = new Map<string, Found>()
  const creating: Promise<void>[] = []
  const wantsAll = request.topics === null || (version === 0 && request.topics.length === 0)
  if (wantsAll) for (const topic of broker.topics.list(homeNamespace)) found.set(topic.name, { topic })
  else find(broker, request, version, found, creating)
  if (creating.length === 0 && broker.topics.settled) return answer(exchange, request, found)
  return settle(exchange, request, found, creating)
}

async function settle(
  exchange: Exchange<Answer>,
  request: Request,
  found: Map<string, Found>,
  creating: Promise<void>[],
): Promise<Answer> {
  await Promise.all(creating)
  const built = answer(exchange, request, found)
  await exchange.broker.topics.settle()
  return built
}

function find(
  broker: Broker,
  request: Request,
  version: number,
  found: Map<string, Found>,
  creating: Promise<void>[],
): void {
  for (const { topicId, name } of request.topics ?? []) {
    if (name === null) found.set(`id:${topicId}`, findById(broker, topicId, version))
    else if (!found.has(name)) creating.push(...findByName(broker, request, name, found))
  }
}

function findById(broker: Broker, topicId: string, version: number): Found {
  // Ids are only declared in versions 10 and 11; there the name must be present in both directions.
  if (version < 12 || topicId === nilId) {
    return { errorCode: codes.invalidRequest, name: version < 12 ? '' : null, topicId }
  }
  const topic = broker.topics.byId(topicId)
  if (topic?.namespace !== homeNamespace) return { errorCode: codes.unknownTopicId, name: null, topicId }
  return { topic }
}

/** Returns the creation that is under way, if one was started. */
function findByName(broker: Broker, request: Request, name: string, found: Map<string, Found>): Promise<void>[] {
  const topic = broker.topics.get(homeNamespace, name)
  if (topic !== undefined) {
    found.set(name, { topic })
    return []
  }
  const absent = (errorCode: number) => found.set(name, { errorCode, name, topicId: nilId })
  absent(codes.unknownTopicOrPartition)
  if (!request.allowAutoTopicCreation || !broker.topics.autoCreate) {
    if (topicNameProblem(name) !== undefined) absent(codes.invalidTopic)
    return []
  }
  const created = broker.topics.create(homeNamespace, name)
  return [
    created.then(
      made => void found.set(name, { topic: made }),
      (error: unknown) => void absent(errorCodeOf(error)),
    ),
  ]
}

function answer({ broker, connection }: Exchange<Answer>, request: Request, found: Map<string, Found>): Answer {
  const { host, port } = advertisedAddress(broker, connection)
  const operations = request.includeTopicAuthorizedOperations ? topicOperations : operationsNotAsked
  return {
    brokers: [{ nodeId: broker.brokerId, host, port, rack: null }],
    clusterId: clusterIdText(broker),
    controllerId: broker.brokerId,
    topics: Array.from(found.values(), one => answerTopic(broker, one, operations)),
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? clusterOperations : operationsNotAsked,
  }
}

function answerTopic(broker: Broker, found: Found, topicAuthorizedOperations: number): AnswerTopic {
  if (!('topic' in found)) return { ...found, partitions: [], topicAuthorizedOperations: operationsNotAsked }
  const { topic } = found
  const leaderId = broker.brokerId
  const leaderEpoch = leaderEpochOf(broker)
  const nodes = [leaderId]
  return {
    errorCode: codes.none,
    name: topic.name,
    topicId: topic.id,
    partitions: topic.partitions.map((_, partitionIndex) => {
      return { errorCode: codes.none, partitionIndex, leaderId, leaderEpoch, replicaNodes: nodes, isrNodes: nodes }
    }),
    topicAuthorizedOperations,
  }
}
