import { i32, nullableStr, str, struct } from '@dragoman/wire'

/** Parts that several messages have in common. */
export const leaderIdAndEpoch = struct({ leaderId: i32, leaderEpoch: i32 })

export const nodeEndpoint = struct({ nodeId: i32, host: str, port: i32, rack: nullableStr })
