import { array, i16, i32, i64, message, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeTransactionsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Asks for the state of transactional ids.',
  },
  { transactionalIds: array(str) },
)

export const response = message(
  {
    name: 'DescribeTransactionsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'Producer, state and partitions of each transactional id.',
  },
  {
    throttleTimeMs: i32,
    transactionStates: array(
      struct({
        errorCode: i16,
        transactionalId: str,
        transactionState: str,
        transactionTimeoutMs: i32,
        transactionStartTimeMs: i64,
        producerId: i64,
        producerEpoch: i16,
        topics: array(struct({ topic: str, partitions: array(i32) })),
      }),
    ),
  },
)
