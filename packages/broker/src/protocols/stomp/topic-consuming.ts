import type { RecordView } from '../../core/cursor/record-view.ts'
import type { TopicSubscriber, TopicSubscription } from '../../core/reading/contract.ts'
import type { ReadFrom } from '../../core/reading/log-reader.ts'
import type { Topic } from '../../core/topic.ts'
import type { Connection } from './connection.ts'
import { StompError } from './errors.ts'
import { shown, type Headers } from './headers.ts'
import { demand } from './rights.ts'

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const unitMs: Readonly<Record<string, number>> = {
  Y: 365 * dayMs,
  M: 30 * dayMs,
  D: dayMs,
  h: 60 * minuteMs,
  m: minuteMs,
  s: 1000,
}

export interface TopicOptions {
  readonly headers: Headers
  readonly isWanted: ((record: RecordView) => boolean) | undefined
  readonly prefetch: number
  /** Delivered is acknowledged. */
  readonly isSettled: boolean
}

export interface TopicTaker {
  /** `more` are lines of headers that tell where the record lies; `ticket` is what settles it. */
  deliver(record: RecordView, more: string, ticket: number, deliveryCount: number): void
  ended(): void
}

/**
 * Begins to give records of a topic to a subscription: all of them from where `x-stream-offset` says, or those that no other member of its group
 * (`x-group`) has, of which those that are given up go to its `x-dead-letter-exchange`. Rejects with `StompError` or `BrokerError`.
 */
export async function consumeTopic(
  connection: Connection,
  topic: Topic,
  { headers, isWanted, prefetch, isSettled }: TopicOptions,
  taker: TopicTaker,
): Promise<TopicSubscription> {
  const { broker, context, namespace, user, sessionId } = connection
  const group = headers.get('x-group')
  const from = readFrom(headers.get('x-stream-offset'), context.clock.nowMs())
  const exchange = headers.get('x-dead-letter-exchange')
  if (group !== undefined && isWanted) {
    throw new StompError('not_supported', 'What the members of a group share takes no selector')
  }
  if (exchange !== undefined && group === undefined) {
    throw new StompError('invalid_header', 'x-dead-letter-exchange needs x-group where a topic is consumed')
  }
  if (exchange !== undefined) demand(connection, 'write', 'exchange', exchange)
  let subscription: TopicSubscription | undefined
  const subscriber: TopicSubscriber = {
    deliver: (record, partition, ticket, count) => {
      if (isWanted?.(record) === false) return void subscription?.ack(ticket)
      taker.deliver(record, group === undefined ? placeLines(record, partition, topic) : '', ticket, count)
    },
    ended: () => taker.ended(),
  }
  const { topicConsumers } = broker
  if (group === undefined) subscription = await topicConsumers.read(topic, from, { prefetch }, subscriber)
  else {
    const deadLetters = exchange === undefined ? undefined : { exchange, key: headers.get('x-dead-letter-routing-key') }
    const options = { name: `${user}/${sessionId}`, prefetch, isSettled, deadLetters }
    subscription = await topicConsumers.share(topic, { namespace, group }, options, subscriber)
  }
  return subscription
}

/** Where the record lies. */
function placeLines({ offset }: RecordView, partition: number, { partitions }: Topic): string {
  const place = `x-stream-offset:${offset}\n`
  return partitions.length > 1 ? `${place}x-stream-partition:${partition}\n` : place
}

/** `first`, `last`, `next` (also when nothing is said), an offset, `timestamp=` seconds, or an interval before now. */
function readFrom(text: string | undefined, nowMs: number): ReadFrom {
  if (text === undefined) return 'next'
  if (text === 'first' || text === 'last' || text === 'next') return text
  const [, offset] = /^(?:offset=)?(\d{1,15})$/.exec(text) ?? []
  if (offset !== undefined) return { offset: Number(offset) }
  const [, seconds] = /^timestamp=(\d{1,11})$/.exec(text) ?? []
  if (seconds !== undefined) return { timeMs: Number(seconds) * 1000 }
  const [, count, unit = ''] = /^(\d{1,9})([YMDhms])$/.exec(text) ?? []
  const ms = unitMs[unit]
  if (count !== undefined && ms !== undefined) return { timeMs: Math.max(0, nowMs - Number(count) * ms) }
  throw new StompError('invalid_header', `x-stream-offset does not take ${shown(text)}`)
}
