import { array, i16, i32, message, nullableStr, since, str, struct, until } from '@dragoman/wire'

export const request = message(
  { name: 'LeaveGroupRequest', versions: [0, 5], flexible: 4, doc: 'Ends memberships.' },
  {
    groupId: str,
    memberId: until(2, str),
    members: since(3, array(struct({ memberId: str, groupInstanceId: nullableStr, reason: since(5, nullableStr) }))),
  },
)

export const response = message(
  { name: 'LeaveGroupResponse', versions: [0, 5], flexible: 4, doc: 'Says for each member whether it has left.' },
  {
    throttleTimeMs: since(1, i32),
    errorCode: i16,
    members: since(3, array(struct({ memberId: str, groupInstanceId: nullableStr, errorCode: i16 }))),
  },
)
