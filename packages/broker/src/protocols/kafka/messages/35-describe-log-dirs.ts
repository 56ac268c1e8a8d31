import { array, bool, i16, i32, i64, message, nullableArray, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeLogDirsRequest',
    versions: [1, 4],
    flexible: 2,
    doc: 'Asks how many bytes partitions take, and what room there is.',
  },
  {
    /** Null asks for all topics. */
    topics: nullableArray(struct({ topic: str, partitions: array(i32) })),
  },
)

export const response = message(
  { name: 'DescribeLogDirsResponse', versions: [1, 4], flexible: 2, doc: 'Bytes of each partition, by directory.' },
  {
    throttleTimeMs: i32,
    errorCode: since(3, i16),
    results: array(
      struct({
        errorCode: i16,
        logDir: str,
        topics: array(
          struct({
            name: str,
            partitions: array(
              struct({
                partitionIndex: i32,
                partitionSize: i64,
                /** Records written and not yet visible. */
                offsetLag: i64,
                isFutureKey: bool,
              }),
            ),
          }),
        ),
        totalBytes: since(4, i64, -1),
        usableBytes: since(4, i64, -1),
      }),
    ),
  },
)
