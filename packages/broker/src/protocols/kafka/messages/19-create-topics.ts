import {
  array,
  bool,
  i16,
  i32,
  i8,
  message,
  nullableArray,
  nullableStr,
  since,
  str,
  struct,
  tagged,
  uuid,
} from '@dragoman/wire'

export const request = message(
  { name: 'CreateTopicsRequest', versions: [2, 7], flexible: 5, doc: 'Makes topics.' },
  {
    topics: array(
      struct({
        name: str,
        /** -1: as assigned below, or the default of the broker. */
        numPartitions: i32,
        replicationFactor: i16,
        assignments: array(struct({ partitionIndex: i32, brokerIds: array(i32) })),
        configs: array(struct({ name: str, value: nullableStr })),
      }),
    ),
    timeoutMs: i32,
    validateOnly: bool,
  },
)

export const response = message(
  {
    name: 'CreateTopicsResponse',
    versions: [2, 7],
    flexible: 5,
    doc: 'Says for each topic what was made, or why not.',
  },
  {
    throttleTimeMs: i32,
    topics: array(
      struct({
        name: str,
        topicId: since(7, uuid),
        errorCode: i16,
        errorMessage: nullableStr,
        topicConfigErrorCode: tagged(0, i16, 0, 5),
        numPartitions: since(5, i32, -1),
        replicationFactor: since(5, i16, -1),
        configs: since(
          5,
          nullableArray(struct({ name: str, value: nullableStr, readOnly: bool, configSource: i8, isSensitive: bool })),
        ),
      }),
    ),
  },
)
