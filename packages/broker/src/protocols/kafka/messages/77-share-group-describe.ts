import { array, bool, byDefault, i32, message, nullableStr, str, struct } from '@dragoman/wire'
import { describedAssignment, describedGroup } from './shared.ts'

export const request = message(
  {
    name: 'ShareGroupDescribeRequest',
    versions: [1, 1],
    flexible: 0,
    doc: 'Asks for the state and the members of share groups.',
  },
  { groupIds: array(str), includeAuthorizedOperations: bool },
)

export const response = message(
  {
    name: 'ShareGroupDescribeResponse',
    versions: [1, 1],
    flexible: 0,
    doc: 'State, epochs and members of each share group, with the partitions of each member.',
  },
  {
    throttleTimeMs: i32,
    groups: array(
      struct({
        ...describedGroup,
        members: array(
          struct({
            memberId: str,
            rackId: nullableStr,
            memberEpoch: i32,
            clientId: str,
            clientHost: str,
            subscribedTopicNames: array(str),
            assignment: describedAssignment,
          }),
        ),
        authorizedOperations: byDefault(i32, -0x8000_0000),
      }),
    ),
  },
)
