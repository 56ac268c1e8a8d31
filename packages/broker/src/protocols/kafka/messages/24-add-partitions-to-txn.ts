import { array, bool, i16, i32, i64, message, since, str, struct, until } from '@dragoman/wire'

const topic = struct({ name: str, partitions: array(i32) })

export const request = message(
  {
    name: 'AddPartitionsToTxnRequest',
    versions: [0, 5],
    flexible: 3,
    doc: 'Lets partitions take part in the transaction of a producer; of several producers from version 4 on.',
  },
  {
    transactions: since(
      4,
      array(
        struct({
          transactionalId: str,
          producerId: i64,
          producerEpoch: i16,
          /** Asks whether the partitions take part, and changes nothing. */
          verifyOnly: bool,
          topics: array(topic),
        }),
      ),
    ),
    v3AndBelowTransactionalId: until(3, str),
    v3AndBelowProducerId: until(3, i64),
    v3AndBelowProducerEpoch: until(3, i16),
    v3AndBelowTopics: until(3, array(topic)),
  },
)

const topicResult = struct({
  name: str,
  resultsByPartition: array(struct({ partitionIndex: i32, partitionErrorCode: i16 })),
})

export const response = message(
  {
    name: 'AddPartitionsToTxnResponse',
    versions: [0, 5],
    flexible: 3,
    doc: 'How it went, for each partition.',
  },
  {
    throttleTimeMs: i32,
    errorCode: since(4, i16),
    resultsByTransaction: since(4, array(struct({ transactionalId: str, topicResults: array(topicResult) }))),
    resultsByTopicV3AndBelow: until(3, array(topicResult)),
  },
)
