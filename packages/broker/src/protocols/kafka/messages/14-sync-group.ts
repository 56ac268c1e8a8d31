import { array, bytes, i16, i32, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'SyncGroupRequest',
    versions: [0, 5],
    flexible: 4,
    doc: 'Asks for the assignment of a generation; the leader brings it for all.',
  },
  {
    groupId: str,
    generationId: i32,
    memberId: str,
    groupInstanceId: since(3, nullableStr),
    protocolType: since(5, nullableStr),
    protocolName: since(5, nullableStr),
    assignments: array(struct({ memberId: str, assignment: bytes })),
  },
)

export const response = message(
  { name: 'SyncGroupResponse', versions: [0, 5], flexible: 4, doc: 'What the member is assigned.' },
  {
    throttleTimeMs: since(1, i32),
    errorCode: i16,
    protocolType: since(5, nullableStr),
    protocolName: since(5, nullableStr),
    assignment: bytes,
  },
)
