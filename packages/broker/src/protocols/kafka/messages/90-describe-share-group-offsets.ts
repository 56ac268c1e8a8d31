import { array, i16, i32, i64, message, nullableArray, nullableStr, since, str, struct, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeShareGroupOffsetsRequest',
    versions: [0, 1],
    flexible: 0,
    doc: 'Asks from where on share groups have records to work on.',
  },
  {
    groups: array(
      struct({
        groupId: str,
        /** Null: all of the group. */
        topics: nullableArray(struct({ topicName: str, partitions: array(i32) })),
      }),
    ),
  },
)

export const response = message(
  {
    name: 'DescribeShareGroupOffsetsResponse',
    versions: [0, 1],
    flexible: 0,
    doc: 'For each partition the first offset that is not done, -1 where the group has none, and how many records are not done.',
  },
  {
    throttleTimeMs: i32,
    groups: array(
      struct({
        groupId: str,
        topics: array(
          struct({
            topicName: str,
            topicId: uuid,
            partitions: array(
              struct({
                partitionIndex: i32,
                startOffset: i64,
                leaderEpoch: i32,
                lag: since(1, i64, -1),
                errorCode: i16,
                errorMessage: nullableStr,
              }),
            ),
          }),
        ),
        errorCode: i16,
        errorMessage: nullableStr,
      }),
    ),
  },
)
