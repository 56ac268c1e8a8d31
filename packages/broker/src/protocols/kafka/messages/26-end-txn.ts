import { bool, i16, i32, i64, message, since, str } from '@dragoman/wire'

export const request = message(
  { name: 'EndTxnRequest', versions: [0, 5], flexible: 3, doc: 'Commits or aborts the transaction of a producer.' },
  { transactionalId: str, producerId: i64, producerEpoch: i16, committed: bool },
)

export const response = message(
  {
    name: 'EndTxnResponse',
    versions: [0, 5],
    flexible: 3,
    doc: 'How it went; from version 5 on with the epoch of the next transaction.',
  },
  { throttleTimeMs: i32, errorCode: i16, producerId: since(5, i64, -1), producerEpoch: since(5, i16, -1) },
)
