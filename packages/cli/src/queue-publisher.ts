import type { DriverChannel } from '@dragoman/broker/amqp-client'
import { count, duration, text } from '@dragoman/broker/options'
import { CommandError, optional, UsageError } from './command.ts'
import { exchangePath, Management, type ManagementTarget } from './management.ts'
import { afterPublishing, Progress } from './progress.ts'
import { withChannel, type QueueTarget } from './queue-connection.ts'
import { anyText } from './settings.ts'

const section = 'For queues and exchanges'
const msMax = 2 ** 53 - 1
const unconfirmedMax = 1000

export const queuePublishOptions = {
  queue: { ...optional(text('QUEUE', 'a name'), 'Publish to this queue instead of a topic.'), section },
  exchange: { ...optional(anyText('EXCHANGE', 'a name'), 'Publish to this exchange.'), section },
  routingKey: { ...optional(anyText('KEY', 'a routing key'), 'The routing key at the exchange.'), section },
  delay: { ...optional(duration(0, msMax), 'The message is routed after this time.'), section },
  priority: { ...optional(count(0, 255, 'NUMBER'), 'Priority, for queues that have them.'), section },
  ttl: { ...optional(duration(0, msMax), 'Dropped when nobody has taken it in this time.'), section },
  contentType: { ...optional(text('TYPE', 'a type like text/plain'), 'What the body is.'), section },
}

export interface QueuePublication extends QueueTarget {
  readonly queue: string | undefined
  readonly exchange: string | undefined
  readonly routingKey: string | undefined
  readonly delay: number | undefined
  readonly priority: number | undefined
  readonly ttl: number | undefined
  readonly contentType: string | undefined
  readonly header: readonly (readonly [string, string])[]
  readonly quiet: boolean
}

/** Where the messages go, as exchange and key. */
function destinationOf({ queue, exchange, routingKey }: QueuePublication): { exchange: string; key: string } {
  if (queue === undefined) return { exchange: exchange ?? '', key: routingKey ?? '' }
  if (exchange !== undefined || routingKey !== undefined) throw new UsageError('Give either --queue or --exchange')
  return { exchange: '', key: queue }
}

/** Publishes each line as a message; all of them are on the disk, or wait for their time, when it resolves. */
export async function publishToQueues(options: QueuePublication, lines: AsyncIterable<Buffer[]>): Promise<void> {
  const progress = new Progress()
  const sum = { messages: 0, bytes: 0 }
  const told = (line: Buffer): void => {
    sum.messages++
    sum.bytes += line.length
    progress.update(sum.messages, sum.bytes)
  }
  try {
    if (options.delay === undefined) await withChannel(options, channel => publishNow(channel, options, lines, told))
    else await publishLater(options, options.delay, lines, told)
  } catch (error) {
    throw afterPublishing(error, sum.messages)
  }
  if (!options.quiet) progress.finish(sum.messages, sum.bytes, 'Published')
}

async function publishNow(
  channel: DriverChannel,
  options: QueuePublication,
  lines: AsyncIterable<Buffer[]>,
  told: (line: Buffer) => void,
): Promise<void> {
  const { exchange, key } = destinationOf(options)
  const { priority, ttl, contentType, header } = options
  const properties = {
    deliveryMode: 2,
    ...(priority === undefined ? {} : { priority }),
    ...(ttl === undefined ? {} : { expiration: String(ttl) }),
    ...(contentType === undefined ? {} : { contentType }),
    headers: header.map(([name, value]) => ({ name, type: 'S' as const, value })),
  }
  await channel.confirm()
  const open = new Set<Promise<void>>()
  // The first thing that goes wrong, which may be while the next lines are waited for.
  const failures: unknown[] = []
  const check = (): void => {
    if (failures.length > 0) throw failures[0]
  }
  for await (const some of lines) {
    for (const line of some) {
      const confirmed = channel.publish(exchange, key, line, properties, { mandatory: true }).then(isTaken => {
        if (!isTaken) throw new CommandError('The broker refuses a message: a queue is full, or the disk')
        if (channel.returned.length > 0) throw new CommandError(nowhere(exchange, key))
        told(line)
      })
      const done = confirmed.catch((error: unknown) => void failures.push(error)).finally(() => open.delete(done))
      open.add(done)
      if (open.size >= unconfirmedMax) await Promise.race(open)
      check()
    }
  }
  await Promise.all(open)
  check()
}

function nowhere(exchange: string, key: string): string {
  if (exchange === '') return `There is no queue "${key}": nothing takes the message`
  return `Nothing takes messages of the exchange "${exchange}" with the key "${key}": see dragoman binding list`
}

/** By the management API: the protocol has a word for delays only at exchanges that are made for them. */
async function publishLater(
  options: QueuePublication,
  delayMs: number,
  lines: AsyncIterable<Buffer[]>,
  told: (line: Buffer) => void,
): Promise<void> {
  const { exchange, key } = destinationOf(options)
  const { priority, ttl, contentType, header, namespace = '/' } = options
  const target: ManagementTarget = { ...options, namespace }
  const management = await Management.open(target)
  for await (const some of lines) {
    for (const line of some) {
      await management.post('dragoman/delayed', [], {
        exchange: exchangePath(exchange),
        routing_key: key,
        delay_ms: delayMs,
        payload: line.toString('base64'),
        payload_encoding: 'base64',
        properties: {
          delivery_mode: 2,
          ...(priority === undefined ? {} : { priority }),
          ...(ttl === undefined ? {} : { expiration: String(ttl) }),
          ...(contentType === undefined ? {} : { content_type: contentType }),
          headers: Object.fromEntries(header),
        },
      })
      told(line)
    }
  }
}
