import {
  array,
  between,
  bool,
  i16,
  i32,
  message,
  nullableArray,
  nullableStr,
  since,
  str,
  struct,
  uuid,
} from '@dragoman/wire'

export const request = message(
  {
    name: 'MetadataRequest',
    versions: [0, 13],
    flexible: 9,
    doc: 'Asks for topics, their partitions and the brokers.',
  },
  {
    /** Null asks for all topics; in version 0 an empty list does. */
    topics: nullableArray(struct({ topicId: since(10, uuid), name: nullableStr })),
    allowAutoTopicCreation: since(4, bool, true),
    includeClusterAuthorizedOperations: between(8, 10, bool),
    includeTopicAuthorizedOperations: since(8, bool),
  },
)

/** Bit field of operations that were not asked for. */
const notAsked = -0x8000_0000

export const response = message(
  {
    name: 'MetadataResponse',
    versions: [0, 13],
    flexible: 9,
    doc: 'Topics, their partitions with leaders, and the brokers.',
  },
  {
    throttleTimeMs: since(3, i32),
    brokers: array(struct({ nodeId: i32, host: str, port: i32, rack: since(1, nullableStr) })),
    clusterId: since(2, nullableStr),
    controllerId: since(1, i32, -1),
    topics: array(
      struct({
        errorCode: i16,
        /** Null (from version 12) when an id was asked for that no topic has. */
        name: nullableStr,
        topicId: since(10, uuid),
        isInternal: since(1, bool),
        partitions: array(
          struct({
            errorCode: i16,
            partitionIndex: i32,
            leaderId: i32,
            leaderEpoch: since(7, i32, -1),
            replicaNodes: array(i32),
            isrNodes: array(i32),
            offlineReplicas: since(5, array(i32)),
          }),
        ),
        topicAuthorizedOperations: since(8, i32, notAsked),
      }),
    ),
    clusterAuthorizedOperations: between(8, 10, i32, notAsked),
    errorCode: since(13, i16),
  },
)
