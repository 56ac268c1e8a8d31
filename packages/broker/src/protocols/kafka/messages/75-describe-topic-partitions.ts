import {
  array,
  bool,
  byDefault,
  i16,
  i32,
  message,
  nullableArray,
  nullableStr,
  nullableStruct,
  str,
  struct,
  uuid,
} from '@dragoman/wire'

/** Where the next request goes on. */
const cursor = nullableStruct(struct({ topicName: str, partitionIndex: i32 }))

/** Bit field of operations that are not told. */
const notAsked = -0x8000_0000

export const request = message(
  {
    name: 'DescribeTopicPartitionsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Asks for topics and their partitions, a page at a time.',
  },
  {
    /** None asks for all topics. */
    topics: array(struct({ name: str })),
    responsePartitionLimit: byDefault(i32, 2000),
    cursor,
  },
)

export const response = message(
  {
    name: 'DescribeTopicPartitionsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'Topics in the order of their names, and where the next page begins.',
  },
  {
    throttleTimeMs: i32,
    topics: array(
      struct({
        errorCode: i16,
        name: nullableStr,
        topicId: uuid,
        isInternal: bool,
        partitions: array(
          struct({
            errorCode: i16,
            partitionIndex: i32,
            leaderId: i32,
            leaderEpoch: byDefault(i32, -1),
            replicaNodes: array(i32),
            isrNodes: array(i32),
            eligibleLeaderReplicas: nullableArray(i32),
            lastKnownElr: nullableArray(i32),
            offlineReplicas: array(i32),
          }),
        ),
        topicAuthorizedOperations: byDefault(i32, notAsked),
      }),
    ),
    nextCursor: cursor,
  },
)
