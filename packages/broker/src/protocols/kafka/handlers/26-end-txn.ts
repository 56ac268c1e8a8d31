import { apis } from '../messages/index.ts'
import { producerOf, producerRefusal, transactionCodeOf } from '../transaction-words.ts'
import { defineHandler } from './handler.ts'

const since = { fenced: 2, abortable: 4 }
/** From this version on, each end gives the producer a new epoch (KIP-890). */
const epochPerTransactionSince = 5

/** EndTxn 0-5: the answer says that the transaction has ended in all its partitions and groups, durably. */
export const handler = defineHandler(apis.endTxn, (exchange, request, version) => {
  const errorCode = producerRefusal(exchange, { transactionalId: request.transactionalId })
  if (errorCode !== undefined) return exchange.reply({ errorCode, producerId: -1, producerEpoch: -1 })
  const producer = producerOf(request, exchange.connection, version >= epochPerTransactionSince)
  exchange.broker.transactions.end({ ...producer, isCommitted: request.committed }, ({ error, producerId, epoch }) => {
    exchange.reply({ errorCode: transactionCodeOf(error, version, since), producerId, producerEpoch: epoch })
  })
})
