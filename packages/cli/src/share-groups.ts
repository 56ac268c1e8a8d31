import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import type { Cluster } from './cluster.ts'
import { check } from './errors.ts'
import type { PartitionOffsets } from './positions.ts'

export interface ShareGroup {
  state: string
  assignor: string
  members: { member: string; client: string; host: string; partitions: string[] }[]
}

export interface SharePosition {
  topic: string
  partition: number
  /** All below is done. */
  start: number
  /** Records that are not done. */
  lag: number
}

/** Undefined when there is no share group of that name. */
export async function describeShareGroup(cluster: Cluster, group: string): Promise<ShareGroup | undefined> {
  const { groups } = await cluster.request(apis.shareGroupDescribe, { groupIds: [group] })
  const [found] = groups
  if (found === undefined || found.errorCode === codes.groupIdNotFound) return undefined
  check(found.errorCode, `Cannot describe group "${group}"`, found.errorMessage)
  const members = found.members.map(({ memberId, clientId, clientHost, assignment }) => ({
    member: memberId,
    client: clientId,
    host: clientHost,
    partitions: assignment.topicPartitions.flatMap(({ topicName, partitions }) =>
      partitions.map(partition => `${topicName}/${partition}`),
    ),
  }))
  return { state: found.groupState, assignor: found.assignorName, members }
}

/** Where a share group stands, by topic and partition. */
export async function sharePositions(cluster: Cluster, group: string): Promise<SharePosition[]> {
  const answer = await cluster.request(apis.describeShareGroupOffsets, { groups: [{ groupId: group, topics: null }] })
  const [found] = answer.groups
  check(found?.errorCode ?? 0, `Cannot read the offsets of group "${group}"`, found?.errorMessage)
  const positions = (found?.topics ?? []).flatMap(({ topicName, partitions }) =>
    partitions.map(({ partitionIndex, startOffset, lag }) => ({
      topic: topicName,
      partition: partitionIndex,
      start: startOffset,
      lag,
    })),
  )
  return positions.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

/** The same as offsets. */
export async function shareOffsets(cluster: Cluster, group: string): Promise<PartitionOffsets> {
  const offsets: PartitionOffsets = new Map()
  for (const { topic, partition, start } of await sharePositions(cluster, group)) {
    const known = offsets.get(topic)
    if (known === undefined) offsets.set(topic, new Map([[partition, start]]))
    else known.set(partition, start)
  }
  return offsets
}

/** Resolves with the first refusal, or 0. */
export async function moveShareGroup(cluster: Cluster, group: string, offsets: PartitionOffsets): Promise<number> {
  const topics = Array.from(offsets, ([topicName, partitions]) => ({
    topicName,
    partitions: Array.from(partitions, ([partitionIndex, startOffset]) => ({ partitionIndex, startOffset })),
  }))
  const answer = await cluster.request(apis.alterShareGroupOffsets, { groupId: group, topics })
  if (answer.errorCode !== 0) return answer.errorCode
  for (const { partitions } of answer.responses)
    for (const { errorCode } of partitions) if (errorCode !== 0) return errorCode
  return 0
}
