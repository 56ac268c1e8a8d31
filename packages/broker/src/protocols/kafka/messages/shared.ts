import { array, i32, i64, i8, nullableStr, str, struct } from '@dragoman/wire'

/** Parts that several messages have in common. */
export const leaderIdAndEpoch = struct({ leaderId: i32, leaderEpoch: i32 })

export const nodeEndpoint = struct({ nodeId: i32, host: str, port: i32, rack: nullableStr })

/**
 * What becomes of the records from `firstOffset` to `lastOffset`: one type for all, or one for each. 0 is a gap (there is no
 * record), 1 accept, 2 release, 3 reject, 4 renew.
 */
export const acknowledgementBatch = struct({ firstOffset: i64, lastOffset: i64, acknowledgeTypes: array(i8) })
