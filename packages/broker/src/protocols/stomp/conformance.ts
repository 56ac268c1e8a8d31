import { StompDriver, type Received } from './driver.ts'
import type { Conformance, ConformanceClient, Property, SharedMessage } from '../conformance.ts'

/** Properties, and the headers that they are. [ADR 0002] */
const names: Readonly<Record<Exclude<Property, 'headers'>, string>> = {
  key: 'key',
  contentType: 'content-type',
  contentEncoding: 'content-encoding',
  correlationId: 'correlation-id',
  replyTo: 'reply-to',
  messageId: 'original-message-id',
  groupId: 'JMSXGroupID',
}
const properties = Object.entries(names) as [keyof typeof names, string][]

const prefetch = '100'
const queuePrefix = '/queue/'

export const conformance: Conformance = {
  places: ['queue', 'topic'],
  reaches: ['tube'],
  settles: ['queue'],
  carries: ['headers', ...properties.map(([property]) => property)],
  names: place =>
    place === 'topic' ? ['a', 'with.every_sign-'] : ['a', 'with every sign: /?*#"', 'ключ-钥匙-🔑', 'n'.repeat(255)],
  bodyBytesMax: place => (place === 'topic' ? 1024 * 1024 - 1024 : 16 * 1024 * 1024),
  async connect(network, address): Promise<ConformanceClient> {
    const driver = await StompDriver.connect(network, address)
    const others: StompDriver[] = []
    let count = 0
    const subscribe = async (destination: string, more: Record<string, string>): Promise<string> => {
      const id = String(++count)
      await driver.ask('SUBSCRIBE', { id, destination, ack: 'client-individual', 'prefetch-count': prefetch, ...more })
      return id
    }
    return {
      async declare(place, name) {
        // Who subscribes makes the place.
        const type = place === 'topic' ? 'stream' : 'classic'
        const id = await subscribe(`${queuePrefix}${name}`, { 'x-queue-type': type })
        await driver.ask('UNSUBSCRIBE', { id })
      },
      publish: (_place, name, message) => driver.ask('SEND', headersOf(name, message), message.body),
      async consume(place, name) {
        const own = await StompDriver.connect(network, address)
        const from: Record<string, string> = place === 'topic' ? { 'x-stream-offset': 'first' } : {}
        const given = { id: 'c', destination: `${queuePrefix}${name}`, ack: 'client-individual' }
        await own.ask('SUBSCRIBE', { ...given, 'prefetch-count': prefetch, ...from })
        others.push(own)
        return {
          async next() {
            const received = await own.message('c')
            const settle = (): Promise<void> => own.ask('ACK', { id: received.headers['ack'] ?? '' })
            const redelivered = received.headers['redelivered'] === 'true'
            return { message: messageOf(received), redelivered, settle }
          },
        }
      },
      cut: () => {
        for (const each of others) each.close()
        driver.close()
      },
    }
  },
}

function headersOf(name: string, message: SharedMessage): Record<string, string> {
  const found: Record<string, string> = { destination: `${queuePrefix}${name}`, persistent: 'true', ...message.headers }
  for (const [property, header] of properties) {
    const value = message[property]
    if (value !== undefined) found[header] = property === 'replyTo' ? `${queuePrefix}${value}` : value
  }
  return found
}

/** What every delivery has, and what is told of a record of a topic. */
const ownHeader =
  /^(subscription|message-id|ack|destination|content-length|redelivered|persistent|timestamp|x-stream-.*)$/

function messageOf({ headers, body }: Received): SharedMessage {
  const message: SharedMessage = { body }
  const rest: Record<string, string> = {}
  for (const [header, value] of Object.entries(headers)) {
    const property = properties.find(([, name]) => name === header)?.[0]
    if (property) message[property] = property === 'replyTo' ? value.slice(queuePrefix.length) : value
    else if (!ownHeader.test(header)) rest[header] = value
  }
  if (Object.keys(rest).length > 0) message.headers = rest
  return message
}
