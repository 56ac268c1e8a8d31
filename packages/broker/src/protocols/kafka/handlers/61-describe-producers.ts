import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeProducers.request>
type Answer = Write<typeof apis.describeProducers.response>

/** DescribeProducers 0: what each partition remembers of its idempotent and transactional producers. */
export const handler = defineHandler(apis.describeProducers, handle)

function handle(exchange: Exchange<Answer>, request: Request): void {
  const { broker } = exchange
  const topics = request.topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map(index =>
      exchange.may('read', 'topic', name) ? describe(broker, name, index) : { ...unauthorized, partitionIndex: index },
    ),
  }))
  broker.transactions.settled(() => exchange.reply({ topics }), undefined)
}

type PartitionAnswer = NonNullable<NonNullable<Answer['topics']>[number]['partitions']>[number]

const unauthorized = {
  errorCode: codes.topicAuthorizationFailed,
  errorMessage: 'Topic authorization failed.',
  activeProducers: [],
}

function describe(broker: Broker, name: string, partitionIndex: number): PartitionAnswer {
  const stream = broker.topics.get(homeNamespace, name)?.partitions[partitionIndex]
  const producers = stream === undefined ? undefined : broker.cell.producers(stream)
  if (producers === undefined) {
    const errorMessage = 'There is no such partition.'
    return { partitionIndex, errorCode: codes.unknownTopicOrPartition, errorMessage, activeProducers: [] }
  }
  const activeProducers = producers.map(producer => ({
    producerId: producer.producerId,
    producerEpoch: producer.epoch,
    lastSequence: producer.lastSequence,
    lastTimestamp: producer.lastTimeMs,
    coordinatorEpoch: producer.coordinatorEpoch,
    currentTxnStartOffset: producer.transactionOffset ?? -1,
  }))
  return { partitionIndex, errorCode: codes.none, errorMessage: null, activeProducers }
}
