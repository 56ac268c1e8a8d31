import { array, i16, i32, i64, message, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'OffsetForLeaderEpochRequest',
    versions: [2, 4],
    flexible: 4,
    doc: 'Asks where epochs ended, to find out whether the log was cut.',
  },
  {
    replicaId: since(3, i32, -2),
    topics: array(
      struct({ topic: str, partitions: array(struct({ partition: i32, currentLeaderEpoch: i32, leaderEpoch: i32 })) }),
    ),
  },
)

export const response = message(
  {
    name: 'OffsetForLeaderEpochResponse',
    versions: [2, 4],
    flexible: 4,
    doc: 'The greatest epoch up to the one asked for, and the offset after its last record.',
  },
  {
    throttleTimeMs: i32,
    topics: array(
      struct({
        topic: str,
        partitions: array(struct({ errorCode: i16, partition: i32, leaderEpoch: i32, endOffset: i64 })),
      }),
    ),
  },
)
