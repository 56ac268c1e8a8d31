import type { AssignorInput, AssignorMember } from './assignor.ts'
import type { PartitionMap } from './partitions.ts'

/**
 * Divides the partitions of each topic into ranges, one for each subscriber, in the order of the subscribers' names. With
 * topics of the same size and members of the same subscription, a member has the same partitions of all topics, so that what
 * belongs together can be joined. Where members come under instance ids, ranges stay with them through restarts.
 */
export function assignRanges({ members, partitionCounts }: AssignorInput): Map<string, PartitionMap> {
  const sorted = [...members].sort(byName)
  const left = new Map<string, { subscribers: number; next: number; count: number }>()
  for (const { topics } of sorted) {
    for (const topicId of topics) {
      const topic = left.get(topicId)
      if (topic === undefined) left.set(topicId, { subscribers: 1, next: 0, count: partitionCounts.get(topicId) ?? 0 })
      else topic.subscribers++
    }
  }
  const result = new Map<string, PartitionMap>()
  for (const { memberId, topics } of sorted) {
    const target = new Map<string, readonly number[]>()
    for (const topicId of topics) {
      const topic = left.get(topicId)
      if (topic === undefined) continue
      // The first ones get one more when it does not come out even.
      const share = Math.ceil((topic.count - topic.next) / topic.subscribers--)
      const first = topic.next
      if (share > 0)
        target.set(
          topicId,
          Array.from({ length: share }, (_, offset) => first + offset),
        )
      topic.next += share
    }
    result.set(memberId, target)
  }
  return result
}

/** Members with an instance id first: their names last longer. */
function byName(a: AssignorMember, b: AssignorMember): number {
  if (a.instanceId !== null && b.instanceId !== null) return compare(a.instanceId, b.instanceId)
  if (a.instanceId !== null) return -1
  return b.instanceId !== null ? 1 : compare(a.memberId, b.memberId)
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
