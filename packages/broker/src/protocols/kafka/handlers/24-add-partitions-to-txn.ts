import type { Infer, Write } from '@dragoman/wire'
import type { StreamId } from '../../../cell/client.ts'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { producerOf, producerRefusal, transactionCodeOf } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.addPartitionsToTxn.request>
type Answer = Write<typeof apis.addPartitionsToTxn.response>
type Topics = NonNullable<Request['v3AndBelowTopics']>
type Transaction = Request['transactions'][number]
type TopicResult = { name: string; resultsByPartition: { partitionIndex: number; partitionErrorCode: number }[] }

/**
 * AddPartitionsToTxn 0-5: before version 4 for the producer that asks; from it on for several, as brokers among themselves ask, who
 * may also only verify. Either all partitions of a transaction are added or none.
 */
export const handler = defineHandler(apis.addPartitionsToTxn, handle)

const since = { fenced: 2, abortable: 5 }

function handle(exchange: Exchange<Answer>, request: Request, version: number): void {
  if (version < 4) {
    const transaction = {
      transactionalId: request.v3AndBelowTransactionalId,
      producerId: request.v3AndBelowProducerId,
      producerEpoch: request.v3AndBelowProducerEpoch,
      verifyOnly: false,
      topics: request.v3AndBelowTopics,
    }
    const answer = (results: TopicResult[]): void => exchange.reply({ resultsByTopicV3AndBelow: results })
    const denied = refusedTopics(exchange, transaction)
    return denied === undefined ? add(exchange, transaction, answer) : answer(denied)
  }
  const { transactions } = request
  if (!exchange.may('cluster-action', 'cluster', clusterName)) {
    return exchange.reply({ errorCode: codes.clusterAuthorizationFailed, resultsByTransaction: [] })
  }
  const answers = transactions.map(({ transactionalId }): { transactionalId: string; topicResults: TopicResult[] } => ({
    transactionalId,
    topicResults: [],
  }))
  let left = transactions.length
  if (left === 0) return exchange.reply({ errorCode: codes.none, resultsByTransaction: answers })
  for (const [index, transaction] of transactions.entries()) {
    add(exchange, transaction, topicResults => {
      answers[index]!.topicResults = topicResults
      if (--left === 0) exchange.reply({ errorCode: codes.none, resultsByTransaction: answers })
    })
  }
}

/** The answer when the client may not write to all of the topics, or not in the name of the producer; undefined when it may. */
function refusedTopics(
  exchange: Exchange<Answer>,
  { transactionalId, topics }: Transaction,
): TopicResult[] | undefined {
  const code = producerRefusal(exchange, { transactionalId })
  if (code !== undefined) return resultsOf(topics, () => code)
  const mayWrite = (name: string): boolean => exchange.may('write', 'topic', name)
  if (topics.every(({ name }) => mayWrite(name))) return undefined
  const { topicAuthorizationFailed, operationNotAttempted } = codes
  return resultsOf(topics, name => (mayWrite(name) ? operationNotAttempted : topicAuthorizationFailed))
}

function add(exchange: Exchange<Answer>, transaction: Transaction, done: (results: TopicResult[]) => void): void {
  const { broker, connection, version } = exchange
  const { topics, verifyOnly } = transaction
  const request = producerOf(transaction, connection, false)
  const streams = streamsOf(broker, topics)
  if (verifyOnly) {
    const results = resultsOf(topics, (name, index) => {
      const stream = streamOf(broker, name, index)
      if (stream === undefined) return codes.unknownTopicOrPartition
      return transactionCodeOf(broker.transactions.verify(request, stream), version, since)
    })
    return broker.transactions.settled(done, results)
  }
  if (streams === undefined) {
    const isKnown = (name: string, index: number): boolean => streamOf(broker, name, index) !== undefined
    const unknown = codes.unknownTopicOrPartition
    return done(resultsOf(topics, (name, index) => (isKnown(name, index) ? codes.operationNotAttempted : unknown)))
  }
  broker.transactions.join({ ...request, streams, groups: [] }, error => {
    const code = transactionCodeOf(error, version, since)
    done(resultsOf(topics, () => code))
  })
}

/** Undefined when one of them does not exist. */
function streamsOf(broker: Broker, topics: Topics): StreamId[] | undefined {
  const streams = new Set<StreamId>()
  for (const { name, partitions } of topics) {
    for (const index of partitions) {
      const stream = streamOf(broker, name, index)
      if (stream === undefined) return undefined
      streams.add(stream)
    }
  }
  return [...streams]
}

const streamOf = (broker: Broker, name: string, index: number): StreamId | undefined =>
  broker.topics.get(homeNamespace, name)?.partitions[index]

function resultsOf(topics: Topics, codeOf: (name: string, index: number) => number): TopicResult[] {
  return topics.map(({ name, partitions }) => ({
    name,
    resultsByPartition: partitions.map(partitionIndex => ({
      partitionIndex,
      partitionErrorCode: codeOf(name, partitionIndex),
    })),
  }))
}
