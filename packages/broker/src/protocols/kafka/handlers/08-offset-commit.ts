import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import type { PartitionCommit, TopicCommits } from '../../../core/groups/requests.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { topicNamed } from '../topic-names.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.offsetCommit.request>
type RequestTopic = Request['topics'][number]
type Answer = Write<typeof apis.offsetCommit.response>
type AnswerTopic = { name: string; topicId: string; partitions: { partitionIndex: number; errorCode: number }[] }

/**
 * OffsetCommit 2-10: answered when the offsets are durable. Partitions that cannot be committed do not hinder the others.
 * Topics by id from version 10.
 */
export const handler = defineHandler(apis.offsetCommit, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker, connection } = exchange
  const topics: AnswerTopic[] = []
  const commits: TopicCommits[] = []
  const mayCommit = exchange.may('read', 'group', request.groupId)
  for (const topic of request.topics) {
    if (mayCommit) sortOut(exchange, topic, version, topics, commits)
    else topics.push(refuse(topic, codes.groupAuthorizationFailed))
  }
  if (commits.length === 0) return exchange.reply({ topics })

  const { groupId: group, memberId, groupInstanceId: instanceId, generationIdOrMemberEpoch: generation } = request
  const expiresMs = request.retentionTimeMs < 0 ? -1 : connection.clock.nowMs() + request.retentionTimeMs
  const who = { memberId, instanceId, generation, knowsEpochs: version >= 9 }
  const commit = { namespace: homeNamespace, group, ...who, expiresMs, topics: commits }
  broker.groups.commit(commit, error => {
    // Older consumers do not expect their group to be unknown, and join again when their generation is.
    const unknown = error === 'group-not-found' && version < 9
    const errorCode = groupCodeOf(unknown ? 'group-generation-stale' : error)
    for (const { partitions } of topics) {
      for (const partition of partitions) if (partition.errorCode === codes.none) partition.errorCode = errorCode
    }
    exchange.reply({ topics })
  })
}

function refuse({ name, topicId, partitions }: RequestTopic, errorCode: number): AnswerTopic {
  return { name, topicId, partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })) }
}

/** Adds the topic to the answer and what of it can be committed to `commits`. */
function sortOut(
  exchange: Exchange<Answer>,
  requested: RequestTopic,
  version: number,
  topics: AnswerTopic[],
  commits: TopicCommits[],
): void {
  const { name, topicId } = requested
  const { broker } = exchange
  const topic = topicNamed(broker, requested, version >= 10)
  const unknown = version >= 10 ? codes.unknownTopicId : codes.unknownTopicOrPartition
  const nameHere = version >= 10 ? topic?.name : name
  if (nameHere !== undefined && !exchange.may('read', 'topic', nameHere)) {
    topics.push(refuse(requested, codes.topicAuthorizationFailed))
    return
  }
  const partitions: PartitionCommit[] = []
  const answers = requested.partitions.map(partition => {
    const { partitionIndex, committedOffset: offset, committedLeaderEpoch: leaderEpoch } = partition
    const metadata = partition.committedMetadata ?? ''
    let errorCode: number = codes.none
    if (topic === undefined) errorCode = unknown
    else if (topic.partitions[partitionIndex] === undefined) errorCode = codes.unknownTopicOrPartition
    else if (metadata.length > broker.limits.offsetMetadataBytesMax) errorCode = codes.offsetMetadataTooLarge
    else partitions.push({ partition: partitionIndex, offset, leaderEpoch, metadata })
    return { partitionIndex, errorCode }
  })
  topics.push({ name, topicId, partitions: answers })
  if (topic !== undefined && partitions.length > 0) commits.push({ topicId: topic.id, partitions })
}
