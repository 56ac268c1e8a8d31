import { array, bool, i16, i32, message, nullableStr, since, struct, uuid } from '@dragoman/wire'
import { acknowledgementBatch, leaderIdAndEpoch, nodeEndpoint } from './shared.ts'

export const request = message(
  {
    name: 'ShareAcknowledgeRequest',
    versions: [1, 2],
    flexible: 0,
    doc: 'Says what became of records that a member of a share group has acquired.',
  },
  {
    groupId: nullableStr,
    memberId: nullableStr,
    /** -1 ends the session, else one more than in the request before. */
    shareSessionEpoch: i32,
    isRenewAck: since(2, bool),
    topics: array(
      struct({
        topicId: uuid,
        partitions: array(struct({ partitionIndex: i32, acknowledgementBatches: array(acknowledgementBatch) })),
      }),
    ),
  },
)

export const response = message(
  { name: 'ShareAcknowledgeResponse', versions: [1, 2], flexible: 0, doc: 'How each partition took it.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    acquisitionLockTimeoutMs: since(2, i32),
    responses: array(
      struct({
        topicId: uuid,
        partitions: array(
          struct({ partitionIndex: i32, errorCode: i16, errorMessage: nullableStr, currentLeader: leaderIdAndEpoch }),
        ),
      }),
    ),
    nodeEndpoints: array(nodeEndpoint),
  },
)
