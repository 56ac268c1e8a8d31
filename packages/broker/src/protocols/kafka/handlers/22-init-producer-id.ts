import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler } from './handler.ts'

/**
 * InitProducerId 0-5 for idempotent producers: each request gets a new id, with epoch 0, as Kafka does for a producer without
 * a transactional id. With one, it is refused: transactions are not available.
 */
export const handler = defineHandler(apis.initProducerId, async ({ broker }, { transactionalId }) => {
  if (transactionalId !== null) return { errorCode: codes.invalidRequest, producerId: -1, producerEpoch: -1 }
  try {
    return { errorCode: codes.none, producerId: await broker.topics.nextProducerId(), producerEpoch: 0 }
  } catch (error) {
    return { errorCode: errorCodeOf(error), producerId: -1, producerEpoch: -1 }
  }
})
