import { i16, i32, message, nullableStr, since, str } from '@dragoman/wire'

export const request = message(
  { name: 'HeartbeatRequest', versions: [0, 4], flexible: 4, doc: 'Keeps a membership alive.' },
  { groupId: str, generationId: i32, memberId: str, groupInstanceId: since(3, nullableStr) },
)

export const response = message(
  {
    name: 'HeartbeatResponse',
    versions: [0, 4],
    flexible: 4,
    doc: 'Says whether the membership holds, and when to join again.',
  },
  { throttleTimeMs: since(1, i32), errorCode: i16 },
)
