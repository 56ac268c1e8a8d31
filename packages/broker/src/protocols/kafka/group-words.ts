import { ProtocolError, Reader } from '@dragoman/wire'
import type { ErrorCode } from '../../core/errors.ts'
import type { PartitionMap } from '../../core/groups/assigned/partitions.ts'
import type { GroupKind, GroupState } from '../../core/groups/requests.ts'
import type { Topics } from '../../core/topics.ts'
import { codeOf, codes } from './errors.ts'

/** Groups in Kafka's words. */

/**
 * The code for an error of a group. What passes by itself is put as a coordinator that is away for a moment: consumers look for
 * it again and repeat the request, where they would give up on another code.
 */
export function groupCodeOf(error: ErrorCode | undefined): number {
  if (error === undefined) return codes.none
  return error === 'storage-full' || error === 'shutting-down' ? codes.coordinatorNotAvailable : codeOf[error]
}

export const stateNames = {
  empty: 'Empty',
  'preparing-rebalance': 'PreparingRebalance',
  'completing-rebalance': 'CompletingRebalance',
  stable: 'Stable',
  dead: 'Dead',
  assigning: 'Assigning',
  reconciling: 'Reconciling',
} satisfies Record<GroupState, string>

export const groupTypes = { classic: 'classic', exclusive: 'consumer', shared: 'share' } satisfies Record<
  GroupKind,
  string
>

/** How a member says which protocol it follows. */
export const memberTypes = { classic: 0, consumer: 1 } as const

/** The protocol type whose subscriptions are Kafka's own and can be read. */
export const consumerProtocol = 'consumer'

/**
 * The topics that a consumer has subscribed to: its subscription begins in all versions with the version and their names.
 * Undefined when the bytes are something else.
 */
export function subscribedTopics(subscription: Buffer): string[] | undefined {
  try {
    const reader = new Reader(subscription)
    reader.skip(2)
    const topics: string[] = []
    for (let left = reader.i32(); left > 0; left--) topics.push(reader.bytes(reader.i16()).toString())
    return topics
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** Partitions by the names of their topics, without topics that have gone in the meantime. */
export function namedPartitions(topics: Topics, map: PartitionMap) {
  return Array.from(map, ([topicId, partitions]) => {
    return { topicId, topicName: topics.byId(topicId)?.name ?? '', partitions }
  }).filter(({ topicName }) => topicName !== '')
}
