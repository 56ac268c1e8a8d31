import { array, i16, i32, message, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'DeleteGroupsRequest', versions: [0, 2], flexible: 2, doc: 'Removes groups that have no members.' },
  { groupsNames: array(str) },
)

export const response = message(
  { name: 'DeleteGroupsResponse', versions: [0, 2], flexible: 2, doc: 'Says for each group whether it was removed.' },
  { throttleTimeMs: i32, results: array(struct({ groupId: str, errorCode: i16 })) },
)
