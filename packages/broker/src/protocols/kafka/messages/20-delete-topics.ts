import { array, i16, i32, message, nullableStr, since, str, struct, until, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'DeleteTopicsRequest',
    versions: [1, 6],
    flexible: 4,
    doc: 'Removes topics, by name or (from version 6) by id.',
  },
  {
    topics: since(6, array(struct({ name: nullableStr, topicId: uuid }))),
    topicNames: until(5, array(str)),
    timeoutMs: i32,
  },
)

export const response = message(
  { name: 'DeleteTopicsResponse', versions: [1, 6], flexible: 4, doc: 'Says for each topic whether it was removed.' },
  {
    throttleTimeMs: i32,
    responses: array(
      struct({
        /** May be null from version 6 on. */
        name: nullableStr,
        topicId: since(6, uuid),
        errorCode: i16,
        errorMessage: since(5, nullableStr),
      }),
    ),
  },
)
