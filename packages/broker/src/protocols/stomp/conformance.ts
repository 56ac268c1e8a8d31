import { StompDriver, type Received } from './driver.ts'
import type { Conformance, ConformanceClient, Place, Property, SharedMessage } from '../conformance.ts'

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
const subjectPrefix = '/topic/'

export const conformance: Conformance = {
  places: ['queue', 'topic', 'subject'],
  reaches: ['tube'],
  settles: ['queue', 'subject'],
  carries: ['headers', ...properties.map(([property]) => property)],
  names: place =>
    place === 'topic' ? ['a', 'with.every_sign-'] : ['a', 'with every sign: /?*#"', 'ключ-钥匙-🔑', 'n'.repeat(255)],
  bodyBytesMax: place => (place === 'topic' ? 1024 * 1024 - 1024 : 16 * 1024 * 1024),
  async connect(network, address): Promise<ConformanceClient> {
    const driver = await StompDriver.connect(network, address)
    const others: StompDriver[] = []
    const subscribe = (own: StompDriver, place: Place, name: string, more: Record<string, string>): Promise<void> => {
      const lasting = { durable: 'true', 'x-queue-name': `subject ${name}`.slice(0, 200) }
      return own.ask('SUBSCRIBE', {
        ...{ id: 'c', destination: destinationOf(place, name), ack: 'client-individual', 'prefetch-count': prefetch },
        ...(place === 'subject' ? lasting : {}),
        ...more,
      })
    }
    return {
      async declare(place, name) {
        // Who subscribes makes the place, and, when it lasts, the subscription.
        await subscribe(driver, place, name, place === 'topic' ? { 'x-queue-type': 'stream' } : {})
        await driver.ask('UNSUBSCRIBE', { id: 'c' })
      },
      publish: (place, name, message) => driver.ask('SEND', headersOf(place, name, message), message.body),
      async consume(place, name) {
        const own = await StompDriver.connect(network, address)
        await subscribe(own, place, name, place === 'topic' ? { 'x-stream-offset': 'first' } : {})
        others.push(own)
        return {
          async next() {
            const received = await own.message('c')
            const settle = (): Promise<void> => own.ask('ACK', { id: received.headers['ack'] ?? '' })
            const redelivered = received.headers['redelivered'] === 'true'
            return { message: messageOf(received, place), redelivered, settle }
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

const destinationOf = (place: Place, name: string): string =>
  `${place === 'subject' ? subjectPrefix : queuePrefix}${name.replaceAll('%', '%25')}`

function headersOf(place: Place, name: string, message: SharedMessage): Record<string, string> {
  const destination = destinationOf(place, name)
  const found: Record<string, string> = { destination, persistent: 'true', ...message.headers }
  for (const [property, header] of properties) {
    // The subject is the key.
    const value = place === 'subject' && property === 'key' ? undefined : message[property]
    if (value !== undefined) found[header] = property === 'replyTo' ? `${queuePrefix}${value}` : value
  }
  return found
}

/** What every delivery has, and what is told of a record of a topic. */
const ownHeader =
  /^(subscription|message-id|ack|destination|content-length|redelivered|persistent|timestamp|x-stream-.*)$/

/** What was published about a subject tells of it by its destination, wherever it lay. */
function messageOf({ headers, body }: Received, place: Place): SharedMessage {
  const message: SharedMessage = { body }
  const rest: Record<string, string> = {}
  for (const [header, value] of Object.entries(headers)) {
    const property = properties.find(([, name]) => name === header)?.[0]
    if (property) message[property] = property === 'replyTo' ? value.slice(queuePrefix.length) : value
    else if (!ownHeader.test(header)) rest[header] = value
  }
  if (Object.keys(rest).length > 0) message.headers = rest
  const { destination = '' } = headers
  if (place !== 'subject' && destination.startsWith(subjectPrefix))
    message.key = destination.slice(subjectPrefix.length)
  return message
}
