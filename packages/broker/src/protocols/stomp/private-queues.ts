import type { Queue } from '../../core/queues/queue.ts'
import type { Connection } from './connection.ts'
import { StompError } from './errors.ts'
import { shown, type Headers } from './headers.ts'
import { checkSame, makeQueue, type QueueWish } from './queue-options.ts'
import { demand } from './rights.ts'
import type { AckMode } from './subscription.ts'

const nameRandomBytes = 12
/** How clients of ActiveMQ name a durable subscription; the second is how it was misspelt for years. */
const nameHeaders = ['activemq.subscriptionName', 'activemq.subcriptionName', 'durable-subscriber-name'] as const

/** An exchange, and by which key a queue is bound to it. */
export interface BoundTo {
  readonly exchange: string
  readonly key: string
}

/** Whether a subscription to an exchange needs nothing to be kept for it. */
export function isLive(headers: Headers, wish: QueueWish, ackMode: AckMode): boolean {
  if (ackMode !== 'auto' || wish.isDurable === true || wish.exclusive !== undefined || wish.autoDelete === false)
    return false
  if (wish.arguments.length > 0 || headers.has('x-queue-name')) return false
  return !nameHeaders.some(name => headers.has(name))
}

/** What a client calls its durable subscription, with its own name; undefined: nothing. Throws `StompError`. */
export function namedQueue({ clientId }: Connection, headers: Headers): string | undefined {
  const name = nameHeaders.map(header => headers.get(header)).find(value => value !== undefined)
  if (name === undefined) return undefined
  if (clientId !== undefined) return `stomp-subscription:${clientId}:${name}`
  const explanation = `The durable subscription ${shown(name)} needs the header client-id in the CONNECT frame`
  throw new StompError('missing_header', explanation)
}

/** The queue of a durable subscription that has no name but its id and its destination. */
export function unnamedQueue({ clientId }: Connection, headers: Headers, { exchange, key }: BoundTo): string {
  return headers.get('x-queue-name') ?? `stomp-subscription:${clientId ?? headers.get('id') ?? ''}:${exchange}/${key}`
}

/** The queue for a subscription to an exchange, bound to it. Rejects with what there is to say against it. */
export async function subscriptionQueue(
  connection: Connection,
  headers: Headers,
  wish: QueueWish,
  to: BoundTo,
): Promise<Queue> {
  const { broker, namespace, owner, context } = connection
  const named = namedQueue(connection, headers)
  const given = headers.get('x-queue-name')
  const isDurable = named !== undefined || wish.isDurable === true || (given !== undefined && wish.isDurable !== false)
  const name =
    named ??
    (isDurable ? unnamedQueue(connection, headers, to) : undefined) ??
    given ??
    `stomp-subscription:${context.random.bytes(nameRandomBytes).toString('base64url')}`
  // What has a name that nobody knows goes with its subscription, whatever is wished.
  const autoDelete = (!isDurable && given === undefined) || (wish.autoDelete ?? !isDurable)
  const exclusive = wish.exclusive ?? (!isDurable && given === undefined)
  const present = broker.queues.get(namespace, name)
  if (present) checkSame(present, { ...wish, isDurable: undefined, autoDelete: undefined })
  else await makeQueue(connection, name, { arguments: wish.arguments, isDurable, autoDelete, exclusive })
  const queue = broker.queues.use(namespace, name, owner)
  try {
    demand(connection, 'write', 'queue', name)
    await bindOnly(connection, name, to, named !== undefined)
  } catch (error) {
    broker.queues.abandon(queue)
    throw error
  }
  return queue
}

/** A named subscription is to one destination: it leaves another one that it was to before. */
async function bindOnly({ broker, namespace }: Connection, name: string, to: BoundTo, isOnly: boolean): Promise<void> {
  const binding = { kind: 'queue', destination: name } as const
  const before = isOnly ? broker.router.bindingsTo(namespace, 'queue', name) : []
  await broker.router.bind(namespace, { ...binding, source: to.exchange, key: to.key })
  for (const { source, key } of before) {
    if (source !== '' && (source !== to.exchange || key !== to.key)) {
      await broker.router.unbind(namespace, { ...binding, source, key })
    }
  }
}

/** Of a queue that is the subscription's own: nothing more is said of how it is to be. */
export const settledWish = (wish: QueueWish): QueueWish => ({
  ...wish,
  arguments: [],
  isDurable: undefined,
  autoDelete: undefined,
})
