import { array, bool, byDefault, i16, i32, message, nullableStr, str, struct, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'ShareGroupDescribeRequest',
    versions: [1, 1],
    flexible: 0,
    doc: 'Asks for the state and the members of share groups.',
  },
  { groupIds: array(str), includeAuthorizedOperations: bool },
)

const assignment = struct({
  topicPartitions: array(struct({ topicId: uuid, topicName: str, partitions: array(i32) })),
})

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
        errorCode: i16,
        errorMessage: nullableStr,
        groupId: str,
        groupState: str,
        groupEpoch: i32,
        assignmentEpoch: i32,
        assignorName: str,
        members: array(
          struct({
            memberId: str,
            rackId: nullableStr,
            memberEpoch: i32,
            clientId: str,
            clientHost: str,
            subscribedTopicNames: array(str),
            assignment,
          }),
        ),
        authorizedOperations: byDefault(i32, -0x8000_0000),
      }),
    ),
  },
)
