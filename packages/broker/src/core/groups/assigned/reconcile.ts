import type { Membership } from './machine.ts'
import { filterPartitions, intersect, noPartitions, overlap, subtract, union, type PartitionMap } from './partitions.ts'

/** What a step depends on besides the member. */
export interface StepInput {
  /** The epoch that the member's target was computed for. */
  readonly assignmentEpoch: number
  /** What the member says it has; null when it says nothing. */
  readonly owned: PartitionMap | null
  /** Topics that it subscribes to now. Others are given up whatever the target says. */
  isSubscribed(topicId: string): boolean
  /** Whether no other member has the partition. */
  isFree(topicId: string, partition: number): boolean
}

export type Step = Pick<Membership, 'epoch' | 'previousEpoch' | 'state' | 'assigned' | 'revoking'>

/**
 * The next step of a member towards its target, or undefined when it has to stay where it is.
 *
 *   stable --newer target, something to give up--> revoking --given up--> stable, or waiting for what others still have
 *   waiting --something has become free--> waiting or stable
 *
 * What it must give up comes first: until the member confirms that, it stays in its epoch, so that it may still commit offsets
 * of what it gives up, and nobody else gets those partitions.
 */
export function nextStep(member: Membership, input: StepInput): Step | undefined {
  const { assignmentEpoch, owned } = input
  if (member.state === 'stable' && member.epoch === assignmentEpoch) return undefined
  const holds = (partitions: PartitionMap): boolean => owned === null || overlap(owned, partitions)
  if (member.state === 'revoking' && holds(member.revoking)) return revokeMore(member, input)

  const target = filterPartitions(member.target, topicId => input.isSubscribed(topicId))
  const kept = intersect(member.assigned, target)
  const revoking = subtract(member.assigned, kept)
  if (revoking.size > 0 && holds(revoking)) {
    return { ...epochs(member, member.epoch), state: 'revoking', assigned: kept, revoking }
  }
  const missing = subtract(target, kept)
  const free = filterPartitions(missing, (topicId, partition) => input.isFree(topicId, partition))
  const assigned = union(kept, free)
  const state = free === missing ? 'stable' : 'waiting'
  return { ...epochs(member, assignmentEpoch), state, assigned, revoking: noPartitions }
}

/** While a member gives up partitions, it may have unsubscribed from further topics. */
function revokeMore(member: Membership, { isSubscribed }: StepInput): Step | undefined {
  const kept = filterPartitions(member.assigned, topicId => isSubscribed(topicId))
  if (kept === member.assigned) return undefined
  const revoking = union(member.revoking, subtract(member.assigned, kept))
  return { ...epochs(member, member.epoch), state: 'revoking', assigned: kept, revoking }
}

/** The answer that tells of a new epoch may be lost: the member is then still heard in the one before. */
const epochs = (member: Membership, epoch: number): Pick<Membership, 'epoch' | 'previousEpoch'> => ({
  epoch,
  previousEpoch: epoch === member.epoch ? member.previousEpoch : member.epoch,
})
