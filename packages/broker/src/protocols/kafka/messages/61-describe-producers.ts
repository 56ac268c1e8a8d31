import { array, i16, i32, i64, message, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeProducersRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Asks which producers with an id have written to partitions.',
  },
  { topics: array(struct({ name: str, partitionIndexes: array(i32) })) },
)

export const response = message(
  {
    name: 'DescribeProducersResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'What each partition remembers of its producers.',
  },
  {
    throttleTimeMs: i32,
    topics: array(
      struct({
        name: str,
        partitions: array(
          struct({
            partitionIndex: i32,
            errorCode: i16,
            errorMessage: nullableStr,
            activeProducers: array(
              struct({
                producerId: i64,
                producerEpoch: i32,
                lastSequence: i32,
                lastTimestamp: i64,
                coordinatorEpoch: i32,
                /** -1: no transaction of it is open. */
                currentTxnStartOffset: i64,
              }),
            ),
          }),
        ),
      }),
    ),
  },
)
