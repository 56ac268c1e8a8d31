import { array, bool, bytes, i16, i32, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeGroupsRequest',
    versions: [0, 6],
    flexible: 5,
    doc: 'Asks for the state and the members of groups.',
  },
  { groups: array(str), includeAuthorizedOperations: since(3, bool) },
)

export const response = message(
  { name: 'DescribeGroupsResponse', versions: [0, 6], flexible: 5, doc: 'State and members of each group.' },
  {
    throttleTimeMs: since(1, i32),
    groups: array(
      struct({
        errorCode: i16,
        errorMessage: since(6, nullableStr),
        groupId: str,
        groupState: str,
        protocolType: str,
        protocolData: str,
        members: array(
          struct({
            memberId: str,
            groupInstanceId: since(4, nullableStr),
            clientId: str,
            clientHost: str,
            memberMetadata: bytes,
            memberAssignment: bytes,
          }),
        ),
        authorizedOperations: since(3, i32, -0x8000_0000),
      }),
    ),
  },
)
