import { i32, message, nullableArray, nullableStr, str } from '@dragoman/wire'
import { heartbeatAnswer } from './shared.ts'

export const request = message(
  {
    name: 'ShareGroupHeartbeatRequest',
    versions: [1, 1],
    flexible: 0,
    doc: 'Joins a share group (epoch 0), stays in it, or leaves it (epoch -1).',
  },
  {
    groupId: str,
    /** Made by the member itself. */
    memberId: str,
    memberEpoch: i32,
    /** Null: as before. */
    rackId: nullableStr,
    /** Null: as before. */
    subscribedTopicNames: nullableArray(str),
  },
)

export const response = message(
  {
    name: 'ShareGroupHeartbeatResponse',
    versions: [1, 1],
    flexible: 0,
    doc: 'The epoch of the member, and its partitions when they have changed.',
  },
  heartbeatAnswer,
)
