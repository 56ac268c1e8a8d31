import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import type { CommittedOffset, GroupOffsets } from '../../../core/groups/machine.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { topicNamed } from '../topic-names.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.offsetFetch.request>
type Answer = Write<typeof apis.offsetFetch.response>
type WantedTopic = { name: string; topicId: string; partitionIndexes: readonly number[] }
type AnswerTopic = { name: string; topicId: string; partitions: AnswerPartition[] }

interface AnswerPartition {
  partitionIndex: number
  committedOffset: number
  committedLeaderEpoch: number
  metadata: string
  errorCode: number
}

const nilId = '0'.repeat(32)

/**
 * OffsetFetch 1-10: what is committed and durable, of one group before version 8, of several from it on; topics by id from
 * version 10. With `requireStable`, a partition whose offset an open transaction may yet change is refused: the client asks again.
 */
export const handler = defineHandler(apis.offsetFetch, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  const { broker } = exchange
  if (version < 8) {
    const wanted = request.topics?.map(topic => ({ ...topic, topicId: nilId })) ?? null
    if (!exchange.may('describe', 'group', request.groupId)) return exchange.reply(refused(request, version))
    const topics = offsetsOf(exchange, request.groupId, wanted, false)
    if (request.requireStable) refuseUnstable(broker, request.groupId, topics, false)
    return answerSettled(exchange, [request.groupId], { topics })
  }
  const groups = request.groups.map(({ groupId, memberId, memberEpoch, topics: wanted }) => {
    if (!exchange.may('describe', 'group', groupId)) {
      return { groupId, topics: [], errorCode: codes.groupAuthorizationFailed }
    }
    const error = broker.groups.checkFetch(homeNamespace, groupId, memberId, memberEpoch)
    if (error !== undefined) return { groupId, topics: [], errorCode: groupCodeOf(error) }
    const topics = offsetsOf(exchange, groupId, wanted, version >= 10)
    if (request.requireStable) refuseUnstable(broker, groupId, topics, version >= 10)
    return { groupId, topics, errorCode: codes.none }
  })
  answerSettled(
    exchange,
    Array.from(request.groups, ({ groupId }) => groupId),
    { groups },
  )
}

/** Before version 2 there is no place for an error but at the partitions. */
function refused({ topics }: Request, version: number): Answer {
  const errorCode = codes.groupAuthorizationFailed
  if (version >= 2) return { topics: [], errorCode }
  const partitionsOf = (indexes: readonly number[]): AnswerPartition[] =>
    indexes.map(index => answerPartition(index, undefined, errorCode))
  return {
    topics: (topics ?? []).map(({ name, partitionIndexes }) => ({ name, partitions: partitionsOf(partitionIndexes) })),
  }
}

/** Answers when what was seen of the groups is durable. */
function answerSettled(exchange: Exchange<Answer>, groups: readonly string[], answer: Answer): void {
  let left = groups.length
  if (left === 0) return exchange.reply(answer)
  const settled = (): void => {
    if (--left === 0) exchange.reply(answer)
  }
  for (const group of groups) exchange.broker.groups.settled(homeNamespace, group, settled, undefined)
}

function offsetsOf(
  exchange: Exchange<Answer>,
  group: string,
  wanted: readonly WantedTopic[] | null,
  byId: boolean,
): AnswerTopic[] {
  const { broker } = exchange
  const mayDescribe = (topic: string): boolean => exchange.may('describe', 'topic', topic)
  const offsets = broker.groups.offsets(homeNamespace, group)
  if (wanted === null)
    return offsets === undefined ? [] : allOffsets(broker, offsets).filter(({ name }) => mayDescribe(name))
  return wanted.map(({ name, topicId, partitionIndexes }) => {
    const topic = topicNamed(broker, { name, topicId }, byId)
    const nameHere = byId ? topic?.name : name
    if (nameHere !== undefined && !mayDescribe(nameHere)) {
      const errorCode = codes.topicAuthorizationFailed
      return { name, topicId, partitions: partitionIndexes.map(index => answerPartition(index, undefined, errorCode)) }
    }
    const committed = topic === undefined ? undefined : offsets?.get(topic.id)
    const errorCode = topic === undefined && byId ? codes.unknownTopicId : codes.none
    const partitions = partitionIndexes.map(index => answerPartition(index, committed?.get(index), errorCode))
    return { name, topicId, partitions }
  })
}

function refuseUnstable(broker: Broker, group: string, topics: AnswerTopic[], byId: boolean): void {
  for (const named of topics) {
    const topic = topicNamed(broker, named, byId)
    if (topic === undefined) continue
    for (const partition of named.partitions) {
      const { partitionIndex } = partition
      if (partition.errorCode !== codes.none) continue
      if (!broker.groups.isPending({ namespace: homeNamespace, group }, topic.id, partitionIndex)) continue
      Object.assign(partition, answerPartition(partitionIndex, undefined, codes.unstableOffsetCommit))
    }
  }
}

function allOffsets(broker: Broker, offsets: GroupOffsets): AnswerTopic[] {
  const topics: AnswerTopic[] = []
  for (const [topicId, partitions] of offsets) {
    const topic = topicNamed(broker, { name: '', topicId }, true)
    if (topic === undefined) continue
    const answers = Array.from(partitions, ([index, committed]) => answerPartition(index, committed, codes.none))
    topics.push({ name: topic.name, topicId, partitions: answers })
  }
  return topics
}

const answerPartition = (
  partitionIndex: number,
  committed: CommittedOffset | undefined,
  errorCode: number,
): AnswerPartition => ({
  partitionIndex,
  committedOffset: committed?.offset ?? -1,
  committedLeaderEpoch: committed?.leaderEpoch ?? -1,
  metadata: committed?.metadata ?? '',
  errorCode,
})
