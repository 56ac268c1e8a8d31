import { apis } from '../messages/index.ts'
import { producerOf, producerRefusal, transactionCodeOf } from '../transaction-words.ts'
import { defineHandler } from './handler.ts'

const since = { fenced: 2, abortable: 4 }

/** AddOffsetsToTxn 0-4: the offsets of a group take part in the transaction of a producer of the older protocol. */
export const handler = defineHandler(apis.addOffsetsToTxn, (exchange, request, version) => {
  const errorCode = producerRefusal(exchange, request)
  if (errorCode !== undefined) return exchange.reply({ errorCode })
  const join = { ...producerOf(request, exchange.connection, false), streams: [], groups: [request.groupId] }
  exchange.broker.transactions.join(join, error => {
    exchange.reply({ errorCode: transactionCodeOf(error, version, since) })
  })
})
