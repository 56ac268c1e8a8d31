import { i16, i32, i64, message, nullableStr, since } from '@dragoman/wire'

export const request = message(
  { name: 'InitProducerIdRequest', versions: [0, 5], flexible: 2, doc: 'Asks for the id of an idempotent producer.' },
  {
    transactionalId: nullableStr,
    transactionTimeoutMs: i32,
    producerId: since(3, i64, -1),
    producerEpoch: since(3, i16, -1),
  },
)

export const response = message(
  { name: 'InitProducerIdResponse', versions: [0, 5], flexible: 2, doc: 'The id and epoch to produce with.' },
  { throttleTimeMs: i32, errorCode: i16, producerId: i64, producerEpoch: i16 },
)
