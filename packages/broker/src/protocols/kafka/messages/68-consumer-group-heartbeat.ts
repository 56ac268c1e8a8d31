import { i32, message, nullableArray, nullableStr, since, str } from '@dragoman/wire'
import { heartbeatAnswer, topicPartitions } from './shared.ts'

export const request = message(
  {
    name: 'ConsumerGroupHeartbeatRequest',
    versions: [0, 1],
    flexible: 0,
    doc: 'Makes the caller a member of a group to which the broker assigns, keeps the membership alive, or ends it.',
  },
  {
    groupId: str,
    /** From version 1 on chosen by the member. */
    memberId: str,
    /** 0 joins; -1 leaves; -2 leaves for a while, with an instance id. */
    memberEpoch: i32,
    instanceId: nullableStr,
    rackId: nullableStr,
    /** -1: as before. */
    rebalanceTimeoutMs: i32,
    /** Null: as before. */
    subscribedTopicNames: nullableArray(str),
    subscribedTopicRegex: since(1, nullableStr),
    serverAssignor: nullableStr,
    /** What the member has; null: as before. */
    topicPartitions: nullableArray(topicPartitions),
  },
)

export const response = message(
  {
    name: 'ConsumerGroupHeartbeatResponse',
    versions: [0, 1],
    flexible: 0,
    doc: "The member's epoch, and what it is assigned when that has changed.",
  },
  heartbeatAnswer,
)
