import {
  array,
  nullableBytesRef,
  i16,
  i32,
  i64,
  i8,
  message,
  nullableArray,
  nullableStr,
  since,
  str,
  struct,
  tagged,
  until,
  uuid,
} from '@dragoman/wire'
import { leaderIdAndEpoch, nodeEndpoint } from './shared.ts'

const noId = '0'.repeat(32)

export const request = message(
  {
    name: 'FetchRequest',
    versions: [4, 18],
    flexible: 12,
    doc: 'Reads record batches from partitions; waits for them if asked to.',
  },
  {
    clusterId: tagged(0, nullableStr, null, 12),
    replicaId: until(14, i32, -1),
    replicaState: tagged(1, struct({ replicaId: i32, replicaEpoch: i64 }), { replicaId: -1, replicaEpoch: -1 }, 15),
    maxWaitMs: i32,
    minBytes: i32,
    maxBytes: i32,
    /** 0: all that is durable; 1: only what is committed. */
    isolationLevel: i8,
    sessionId: since(7, i32),
    sessionEpoch: since(7, i32, -1),
    topics: array(
      struct({
        topic: until(12, str),
        topicId: since(13, uuid),
        partitions: array(
          struct({
            partition: i32,
            currentLeaderEpoch: since(9, i32, -1),
            fetchOffset: i64,
            lastFetchedEpoch: since(12, i32, -1),
            logStartOffset: since(5, i64, -1),
            partitionMaxBytes: i32,
            replicaDirectoryId: tagged(0, uuid, noId, 17),
            highWatermark: tagged(1, i64, 2 ** 63, 18),
          }),
        ),
      }),
    ),
    /** What leaves the session. */
    forgottenTopicsData: since(
      7,
      array(struct({ topic: until(12, str), topicId: since(13, uuid), partitions: array(i32) })),
    ),
    rackId: since(11, str),
  },
)

export const response = message(
  {
    name: 'FetchResponse',
    versions: [4, 18],
    flexible: 12,
    doc: 'Whole record batches; the first of a partition may begin before the offset.',
  },
  {
    throttleTimeMs: i32,
    errorCode: since(7, i16),
    sessionId: since(7, i32),
    responses: array(
      struct({
        topic: until(12, str),
        topicId: since(13, uuid),
        partitions: array(
          struct({
            partitionIndex: i32,
            errorCode: i16,
            highWatermark: i64,
            lastStableOffset: i64,
            logStartOffset: since(5, i64, -1),
            divergingEpoch: tagged(0, struct({ epoch: i32, endOffset: i64 }), { epoch: -1, endOffset: -1 }, 12),
            currentLeader: tagged(1, leaderIdAndEpoch, { leaderId: -1, leaderEpoch: -1 }, 12),
            snapshotId: tagged(2, struct({ endOffset: i64, epoch: i32 }), { endOffset: -1, epoch: -1 }, 12),
            abortedTransactions: nullableArray(struct({ producerId: i64, firstOffset: i64 })),
            preferredReadReplica: since(11, i32, -1),
            records: nullableBytesRef,
          }),
        ),
      }),
    ),
    nodeEndpoints: tagged(0, array(nodeEndpoint), [], 16),
  },
)
