import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker, type Topic } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { quote } from '../../../core/names.ts'
import { readTopicConfig, topicConfigEntries } from '../configs.ts'
import { codes } from '../errors.ts'
import { inTime, tooLate } from '../in-time.ts'
import { apis } from '../messages/index.ts'
import { countMutations } from '../mutations.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.createTopics.request>
type NewTopic = Request['topics'][number]
type Answer = Write<typeof apis.createTopics.response>
type AnswerTopic = NonNullable<Answer['topics']>[number]

/**
 * CreateTopics 2-7: with a number of partitions or an assignment to this broker, one replica each, configurations,
 * and as a check only. Answers when all topics are durable.
 */
export const handler = defineHandler(apis.createTopics, handle)

function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const late = (): Answer => ({ topics: request.topics.map(({ name }) => answerRefused(name, tooLate)) })
  return inTime(exchange, request.timeoutMs, createAll(exchange, request), late)
}

async function createAll(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { connection } = exchange
  const repeats = repeated(request.topics, topic => topic.name)
  const unique = new Map(request.topics.map(topic => [topic.name, topic]))
  const topics = await inSlices(connection, [...unique.values()], async topic => {
    if (!repeats.has(topic.name))
      return withConfigs(exchange, topic.name, await create(exchange, topic, request.validateOnly))
    return answerRefused(
      topic.name,
      refused(codes.invalidRequest, `The request names topic ${quote(topic.name)} more than once.`),
    )
  })
  return { topics }
}

/** Who may not see the configuration of the topic is not told of it. */
function withConfigs(exchange: Exchange<Answer>, name: string, answer: AnswerTopic): AnswerTopic {
  if (exchange.may('describe-configs', 'topic', name)) return answer
  const hidden = { topicConfigErrorCode: codes.topicAuthorizationFailed, numPartitions: -1, replicationFactor: -1 }
  return { ...answer, ...hidden, configs: null }
}

async function create(exchange: Exchange<Answer>, wanted: NewTopic, validateOnly: boolean): Promise<AnswerTopic> {
  const { broker } = exchange
  if (!exchange.may('create', 'cluster', clusterName) && !exchange.may('create', 'topic', wanted.name)) {
    return answerRefused(wanted.name, refused(codes.topicAuthorizationFailed, 'Authorization failed.'))
  }
  const refusal = refusalOf(broker, wanted) ?? collision(broker, wanted.name)
  if (refusal !== undefined) return answerRefused(wanted.name, refusal)
  try {
    const partitions = wanted.assignments.length > 0 ? wanted.assignments.length : partitionCount(broker, wanted)
    const config = readTopicConfig(wanted.configs)
    if (!validateOnly) {
      const later = countMutations(exchange, partitions, exchange.version >= strictQuotaSince)
      if (later !== undefined) return answerRefused(wanted.name, later)
    }
    const topic = await broker.topics.create(homeNamespace, wanted.name, { partitions, config, validateOnly })
    return answerMade(broker, topic)
  } catch (error) {
    return answerRefused(wanted.name, outcomeOf(error))
  }
}

/** From this version on, too many new partitions are refused until later. */
const strictQuotaSince = 6

/** Names of metrics cannot tell dots from underscores, so that tools could not tell such topics apart. */
export function collision({ topics }: Broker, name: string): Outcome | undefined {
  const other = topics.similarTo(homeNamespace, name)
  if (other === undefined) return undefined
  return refused(codes.invalidTopic, `Topic ${quote(name)} collides with existing topic: ${other.name}.`)
}

function partitionCount(broker: Broker, { numPartitions }: NewTopic): number {
  return numPartitions === -1 ? broker.topics.partitionsDefault : numPartitions
}

/** What the core cannot know: replicas and their places. */
function refusalOf(broker: Broker, { assignments, numPartitions, replicationFactor }: NewTopic): Outcome | undefined {
  if (assignments.length === 0) {
    if (replicationFactor === -1 || replicationFactor === 1) return undefined
    const text = `The replication factor must be 1 or -1, not ${replicationFactor}: this broker keeps one durable copy of each record.`
    return refused(codes.invalidReplicationFactor, text)
  }
  if (numPartitions !== -1 || replicationFactor !== -1) {
    const text = 'With an assignment of replicas, the number of partitions and the replication factor must be -1.'
    return refused(codes.invalidRequest, text)
  }
  const indexes = new Set(assignments.map(({ partitionIndex }) => partitionIndex))
  const consecutive = assignments.every((_, index) => indexes.has(index))
  if (!consecutive) {
    return refused(
      codes.invalidReplicaAssignment,
      'The assigned partitions must be numbered from 0 without gaps or repeats.',
    )
  }
  return assignmentRefusal(
    broker,
    assignments.map(({ brokerIds }) => brokerIds),
  )
}

/** Each partition can only be assigned to this broker, once. */
export function assignmentRefusal(broker: Broker, assignments: readonly (readonly number[])[]): Outcome | undefined {
  const wrong = assignments.find(ids => ids.length !== 1 || ids[0] !== broker.brokerId)
  if (wrong === undefined) return undefined
  const text = `A partition can only be assigned to broker ${broker.brokerId}, once, not to [${wrong.slice(0, 10).join(', ')}].`
  return refused(codes.invalidReplicaAssignment, text)
}

function answerRefused(name: string, outcome: Outcome): AnswerTopic {
  return { name, ...outcome, configs: [] }
}

function answerMade({ topics }: Broker, topic: Topic): AnswerTopic {
  return {
    name: topic.name,
    topicId: topic.id,
    ...succeeded,
    numPartitions: topic.partitions.length,
    replicationFactor: 1,
    configs: topicConfigEntries(topic, scope => topics.overrides(scope)).map(({ name, value, source }) => {
      return { name, value, readOnly: false, configSource: source, isSensitive: false }
    }),
  }
}
