import { array, i16, i32, message, nullableStr, str, struct, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'DeleteShareGroupOffsetsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Makes a share group without members forget topics.',
  },
  { groupId: str, topics: array(struct({ topicName: str })) },
)

export const response = message(
  { name: 'DeleteShareGroupOffsetsResponse', versions: [0, 0], flexible: 0, doc: 'How each topic took it.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    responses: array(struct({ topicName: str, topicId: uuid, errorCode: i16, errorMessage: nullableStr })),
  },
)
