import type { DriverChannel, Received } from '@dragoman/broker/amqp-client'
import { choice, text } from '@dragoman/broker/options'
import { option, optional } from './command.ts'
import { Interruption } from './interruption.ts'
import { asText, textOrBase64 } from './json-records.ts'
import { withChannel, type QueueTarget } from './queue-connection.ts'
import { formatRecord, type FormatOptions } from './record-formats.ts'

const section = 'For queues and exchanges'
const prefetch = 200

const ackModes = choice('ack', 'none', 'requeue', 'reject')

export const queueConsumeOptions = {
  queue: { ...optional(text('QUEUE', 'a name'), 'Take messages from this queue instead of a topic.'), section },
  ack: {
    ...option(
      ackModes,
      'ack',
      'ack: acknowledge what was printed; none: what is sent is gone; requeue: give it back at the end; reject: dead-letter it.',
    ),
    section,
  },
}

export interface QueueConsumption extends QueueTarget, FormatOptions {
  readonly queue: string
  readonly ack: 'ack' | 'none' | 'requeue' | 'reject'
  readonly follow: boolean
  readonly max: number
}

/** Takes messages from a queue and prints them: all that wait now, or with `follow` also what comes. */
export async function consumeQueue(options: QueueConsumption, print: (bytes: Buffer) => Promise<void>): Promise<void> {
  const interruption = new Interruption()
  await withChannel(options, async channel => {
    const next = await source(channel, options)
    let last = 0
    for (let count = 0; count < options.max && !interruption.isThere; count++) {
      const message = await Promise.race([next(), interruption.comes])
      if (!message) break
      await print(show(message, options))
      last = message.deliveryTag
      if (options.ack === 'ack') channel.ack(last)
      else if (options.ack === 'reject') channel.reject(last, false)
    }
    if (options.ack === 'requeue' && last > 0) channel.nack(last, { multiple: true })
    // The broker has taken what was settled.
    if (options.ack !== 'none') await channel.settled()
  })
}

/** Gives the next message; undefined when there is none. */
async function source(
  channel: DriverChannel,
  { queue, follow, ack }: QueueConsumption,
): Promise<() => Promise<Received | undefined>> {
  const noAck = ack === 'none'
  if (!follow) return () => channel.get(queue, { noAck })
  await channel.qos(ack === 'requeue' ? 0 : prefetch)
  const consumer = await channel.consume(queue, { noAck })
  return () => consumer.next()
}

function show(message: Received, { format, keySeparator, queue }: QueueConsumption): Buffer {
  const { body, routingKey, exchange, redelivered, properties, deliveryTag } = message
  if (format !== 'json') {
    const record = { offset: deliveryTag, timestampMs: 0, key: Buffer.from(routingKey), value: body, headers: [] }
    return formatRecord(queue, 0, record, { format, keySeparator })
  }
  const { headers = [], ...others } = properties
  const text = asText(body)
  const shown = {
    queue,
    exchange,
    key: routingKey,
    ...(redelivered ? { redelivered } : {}),
    ...(text === undefined ? { valueBase64: body.toString('base64') } : { value: text }),
    headers: Object.fromEntries(headers.map(({ name, value }) => [name, plain(value)])),
    properties: others,
  }
  return Buffer.from(`${JSON.stringify(shown)}\n`)
}

/** A value of a table as JSON shows it. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Buffer.isBuffer(value)) return textOrBase64(value)
  if (!Array.isArray(value)) return value
  const items = value as { name?: string; value: unknown }[]
  if (items.some(({ name }) => name !== undefined))
    return Object.fromEntries(items.map(({ name = '', value: of }) => [name, plain(of)]))
  return items.map(({ value: of }) => plain(of))
}
