import { apis } from '@dragoman/broker/kafka-messages'
import type { Cluster, TopicPartitions } from './cluster.ts'
import { check } from './errors.ts'
import type { PartitionOffsets } from './positions.ts'

/** The newest version that names topics instead of giving their ids. */
const versionWithNames = 9

/** What a group has committed, of all its topics or of some. Partitions without a commit are absent. */
export async function committedOffsets(
  cluster: Cluster,
  group: string,
  topics: readonly TopicPartitions[] | null = null,
): Promise<PartitionOffsets> {
  const asked = topics?.map(({ topic, partitions }) => ({ name: topic, partitionIndexes: partitions })) ?? null
  const answer = await cluster.request(
    apis.offsetFetch,
    { groupId: group, topics: asked, groups: [{ groupId: group, topics: asked }] },
    { versionMax: versionWithNames },
  )
  const [only] = answer.groups
  check(only?.errorCode ?? answer.errorCode, `Cannot read the offsets of group "${group}"`)
  const offsets: PartitionOffsets = new Map()
  for (const { name, partitions } of only?.topics ?? answer.topics) {
    const byPartition = new Map<number, number>()
    for (const { partitionIndex, committedOffset, errorCode } of partitions) {
      check(errorCode, `Cannot read the offset of ${name}/${partitionIndex}`)
      if (committedOffset >= 0) byPartition.set(partitionIndex, committedOffset)
    }
    if (byPartition.size > 0) offsets.set(name, byPartition)
  }
  return offsets
}

/** Who commits: a member, or for an empty group anyone. */
export interface Committer {
  generation: number
  memberId: string
}

export const noMember: Committer = { generation: -1, memberId: '' }

/** Resolves with the first refusal, or 0. */
export async function commitOffsets(
  cluster: Cluster,
  group: string,
  offsets: PartitionOffsets,
  by: Committer,
): Promise<number> {
  const topics = [...offsets].map(([name, partitions]) => ({
    name,
    partitions: [...partitions].map(([partitionIndex, committedOffset]) => ({
      partitionIndex,
      committedOffset,
      committedMetadata: '',
    })),
  }))
  if (topics.length === 0) return 0
  const answer = await cluster.request(
    apis.offsetCommit,
    { groupId: group, generationIdOrMemberEpoch: by.generation, memberId: by.memberId, topics },
    { versionMax: versionWithNames },
  )
  for (const { partitions } of answer.topics)
    for (const { errorCode } of partitions) if (errorCode !== 0) return errorCode
  return 0
}
