import { array, i16, i32, i64, message, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'DeleteRecordsRequest', versions: [0, 2], flexible: 2, doc: 'Removes the records below an offset.' },
  {
    topics: array(
      struct({
        name: str,
        /** Offset -1 removes all. */
        partitions: array(struct({ partitionIndex: i32, offset: i64 })),
      }),
    ),
    timeoutMs: i32,
  },
)

export const response = message(
  { name: 'DeleteRecordsResponse', versions: [0, 2], flexible: 2, doc: 'The new first offset of each partition.' },
  {
    throttleTimeMs: i32,
    topics: array(
      struct({ name: str, partitions: array(struct({ partitionIndex: i32, lowWatermark: i64, errorCode: i16 })) }),
    ),
  },
)
