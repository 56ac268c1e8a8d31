import {
  array,
  bool,
  bytesRef,
  byDefault,
  i16,
  i32,
  i64,
  i8,
  message,
  nullableStr,
  since,
  struct,
  uuid,
} from '@dragoman/wire'
import { acknowledgementBatch, leaderIdAndEpoch, nodeEndpoint } from './shared.ts'

export const request = message(
  {
    name: 'ShareFetchRequest',
    versions: [1, 2],
    flexible: 0,
    doc: 'Takes records for a member of a share group, and acknowledges earlier ones; waits for records if asked to.',
  },
  {
    groupId: nullableStr,
    memberId: nullableStr,
    /** 0 opens a session, -1 ends it, else one more than in the request before. */
    shareSessionEpoch: i32,
    maxWaitMs: i32,
    minBytes: i32,
    maxBytes: byDefault(i32, 0x7fff_ffff),
    maxRecords: i32,
    /** Records that the member likes to have in one range of acquired records. */
    batchSize: i32,
    /** 0: whole batches, which may be more than `maxRecords`; 1: never more than `maxRecords`. */
    shareAcquireMode: since(2, i8),
    isRenewAck: since(2, bool),
    topics: array(
      struct({
        topicId: uuid,
        partitions: array(struct({ partitionIndex: i32, acknowledgementBatches: array(acknowledgementBatch) })),
      }),
    ),
    /** What leaves the session. */
    forgottenTopicsData: array(struct({ topicId: uuid, partitions: array(i32) })),
  },
)

export const response = message(
  {
    name: 'ShareFetchResponse',
    versions: [1, 2],
    flexible: 0,
    doc: 'Whole record batches, and which of their records the member has acquired.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    acquisitionLockTimeoutMs: i32,
    responses: array(
      struct({
        topicId: uuid,
        partitions: array(
          struct({
            partitionIndex: i32,
            errorCode: i16,
            errorMessage: nullableStr,
            acknowledgeErrorCode: i16,
            acknowledgeErrorMessage: nullableStr,
            currentLeader: leaderIdAndEpoch,
            records: bytesRef,
            acquiredRecords: array(struct({ firstOffset: i64, lastOffset: i64, deliveryCount: i16 })),
          }),
        ),
      }),
    ),
    nodeEndpoints: array(nodeEndpoint),
  },
)
