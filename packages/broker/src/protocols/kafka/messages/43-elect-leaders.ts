import { array, byDefault, i16, i32, i8, message, nullableArray, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'ElectLeadersRequest', versions: [0, 2], flexible: 2, doc: 'Asks for new leaders of partitions.' },
  {
    /** 0: the preferred replica; 1: any live replica. */
    electionType: since(1, i8),
    /** Null asks for all partitions. */
    topicPartitions: nullableArray(struct({ topic: str, partitions: array(i32) })),
    timeoutMs: byDefault(i32, 60_000),
  },
)

export const response = message(
  {
    name: 'ElectLeadersResponse',
    versions: [0, 2],
    flexible: 2,
    doc: 'Says for each partition whether it has a new leader.',
  },
  {
    throttleTimeMs: i32,
    errorCode: since(1, i16),
    replicaElectionResults: array(
      struct({
        topic: str,
        partitionResult: array(struct({ partitionId: i32, errorCode: i16, errorMessage: nullableStr })),
      }),
    ),
  },
)
