import type { RecordView } from '../../core/cursor/record-view.ts'
import type { TopicSubscriber, TopicSubscription } from '../../core/reading/contract.ts'
import type { Topic } from '../../core/topic.ts'
import type { Connection } from './connection.ts'
import { deliveredOf, type Delivered } from './delivered.ts'
import { AmqpException } from './errors.ts'
import { decodeProperties } from './mapping.ts'
import { changed } from './rewriting.ts'
import { demand, resource } from './rights.ts'
import { deadLettersOf, filterHeader, groupOf, readFrom, streamFilter } from './streams.ts'
import { fieldOf, type Field, type Table } from './table.ts'

/** A consumer of a topic, as its channel sees it. */
export interface TopicTaker {
  /** `offset` is what settles it. */
  deliver(delivered: Delivered, offset: number, deliveryCount: number): void
  ended(): void
}

export interface TopicConsumerOptions {
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly prefetchCount: number
  readonly arguments: Table
}

/**
 * Begins to give records of a topic to a consumer: all of them from where its arguments say, or those that no other consumer of its group
 * (argument `x-group`) has, of which those that are given up go to its `x-dead-letter-exchange`. Each of the former tells its offset in the header `x-stream-offset`, and its partition when there are several.
 * Rejects with `AmqpException` or `BrokerError`.
 */
export async function consumeTopic(
  connection: Connection,
  topic: Topic,
  options: TopicConsumerOptions,
  taker: TopicTaker,
): Promise<TopicSubscription> {
  const { broker, context, namespace } = connection
  const { noAck, exclusive, prefetchCount, arguments: given, tag } = options
  const what = resource('queue', topic.name, namespace)
  if (exclusive) throw new AmqpException('notImplemented', `exclusive consumers are not supported by stream ${what}`)
  const group = groupOf(given)
  const isWanted = streamFilter(given)
  const from = readFrom(given, context.clock.nowMs())
  if (group !== undefined && isWanted) {
    throw new AmqpException('preconditionFailed', `x-stream-filter and x-group exclude each other for ${what}`)
  }
  const deadLetters = deadLettersOf(given)
  if (deadLetters && group === undefined) {
    throw new AmqpException('preconditionFailed', `x-dead-letter-exchange needs an x-group to consume ${what}`)
  }
  if (deadLetters) demand(connection, 'write', 'exchange', deadLetters.exchange)
  // Who does not acknowledge can hold nothing: what he is sent is his.
  const prefetch = noAck ? 0 : prefetchCount
  let subscription: TopicSubscription | undefined
  const subscriber: TopicSubscriber = {
    deliver: (record, partition, ticket, deliveryCount) => {
      const places = group === undefined ? placeFields(record, partition, topic) : []
      const delivered = withFields(deliveredOf(connection, record, undefined), places)
      if (isWanted && !isWanted(filterValueOf(delivered))) return void subscription?.ack(ticket)
      taker.deliver(delivered, ticket, deliveryCount)
    },
    ended: () => taker.ended(),
  }
  const { topicConsumers } = broker
  const name = `${connection.user}/${tag}`
  subscription =
    group === undefined
      ? await topicConsumers.read(topic, from, { prefetch }, subscriber)
      : await topicConsumers.share(
          topic,
          { namespace, group },
          { name, prefetch, isSettled: noAck, deadLetters },
          subscriber,
        )
  return subscription
}

/** Where the record lies. */
function placeFields({ offset }: RecordView, partition: number, { partitions }: Topic): Field[] {
  const fields: Field[] = [{ name: 'x-stream-offset', type: 'l', value: BigInt(offset) }]
  if (partitions.length > 1) fields.push({ name: 'x-stream-partition', type: 'I', value: partition })
  return fields
}

function withFields(delivered: Delivered, fields: readonly Field[]): Delivered {
  if (fields.length === 0) return delivered
  const { exchange, key, body } = delivered
  return { exchange, key, body, properties: changed(delivered.properties, { headers: fields }) }
}

function filterValueOf({ properties }: Delivered): string | undefined {
  const field = fieldOf(decodeProperties(properties).headers ?? [], filterHeader)
  return field?.type === 'S' ? String(field.value) : undefined
}
