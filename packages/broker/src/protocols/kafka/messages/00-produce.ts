import {
  array,
  i16,
  i32,
  i64,
  message,
  nullableBytes,
  nullableStr,
  since,
  str,
  struct,
  tagged,
  until,
  uuid,
} from '@dragoman/wire'
import { leaderIdAndEpoch, nodeEndpoint } from './shared.ts'

export const request = message(
  { name: 'ProduceRequest', versions: [3, 13], flexible: 9, doc: 'Appends record batches to partitions.' },
  {
    transactionalId: nullableStr,
    /** 0: no answer; 1 and -1: answered when durable. */
    acks: i16,
    timeoutMs: i32,
    topicData: array(
      struct({
        name: until(12, str),
        topicId: since(13, uuid),
        partitionData: array(struct({ index: i32, records: nullableBytes })),
      }),
    ),
  },
)

export const response = message(
  {
    name: 'ProduceResponse',
    versions: [3, 13],
    flexible: 9,
    doc: 'Says for each partition where its batch begins, or why not.',
  },
  {
    responses: array(
      struct({
        name: until(12, str),
        topicId: since(13, uuid),
        partitionResponses: array(
          struct({
            index: i32,
            errorCode: i16,
            baseOffset: i64,
            /** -1 unless the broker stamped the batch. */
            logAppendTimeMs: i64,
            logStartOffset: since(5, i64, -1),
            recordErrors: since(8, array(struct({ batchIndex: i32, batchIndexErrorMessage: nullableStr }))),
            errorMessage: since(8, nullableStr),
            currentLeader: tagged(0, leaderIdAndEpoch, { leaderId: -1, leaderEpoch: -1 }, 10),
          }),
        ),
      }),
    ),
    throttleTimeMs: i32,
    nodeEndpoints: tagged(0, array(nodeEndpoint), [], 10),
  },
)
