import { array, between, i16, i32, i64, message, nullableStr, since, str, struct, until, uuid } from '@dragoman/wire'

export const request = message(
  { name: 'OffsetCommitRequest', versions: [2, 10], flexible: 8, doc: 'Commits offsets of a group.' },
  {
    groupId: str,
    /** -1 for a consumer that is no member. */
    generationIdOrMemberEpoch: i32,
    memberId: str,
    groupInstanceId: since(7, nullableStr),
    retentionTimeMs: between(2, 4, i64, -1),
    topics: array(
      struct({
        name: until(9, str),
        topicId: since(10, uuid),
        partitions: array(
          struct({
            partitionIndex: i32,
            committedOffset: i64,
            committedLeaderEpoch: since(6, i32, -1),
            committedMetadata: nullableStr,
          }),
        ),
      }),
    ),
  },
)

export const response = message(
  {
    name: 'OffsetCommitResponse',
    versions: [2, 10],
    flexible: 8,
    doc: 'Says for each partition whether its offset is committed.',
  },
  {
    throttleTimeMs: since(3, i32),
    topics: array(
      struct({
        name: until(9, str),
        topicId: since(10, uuid),
        partitions: array(struct({ partitionIndex: i32, errorCode: i16 })),
      }),
    ),
  },
)
