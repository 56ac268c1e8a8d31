import { array, i16, i32, i64, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'TxnOffsetCommitRequest',
    versions: [0, 5],
    flexible: 3,
    doc: 'Commits offsets that count once the transaction of the producer is committed.',
  },
  {
    transactionalId: str,
    groupId: str,
    producerId: i64,
    producerEpoch: i16,
    generationId: since(3, i32, -1),
    memberId: since(3, str),
    groupInstanceId: since(3, nullableStr, null),
    topics: array(
      struct({
        name: str,
        partitions: array(
          struct({
            partitionIndex: i32,
            committedOffset: i64,
            committedLeaderEpoch: since(2, i32, -1),
            committedMetadata: nullableStr,
          }),
        ),
      }),
    ),
  },
)

export const response = message(
  { name: 'TxnOffsetCommitResponse', versions: [0, 5], flexible: 3, doc: 'How it went, for each partition.' },
  {
    throttleTimeMs: i32,
    topics: array(struct({ name: str, partitions: array(struct({ partitionIndex: i32, errorCode: i16 })) })),
  },
)
