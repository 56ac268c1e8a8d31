import { AmqpDriver, type DriverChannel, type Received } from './driver.ts'
import type { Properties } from './messages/basic.ts'
import type { Field, Table } from './table.ts'
import type { Conformance, ConformanceClient, Place, SharedMessage } from '../conformance.ts'

/** Properties of the same meaning; the group is a header here. [ADR 0002] */
const names = ['contentType', 'contentEncoding', 'correlationId', 'replyTo', 'messageId'] as const
const groupHeader = 'group-id'

const prefetch = 100
const subjectExchange = 'amq.topic'

export const conformance: Conformance = {
  places: ['queue', 'topic', 'subject'],
  reaches: ['tube'],
  settles: ['queue', 'subject'],
  carries: ['key', 'headers', 'groupId', ...names],
  names: place =>
    place === 'topic'
      ? ['a', 'with.every_sign-']
      : ['a', `with every sign: /?${place === 'queue' ? '*#' : ''}"`, 'ключ-钥匙-🔑', 'n'.repeat(200)],
  bodyBytesMax: place => (place === 'topic' ? 1024 * 1024 - 1024 : 16 * 1024 * 1024),
  async connect(network, address): Promise<ConformanceClient> {
    const driver = await AmqpDriver.connect(network, address)
    const channel = await driver.channel()
    await channel.confirm()
    return {
      declare: (place, name) => declare(channel, place, name),
      async publish(place, name, message) {
        // The default exchange takes the name of the queue as the key: another key needs an exchange.
        const { exchange, key } =
          place === 'subject'
            ? { exchange: subjectExchange, key: name }
            : message.key === undefined
              ? { exchange: '', key: name }
              : { exchange: 'all', key: message.key }
        if (exchange === 'all') {
          await channel.declareExchange(exchange, 'fanout')
          await channel.bind(name, exchange)
        }
        const isTaken = await channel.publish(exchange, key, message.body, propertiesOf(message))
        if (!isTaken) throw new Error(`The message to the ${place} ${name} was refused`)
      },
      async consume(place, name) {
        const own = await driver.channel()
        await own.qos(prefetch)
        const from: Table = [{ name: 'x-stream-offset', type: 'S', value: 'first' }]
        const consumer = await own.consume(name, place === 'topic' ? { arguments: from } : {})
        return {
          async next() {
            const received = await consumer.next()
            const settle = async (): Promise<void> => {
              own.ack(received.deliveryTag)
              await own.settled()
            }
            return { message: messageOf(received, name), redelivered: received.redelivered, settle }
          },
        }
      },
      cut: () => driver.destroy(),
    }
  },
}

async function declare(channel: DriverChannel, place: Place, name: string): Promise<void> {
  const type = place === 'topic' ? 'stream' : 'classic'
  await channel.declare(name, { arguments: [{ name: 'x-queue-type', type: 'S', value: type }] })
  if (place === 'subject') await channel.bind(name, subjectExchange, name)
}

function propertiesOf(message: SharedMessage): Properties {
  const texts = Object.entries(message.headers ?? {})
  if (message.groupId !== undefined) texts.push([groupHeader, message.groupId])
  const headers = texts.map(([name, value]): Field => ({ name, type: 'S', value }))
  const given = names.flatMap(name => (message[name] === undefined ? [] : [[name, message[name]]]))
  return { deliveryMode: 2, ...(headers.length > 0 ? { headers } : {}), ...(Object.fromEntries(given) as Properties) }
}

function messageOf({ properties, routingKey, body }: Received, name: string): SharedMessage {
  const message: SharedMessage = { body }
  // What was published to the queue itself has its name as the key.
  if (routingKey !== name && routingKey !== '') message.key = routingKey
  for (const property of names) {
    const value = properties[property]
    if (value !== undefined) message[property] = value
  }
  const others: Record<string, string> = {}
  for (const { name: header, value } of properties.headers ?? []) {
    if (header === groupHeader) message.groupId = String(value)
    else if (!ownHeader.test(header)) others[header] = String(value)
  }
  if (Object.keys(others).length > 0) message.headers = others
  return message
}

/** What the broker adds: where a record of a topic lies, and times. */
const ownHeader = /^(x-stream-|timestamp_in_ms$)/
