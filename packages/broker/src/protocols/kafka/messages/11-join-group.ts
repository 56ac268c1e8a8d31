import { array, bool, bytes, i16, i32, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'JoinGroupRequest', versions: [0, 9], flexible: 6, doc: 'Makes the caller a member of a group.' },
  {
    groupId: str,
    sessionTimeoutMs: i32,
    /** Before version 1, the session time-out serves for both. */
    rebalanceTimeoutMs: since(1, i32, -1),
    /** Empty for a new member. */
    memberId: str,
    groupInstanceId: since(5, nullableStr),
    protocolType: str,
    /** In order of preference. */
    protocols: array(struct({ name: str, metadata: bytes })),
    reason: since(8, nullableStr),
  },
)

export const response = message(
  { name: 'JoinGroupResponse', versions: [0, 9], flexible: 6, doc: 'The generation, and for its leader all members.' },
  {
    throttleTimeMs: since(2, i32),
    errorCode: i16,
    generationId: i32,
    protocolType: since(7, nullableStr),
    /** May be null from version 7 on. */
    protocolName: nullableStr,
    leader: str,
    skipAssignment: since(9, bool),
    memberId: str,
    members: array(struct({ memberId: str, groupInstanceId: since(5, nullableStr), metadata: bytes })),
  },
)
