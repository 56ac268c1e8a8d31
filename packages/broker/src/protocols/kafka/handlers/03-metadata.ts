import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker, type Topic } from '../../../core/broker.ts'
import { topicNameProblem } from '../../../core/names.ts'
import type { Topics } from '../../../core/topics.ts'
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
import { inSlices } from '../slices.ts'
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
  const absent: string[] = []
  const wantsAll = request.topics === null || (version === 0 && request.topics.length === 0)
  if (wantsAll) for (const topic of broker.topics.list(homeNamespace)) found.set(topic.name, { topic })
  else find(broker, request, version, found, absent)
  if (absent.length === 0 && broker.topics.settled) return answer(exchange, request, found)
  return settle(exchange, request, found, absent)
}

/** Creates what is absent and waits until all that the answer tells is durable. */
async function settle(
  exchange: Exchange<Answer>,
  request: Request,
  found: Map<string, Found>,
  absent: readonly string[],
): Promise<Answer> {
  const { broker, connection } = exchange
  await inSlices(connection, absent, async name => void found.set(name, await create(broker, name)))
  const built = answer(exchange, request, found)
  await broker.topics.settle()
  return built
}

async function create(broker: Broker, name: string): Promise<Found> {
  try {
    return { topic: await broker.topics.create(homeNamespace, name) }
  } catch (error) {
    const topic = broker.topics.get(homeNamespace, name)
    return topic === undefined ? { errorCode: errorCodeOf(error), name, topicId: nilId } : { topic }
  }
}

/** Names of topics that are to be created go to `absent`, in their order; `found` keeps their place in the answer. */
function find(
  { topics }: Broker,
  request: Request,
  version: number,
  found: Map<string, Found>,
  absent: string[],
): void {
  const mayCreate = request.allowAutoTopicCreation && topics.autoCreate
  for (const { topicId, name } of request.topics ?? []) {
    if (name === null) {
      found.set(`id:${topicId}`, findById(topics, topicId, version))
      continue
    }
    if (found.has(name)) continue
    const topic = topics.get(homeNamespace, name)
    const isValid = topicNameProblem(name) === undefined
    const errorCode = isValid ? codes.unknownTopicOrPartition : codes.invalidTopic
    found.set(name, topic === undefined ? { errorCode, name, topicId: nilId } : { topic })
    if (topic === undefined && isValid && mayCreate) absent.push(name)
  }
}

function findById(topics: Topics, topicId: string, version: number): Found {
  // Ids are only declared in versions 10 and 11; there the name must be present in both directions.
  if (version < 12 || topicId === nilId) {
    return { errorCode: codes.invalidRequest, name: version < 12 ? '' : null, topicId }
  }
  const topic = topics.byId(topicId)
  if (topic?.namespace !== homeNamespace) return { errorCode: codes.unknownTopicId, name: null, topicId }
  return { topic }
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
