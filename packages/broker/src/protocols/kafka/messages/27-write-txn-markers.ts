import { array, bool, i16, i32, i64, i8, message, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'WriteTxnMarkersRequest',
    versions: [1, 2],
    flexible: 1,
    doc: 'Ends transactions that an administrator has found open.',
  },
  {
    markers: array(
      struct({
        producerId: i64,
        producerEpoch: i16,
        /** True commits, false aborts. */
        transactionResult: bool,
        topics: array(struct({ name: str, partitionIndexes: array(i32) })),
        coordinatorEpoch: i32,
        transactionVersion: since(2, i8),
      }),
    ),
  },
)

export const response = message(
  { name: 'WriteTxnMarkersResponse', versions: [1, 2], flexible: 1, doc: 'How it went, for each partition.' },
  {
    markers: array(
      struct({
        producerId: i64,
        topics: array(struct({ name: str, partitions: array(struct({ partitionIndex: i32, errorCode: i16 })) })),
      }),
    ),
  },
)
