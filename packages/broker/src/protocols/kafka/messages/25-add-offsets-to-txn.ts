import { i16, i32, i64, message, str } from '@dragoman/wire'

export const request = message(
  {
    name: 'AddOffsetsToTxnRequest',
    versions: [0, 4],
    flexible: 3,
    doc: 'Lets the offsets of a group take part in the transaction of a producer.',
  },
  { transactionalId: str, producerId: i64, producerEpoch: i16, groupId: str },
)

export const response = message(
  { name: 'AddOffsetsToTxnResponse', versions: [0, 4], flexible: 3, doc: 'How it went.' },
  { throttleTimeMs: i32, errorCode: i16 },
)
