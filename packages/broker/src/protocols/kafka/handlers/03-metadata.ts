import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker, type Topic } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { topicNameProblem } from '../../../core/names.ts'
import { authorizedOperations, clusterOperationsOf } from '../acls.ts'
import { advertisedAddress, clusterIdText, leaderEpochOf, operationsNotAsked } from '../cluster.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { inSlices } from '../slices.ts'
import { collision } from './19-create-topics.ts'
import { defineHandler, type Exchange } from './handler.ts'
import { topicsOf } from '../topic-names.ts'

type Request = Infer<typeof apis.metadata.request>
type Answer = Write<typeof apis.metadata.response>
type AnswerTopic = NonNullable<Answer['topics']>[number]

/**
 * Metadata 0-13. One broker leads every partition and holds its only replica. A topic that is asked for by name and is not
 * there is created if the request, the broker and the rights of the client allow it, and is answered only when that is durable.
 * What the client may not look at is not there in a list of all, and refused when it is named, whether it exists or not.
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
  if (wantsAll) findAll(exchange, found)
  else find(exchange, request, version, found, absent)
  if (absent.length === 0 && broker.topics.settled) return answer(exchange, request, found)
  return settle(exchange, request, found, absent)
}

function findAll(exchange: Exchange<Answer>, found: Map<string, Found>): void {
  for (const topic of topicsOf(exchange.broker)) {
    if (exchange.may('describe', 'topic', topic.name)) found.set(topic.name, { topic })
  }
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
  const refusal = collision(broker, name)
  if (refusal !== undefined) return { errorCode: refusal.errorCode, name, topicId: nilId }
  try {
    return { topic: await broker.topics.create(homeNamespace, name) }
  } catch (error) {
    const topic = broker.topics.get(homeNamespace, name)
    return topic === undefined ? { errorCode: errorCodeOf(error), name, topicId: nilId } : { topic }
  }
}

/** Names of topics that are to be created go to `absent`, in their order; `found` keeps their place in the answer. */
function find(
  exchange: Exchange<Answer>,
  request: Request,
  version: number,
  found: Map<string, Found>,
  absent: string[],
): void {
  const { topics } = exchange.broker
  const refused = codes.topicAuthorizationFailed
  const mayCreate = request.allowAutoTopicCreation && topics.autoCreate
  for (const { topicId, name } of request.topics ?? []) {
    // An id counts before a name: some clients send an empty name with it.
    if (name === null || (version >= 12 && topicId !== nilId)) {
      found.set(`id:${topicId}`, findById(exchange, topicId, version))
      continue
    }
    if (found.has(name)) continue
    if (!exchange.may('describe', 'topic', name)) {
      found.set(name, { errorCode: refused, name, topicId: nilId })
      continue
    }
    const topic = topics.get(homeNamespace, name)
    const isValid = topicNameProblem(name) === undefined
    const errorCode = isValid ? codes.unknownTopicOrPartition : codes.invalidTopic
    found.set(name, topic === undefined ? { errorCode, name, topicId: nilId } : { topic })
    if (topic !== undefined || !isValid || !mayCreate) continue
    if (mayMake(exchange, name)) absent.push(name)
    else found.set(name, { errorCode: refused, name, topicId: nilId })
  }
}

const mayMake = (exchange: Exchange<Answer>, name: string): boolean =>
  exchange.may('create', 'cluster', clusterName) || exchange.may('create', 'topic', name)

function findById(exchange: Exchange<Answer>, topicId: string, version: number): Found {
  // Ids are only declared in versions 10 and 11; there the name must be present in both directions.
  if (version < 12 || topicId === nilId) {
    return { errorCode: codes.invalidRequest, name: version < 12 ? '' : null, topicId }
  }
  const topic = exchange.broker.topics.byId(topicId)
  if (topic?.namespace !== homeNamespace) return { errorCode: codes.unknownTopicId, name: null, topicId }
  if (!exchange.may('describe', 'topic', topic.name)) {
    return { errorCode: codes.topicAuthorizationFailed, name: null, topicId }
  }
  return { topic }
}

function answer(exchange: Exchange<Answer>, request: Request, found: Map<string, Found>): Answer {
  const { broker, connection } = exchange
  const { host, port } = advertisedAddress(broker, connection)
  const operationsOn = (topic: string): number =>
    request.includeTopicAuthorizedOperations ? authorizedOperations(exchange, 'topic', topic) : operationsNotAsked
  return {
    brokers: [{ nodeId: broker.brokerId, host, port, rack: null }],
    clusterId: clusterIdText(broker),
    controllerId: broker.brokerId,
    topics: Array.from(found.values(), one => answerTopic(broker, one, operationsOn)),
    clusterAuthorizedOperations: clusterOperationsOf(exchange, request.includeClusterAuthorizedOperations),
  }
}

function answerTopic(broker: Broker, found: Found, operationsOn: (topic: string) => number): AnswerTopic {
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
    topicAuthorizedOperations: operationsOn(topic.name),
  }
}
