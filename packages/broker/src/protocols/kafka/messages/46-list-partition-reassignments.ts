import { array, byDefault, i16, i32, message, nullableArray, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'ListPartitionReassignmentsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Asks which partitions are moving to other brokers.',
  },
  {
    timeoutMs: byDefault(i32, 60_000),
    /** Null asks for all topics. */
    topics: nullableArray(struct({ name: str, partitionIndexes: array(i32) })),
  },
)

export const response = message(
  {
    name: 'ListPartitionReassignmentsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'The partitions that are moving.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    topics: array(
      struct({
        name: str,
        partitions: array(
          struct({
            partitionIndex: i32,
            replicas: array(i32),
            addingReplicas: array(i32),
            removingReplicas: array(i32),
          }),
        ),
      }),
    ),
  },
)
