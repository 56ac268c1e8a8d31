import { array, i16, i32, i64, message, nullableStr, since, str, struct, u16, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeQuorumRequest',
    versions: [0, 2],
    flexible: 0,
    doc: 'Asks who keeps the metadata and how far each of them is.',
  },
  { topics: array(struct({ topicName: str, partitions: array(struct({ partitionIndex: i32 })) })) },
)

const replicaState = struct({
  replicaId: i32,
  replicaDirectoryId: since(2, uuid),
  logEndOffset: i64,
  lastFetchTimestamp: since(1, i64, -1),
  lastCaughtUpTimestamp: since(1, i64, -1),
})

export const response = message(
  { name: 'DescribeQuorumResponse', versions: [0, 2], flexible: 0, doc: 'The leader of the metadata and its voters.' },
  {
    errorCode: i16,
    errorMessage: since(2, nullableStr),
    topics: array(
      struct({
        topicName: str,
        partitions: array(
          struct({
            partitionIndex: i32,
            errorCode: i16,
            errorMessage: since(2, nullableStr),
            leaderId: i32,
            leaderEpoch: i32,
            highWatermark: i64,
            currentVoters: array(replicaState),
            observers: array(replicaState),
          }),
        ),
      }),
    ),
    nodes: since(2, array(struct({ nodeId: i32, listeners: array(struct({ name: str, host: str, port: u16 })) }))),
  },
)
