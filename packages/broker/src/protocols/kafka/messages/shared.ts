import { array, i16, i32, i64, i8, nullableStr, nullableStruct, str, struct, uuid } from '@dragoman/wire'

/** Parts that several messages have in common. */
export const leaderIdAndEpoch = struct({ leaderId: i32, leaderEpoch: i32 })

export const nodeEndpoint = struct({ nodeId: i32, host: str, port: i32, rack: nullableStr })

/**
 * What becomes of the records from `firstOffset` to `lastOffset`: one type for all, or one for each. 0 is a gap (there is no
 * record), 1 accept, 2 release, 3 reject, 4 renew.
 */
export const acknowledgementBatch = struct({ firstOffset: i64, lastOffset: i64, acknowledgeTypes: array(i8) })

/** Partitions of one topic, by its id. */
export const topicPartitions = struct({ topicId: uuid, partitions: array(i32) })

/** What a member of a group has, for people: topics by id and name. */
export const describedAssignment = struct({
  topicPartitions: array(struct({ topicId: uuid, topicName: str, partitions: array(i32) })),
})

/** The beginning of a group that is described. */
export const describedGroup = {
  errorCode: i16,
  errorMessage: nullableStr,
  groupId: str,
  groupState: str,
  groupEpoch: i32,
  assignmentEpoch: i32,
  assignorName: str,
}

/** The answer to a member's heartbeat: its epoch, and what it is assigned when that has changed. */
export const heartbeatAnswer = {
  throttleTimeMs: i32,
  errorCode: i16,
  errorMessage: nullableStr,
  memberId: nullableStr,
  memberEpoch: i32,
  heartbeatIntervalMs: i32,
  /** Null: as before. */
  assignment: nullableStruct(struct({ topicPartitions: array(topicPartitions) })),
}
