import { array, i16, i32, i64, message, nullableStr, str, struct, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'AlterShareGroupOffsetsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Makes a share group without members begin elsewhere.',
  },
  {
    groupId: str,
    topics: array(struct({ topicName: str, partitions: array(struct({ partitionIndex: i32, startOffset: i64 })) })),
  },
)

export const response = message(
  { name: 'AlterShareGroupOffsetsResponse', versions: [0, 0], flexible: 0, doc: 'How each partition took it.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    responses: array(
      struct({
        topicName: str,
        topicId: uuid,
        partitions: array(struct({ partitionIndex: i32, errorCode: i16, errorMessage: nullableStr })),
      }),
    ),
  },
)
