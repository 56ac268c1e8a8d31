import { array, i16, i32, i64, i8, message, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'ListOffsetsRequest', versions: [1, 11], flexible: 6, doc: 'Asks for offsets by time.' },
  {
    replicaId: i32,
    isolationLevel: since(2, i8),
    topics: array(
      struct({
        name: str,
        partitions: array(
          struct({
            partitionIndex: i32,
            currentLeaderEpoch: since(4, i32, -1),
            /** Milliseconds since 1970; negative values name places in the log, see the handler. */
            timestamp: i64,
          }),
        ),
      }),
    ),
    timeoutMs: since(10, i32),
  },
)

export const response = message(
  {
    name: 'ListOffsetsResponse',
    versions: [1, 11],
    flexible: 6,
    doc: 'Offsets, with the times of their records where a time was asked for.',
  },
  {
    throttleTimeMs: since(2, i32),
    topics: array(
      struct({
        name: str,
        partitions: array(
          struct({ partitionIndex: i32, errorCode: i16, timestamp: i64, offset: i64, leaderEpoch: since(4, i32, -1) }),
        ),
      }),
    ),
  },
)
