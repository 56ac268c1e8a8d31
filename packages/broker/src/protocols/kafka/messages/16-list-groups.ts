import { array, i16, i32, message, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'ListGroupsRequest', versions: [0, 5], flexible: 3, doc: 'Asks for groups; an empty filter takes all.' },
  { statesFilter: since(4, array(str)), typesFilter: since(5, array(str)) },
)

export const response = message(
  { name: 'ListGroupsResponse', versions: [0, 5], flexible: 3, doc: 'The groups of this broker.' },
  {
    throttleTimeMs: since(1, i32),
    errorCode: i16,
    groups: array(struct({ groupId: str, protocolType: str, groupState: since(4, str), groupType: since(5, str) })),
  },
)
