import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import type { ErrorCode } from '../../../core/errors.ts'
import type { PartitionCommit, TopicCommits } from '../../../core/groups/requests.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { producerOf, producerRefusal, transactionCodeOf } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.txnOffsetCommit.request>
type Answer = Write<typeof apis.txnOffsetCommit.response>
type AnswerTopic = { name: string; partitions: { partitionIndex: number; errorCode: number }[] }

/**
 * TxnOffsetCommit 0-5: the offsets count once the transaction is committed. From version 5 on the group takes part by this; before,
 * it must have been added. Partitions that cannot be committed do not hinder the others.
 */
export const handler = defineHandler(apis.txnOffsetCommit, handle)

const since = { fenced: Infinity, abortable: 4 }
const epochPerTransactionSince = 5

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker, connection } = exchange
  const topics: AnswerTopic[] = []
  const commits: TopicCommits[] = []
  const denied = producerRefusal(exchange, request)
  for (const topic of request.topics) {
    const code = denied ?? (exchange.may('read', 'topic', topic.name) ? undefined : codes.topicAuthorizationFailed)
    if (code === undefined) sortOut(broker, topic, topics, commits)
    else topics.push(refuse(topic, code))
  }
  if (commits.length === 0) return exchange.reply({ topics })

  const { groupId: group, memberId, groupInstanceId: instanceId, generationId: generation } = request
  const producer = producerOf(request, connection, version >= epochPerTransactionSince)
  broker.transactions.commitOffsets(
    { ...producer, group, memberId, instanceId, generation, topics: commits },
    error => {
      const errorCode = codeFor(error, version)
      for (const { partitions } of topics) {
        for (const partition of partitions) if (partition.errorCode === codes.none) partition.errorCode = errorCode
      }
      exchange.reply({ topics })
    },
  )
}

/** A member of a group that is not there speaks of a generation that is gone. */
function codeFor(error: ErrorCode | undefined, version: number): number {
  return error === 'group-not-found' ? codes.illegalGeneration : transactionCodeOf(error, version, since)
}

function refuse({ name, partitions }: Request['topics'][number], errorCode: number): AnswerTopic {
  return { name, partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })) }
}

/** Adds the topic to the answer and what of it can be committed to `commits`. */
function sortOut(
  broker: Broker,
  { name, partitions: wanted }: Request['topics'][number],
  topics: AnswerTopic[],
  commits: TopicCommits[],
): void {
  const topic = broker.topics.get(homeNamespace, name)
  const partitions: PartitionCommit[] = []
  const answers = wanted.map(({ partitionIndex, committedOffset: offset, ...rest }) => {
    const metadata = rest.committedMetadata ?? ''
    let errorCode: number = codes.none
    if (topic?.partitions[partitionIndex] === undefined) errorCode = codes.unknownTopicOrPartition
    else if (metadata.length > broker.limits.offsetMetadataBytesMax) errorCode = codes.offsetMetadataTooLarge
    else partitions.push({ partition: partitionIndex, offset, leaderEpoch: rest.committedLeaderEpoch, metadata })
    return { partitionIndex, errorCode }
  })
  topics.push({ name, partitions: answers })
  if (topic !== undefined && partitions.length > 0) commits.push({ topicId: topic.id, partitions })
}
