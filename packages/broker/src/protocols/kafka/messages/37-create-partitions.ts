import { array, bool, i16, i32, message, nullableArray, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'CreatePartitionsRequest', versions: [0, 3], flexible: 2, doc: 'Adds partitions to topics.' },
  {
    topics: array(
      struct({
        name: str,
        /** How many there shall be in all. */
        count: i32,
        /** Brokers of each new partition; null lets the broker choose. */
        assignments: nullableArray(struct({ brokerIds: array(i32) })),
      }),
    ),
    timeoutMs: i32,
    validateOnly: bool,
  },
)

export const response = message(
  {
    name: 'CreatePartitionsResponse',
    versions: [0, 3],
    flexible: 2,
    doc: 'Says for each topic whether it has got its partitions.',
  },
  { throttleTimeMs: i32, results: array(struct({ name: str, errorCode: i16, errorMessage: nullableStr })) },
)
