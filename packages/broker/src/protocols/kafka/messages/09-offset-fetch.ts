import {
  array,
  between,
  bool,
  i16,
  i32,
  i64,
  message,
  nullableArray,
  nullableStr,
  since,
  str,
  struct,
  until,
  uuid,
} from '@dragoman/wire'

export const request = message(
  {
    name: 'OffsetFetchRequest',
    versions: [1, 10],
    flexible: 6,
    doc: 'Asks for committed offsets: of one group before version 8, of several from it on.',
  },
  {
    groupId: until(7, str),
    /** Null (from version 2) asks for all topics. */
    topics: until(7, nullableArray(struct({ name: str, partitionIndexes: array(i32) }))),
    groups: since(
      8,
      array(
        struct({
          groupId: str,
          memberId: since(9, nullableStr),
          memberEpoch: since(9, i32, -1),
          /** Null asks for all topics. */
          topics: nullableArray(
            struct({ name: until(9, str), topicId: since(10, uuid), partitionIndexes: array(i32) }),
          ),
        }),
      ),
    ),
    requireStable: since(7, bool),
  },
)

export const response = message(
  { name: 'OffsetFetchResponse', versions: [1, 10], flexible: 6, doc: 'Committed offsets; -1 where there is none.' },
  {
    throttleTimeMs: since(3, i32),
    topics: until(
      7,
      array(
        struct({
          name: str,
          partitions: array(
            struct({
              partitionIndex: i32,
              committedOffset: i64,
              committedLeaderEpoch: since(5, i32, -1),
              metadata: nullableStr,
              errorCode: i16,
            }),
          ),
        }),
      ),
    ),
    errorCode: between(2, 7, i16),
    groups: since(
      8,
      array(
        struct({
          groupId: str,
          topics: array(
            struct({
              name: until(9, str),
              topicId: since(10, uuid),
              partitions: array(
                struct({
                  partitionIndex: i32,
                  committedOffset: i64,
                  committedLeaderEpoch: i32,
                  metadata: nullableStr,
                  errorCode: i16,
                }),
              ),
            }),
          ),
          errorCode: i16,
        }),
      ),
    ),
  },
)
