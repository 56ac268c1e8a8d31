import { array, bool, i32, i8, message, nullableStr, since, str, struct } from '@dragoman/wire'
import { describedAssignment, describedGroup } from './shared.ts'

export const request = message(
  {
    name: 'ConsumerGroupDescribeRequest',
    versions: [0, 1],
    flexible: 0,
    doc: 'Asks for the members of groups to which the broker assigns.',
  },
  { groupIds: array(str), includeAuthorizedOperations: bool },
)

export const response = message(
  {
    name: 'ConsumerGroupDescribeResponse',
    versions: [0, 1],
    flexible: 0,
    doc: 'Epochs and members of each group, with what each has and is to have.',
  },
  {
    throttleTimeMs: i32,
    groups: array(
      struct({
        ...describedGroup,
        members: array(
          struct({
            memberId: str,
            instanceId: nullableStr,
            rackId: nullableStr,
            memberEpoch: i32,
            clientId: str,
            clientHost: str,
            subscribedTopicNames: array(str),
            subscribedTopicRegex: nullableStr,
            assignment: describedAssignment,
            targetAssignment: describedAssignment,
            /** 0: assigns among its like; 1: is assigned to by the broker; -1: not known. */
            memberType: since(1, i8, -1),
          }),
        ),
        authorizedOperations: i32,
      }),
    ),
  },
)
