import { array, i16, i32, message, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'OffsetDeleteRequest', versions: [0, 0], flexible: undefined, doc: 'Removes committed offsets of a group.' },
  { groupId: str, topics: array(struct({ name: str, partitions: array(struct({ partitionIndex: i32 })) })) },
)

export const response = message(
  {
    name: 'OffsetDeleteResponse',
    versions: [0, 0],
    flexible: undefined,
    doc: 'Says for each partition whether its offset was removed.',
  },
  {
    errorCode: i16,
    throttleTimeMs: i32,
    topics: array(struct({ name: str, partitions: array(struct({ partitionIndex: i32, errorCode: i16 })) })),
  },
)
