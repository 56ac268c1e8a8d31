import type { Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import type { TransactionRecord } from '../../../core/transactions/machine.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { stateNames } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Answer = Write<typeof apis.describeTransactions.response>
type StateAnswer = NonNullable<Answer['transactionStates']>[number]

/** DescribeTransactions 0: what is known of transactional ids, with the partitions of the ongoing transaction. */
export const handler = defineHandler(apis.describeTransactions, (exchange, request) => {
  const { broker } = exchange
  const transactionStates = request.transactionalIds.map(id => {
    if (!exchange.may('describe', 'transactional-id', id)) return { ...unauthorized, transactionalId: id }
    const record = broker.transactions.get(homeNamespace, id)
    return record === undefined ? { ...unknown, transactionalId: id } : describe(exchange, record)
  })
  broker.transactions.settled(() => exchange.reply({ transactionStates }), undefined)
})

const unknown = {
  errorCode: codes.transactionalIdNotFound,
  transactionState: '',
  transactionTimeoutMs: 0,
  transactionStartTimeMs: 0,
  producerId: 0,
  producerEpoch: 0,
  topics: [],
}

const unauthorized = { ...unknown, errorCode: codes.transactionalIdAuthorizationFailed }

/** Without topics that the client may not look at. */
function describe(exchange: Exchange<Answer>, record: TransactionRecord): StateAnswer {
  const byTopic = new Map<string, number[]>()
  for (const stream of record.streams) {
    const place = exchange.broker.topics.ofStream(stream)
    if (place === undefined || !exchange.may('describe', 'topic', place.topic.name)) continue
    const { name } = place.topic
    const partitions = byTopic.get(name)
    if (partitions === undefined) byTopic.set(name, [place.partition])
    else partitions.push(place.partition)
  }
  return {
    errorCode: codes.none,
    transactionalId: record.id,
    transactionState: stateNames[record.state],
    transactionTimeoutMs: record.timeoutMs,
    transactionStartTimeMs: record.state === 'ongoing' ? record.startedMs : -1,
    producerId: record.producerId,
    producerEpoch: record.epoch,
    topics: Array.from(byTopic, ([topic, partitions]) => ({ topic, partitions })),
  }
}
