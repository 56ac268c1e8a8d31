import type { Header } from '../../../core/message.ts'
import {
  argumentDifference,
  argumentProblem,
  queueArguments,
  queueSettings,
  queueTypeOf,
  topicArguments,
  topicSettings,
} from '../../../core/queues/arguments.ts'
import type { Queue } from '../../../core/queues/queue.ts'
import type { Topic } from '../../../core/topic.ts'
import type { ChannelHost } from '../channel-host.ts'
import type { Connection } from '../connection.ts'
import { isReplyQueue, replyQueue, ReplyQueues } from '../direct-reply.ts'
import { AmqpException } from '../errors.ts'
import { inequivalent } from '../inequivalent.ts'
import { headerOf } from '../mapping.ts'
import type { Arguments } from '../messages/method.ts'
import {
  queueBind,
  queueBindOk,
  queueDeclare,
  queueDeclareOk,
  queueDelete,
  queueDeleteOk,
  queuePurge,
  queuePurgeOk,
  queueUnbind,
  queueUnbindOk,
} from '../messages/queue.ts'
import { checkReserved, cleanName, findQueue, findTopic, locked, noQueue, queueNamed } from '../names.ts'
import { demand, demandAny, resource } from '../rights.ts'
import { fieldOf } from '../table.ts'
import { changeBinding } from './binding.ts'
import { on, type Entry } from './handler.ts'

type Declare = Arguments<typeof queueDeclare>

export const queueHandlers: readonly Entry[] = [
  on(queueDeclare, (channel, fields) => declare(channel, fields)),
  on(queueBind, async (channel, { queue, exchange, routingKey, flags, arguments: given }) => {
    const name = queueNamed(channel, queue)
    const key = keyNamed(channel, queue, routingKey)
    await changeBinding('bind', channel.connection, { kind: 'queue', name, source: exchange, key, given })
    if (!flags.noWait) channel.send(queueBindOk, {})
  }),
  on(queueUnbind, async (channel, { queue, exchange, routingKey, arguments: given }) => {
    const name = queueNamed(channel, queue)
    const key = keyNamed(channel, queue, routingKey)
    await changeBinding('unbind', channel.connection, { kind: 'queue', name, source: exchange, key, given })
    channel.send(queueUnbindOk, {})
  }),
  on(queuePurge, (channel, fields) => purge(channel, fields)),
  on(queueDelete, (channel, fields) => remove(channel, fields)),
]

/** Where neither queue nor key is named, both are the queue that was declared last. */
const keyNamed = (channel: ChannelHost, queue: string, key: string): string =>
  queue === '' && key === '' ? queueNamed(channel, queue) : key

async function declare(channel: ChannelHost, fields: Declare): Promise<void> {
  const { connection } = channel
  const { passive, noWait } = fields.flags
  const given = cleanName(fields.queue)
  const isReply = given === replyQueue || isReplyQueue(given)
  const name = isReply ? presentReply(connection, given) : passive ? given : undefined
  const found = name ?? (await declareActively(connection, given, fields))
  if (name !== undefined && !isReply) inspect(connection, name)
  await connection.settled()
  channel.lastQueue = found
  if (noWait) return
  const counts = isReply ? { messageCount: 0, consumerCount: 1 } : countsOf(connection, found)
  channel.send(queueDeclareOk, { queue: found, ...counts })
}

/** Queues for direct replies are there as long as their consumer is; declaring them changes nothing. */
function presentReply({ broker, namespace }: Connection, name: string): string {
  if (name !== replyQueue && !ReplyQueues.of(broker).find(name)) throw noQueue(name, namespace)
  return name
}

function inspect(connection: Connection, name: string): void {
  demandAny(connection, 'queue', name)
  if (!findTopic(connection, name)) findQueue(connection, name)
}

function countsOf(connection: Connection, name: string): { messageCount: number; consumerCount: number } {
  const { broker, namespace } = connection
  const queue = broker.queues.get(namespace, name)
  if (queue) {
    queue.used()
    const { ready: messageCount, consumers: consumerCount } = broker.work.depthOf(queue)
    return { messageCount, consumerCount }
  }
  const topic = broker.topics.get(namespace, name)
  return { messageCount: topic ? recordCount(connection, topic) : 0, consumerCount: 0 }
}

function recordCount({ broker }: Connection, topic: Topic): number {
  return topic.partitions.reduce((sum, stream) => {
    const bounds = broker.cell.bounds(stream)
    return sum + (bounds ? bounds.endOffset - bounds.startOffset : 0)
  }, 0)
}

/** Returns the queue's name. */
async function declareActively(connection: Connection, given: string, fields: Declare): Promise<string> {
  const { broker, namespace } = connection
  const { flags } = fields
  const options = withDefaultType(connection, fields)
  const type = queueTypeOf(options)
  if (given === '' && type !== 'classic') {
    throw new AmqpException('preconditionFailed', `Cannot declare a server-named queue for type ${type}`)
  }
  const name = given === '' ? newName(connection) : given
  demand(connection, 'configure', 'queue', name)
  const queue = broker.queues.get(namespace, name)
  if (queue) checkSame(connection, queue, fields, options)
  const topic = broker.topics.get(namespace, name)
  if (topic) checkSameTopic(connection, topic, fields, options)
  if (queue ?? topic) return name
  if (given !== '') checkReserved('queue', name)
  checkArguments(connection, name, options)
  checkLimit(connection, name)
  if (type !== 'classic') checkKept(connection, name, flags)
  if (type === 'stream') {
    await broker.topics.create(namespace, name, { partitions: 1, config: topicSettings(options) })
    return name
  }
  const { durable, exclusive, autoDelete } = flags
  await broker.queues.declare(namespace, name, queueSettings(options), {
    isDurable: durable && !exclusive,
    autoDelete,
    exclusiveTo: exclusive ? connection.owner : undefined,
  })
  return name
}

/** What the namespace says of queues of which nothing is said; those that do not last are classic all the same. */
function withDefaultType({ broker, namespace }: Connection, { flags, arguments: given }: Declare): Header[] {
  const options = given.map(headerOf)
  const defaultType = broker.namespaces.get(namespace)?.defaultQueueType ?? ''
  const lasts = flags.durable && !flags.exclusive && !flags.autoDelete
  if (defaultType === '' || !lasts || options.some(({ name }) => name === 'x-queue-type')) return options
  return [...options, { name: 'x-queue-type', value: defaultType }]
}

const nameBytes = 16

const newName = ({ context }: Connection): string => `amq.gen-${context.random.bytes(nameBytes).toString('base64url')}`

function checkArguments(connection: Connection, name: string, options: readonly Header[]): void {
  const problem = argumentProblem(options)
  if (problem) {
    const what = resource('queue', name, connection.namespace)
    throw new AmqpException('preconditionFailed', `invalid arg '${problem.name}' for ${what}: ${problem.text}`)
  }
  const deadLetters = options.findLast(option => option.name === 'x-dead-letter-exchange')?.value
  if (typeof deadLetters !== 'string') return
  // Who may have messages dead-lettered may as well take them out and put them there.
  demand(connection, 'read', 'queue', name)
  demand(connection, 'write', 'exchange', deadLetters)
}

function checkLimit({ broker, namespace }: Connection, name: string): void {
  const max = broker.namespaces.limitOf(namespace, 'queues')
  if (max === undefined || broker.queues.list(namespace).length < max) return
  const what = resource('queue', name, namespace)
  throw new AmqpException(
    'preconditionFailed',
    `cannot declare ${what}: queue limit in vhost '${namespace}' (${max}) is reached`,
  )
}

function checkKept({ namespace }: Connection, name: string, flags: Declare['flags']): void {
  const problem = !flags.durable
    ? 'non-durable'
    : flags.exclusive
      ? 'exclusive-owner'
      : flags.autoDelete
        ? 'auto-delete'
        : ''
  if (problem === '') return
  const what = resource('queue', name, namespace)
  throw new AmqpException('preconditionFailed', `invalid property '${problem}' for ${what}`)
}

function checkSame(connection: Connection, queue: Queue, fields: Declare, options: readonly Header[]): void {
  const { definition } = queue
  const what = resource('queue', definition.name, connection.namespace)
  const { durable, exclusive, autoDelete } = fields.flags
  if (definition.owner !== (exclusive ? connection.owner : undefined))
    throw locked(definition.name, connection.namespace)
  if (definition.isDurable !== (durable && !exclusive)) {
    throw inequivalent(what, 'durable', definition.isDurable, durable)
  }
  if (definition.autoDelete !== autoDelete) {
    throw inequivalent(what, 'auto_delete', definition.autoDelete, autoDelete)
  }
  checkSameArguments(what, queueArguments(definition.config), fields, options)
}

function checkSameTopic(connection: Connection, topic: Topic, fields: Declare, options: readonly Header[]): void {
  const what = resource('queue', topic.name, connection.namespace)
  checkSameArguments(what, topicArguments(topic.config), fields, options)
}

function checkSameArguments(
  what: string,
  present: readonly Header[],
  fields: Declare,
  options: readonly Header[],
): void {
  // Both in the form in which they are kept: what means the same is the same.
  const wanted = argumentProblem(options)
    ? options
    : queueTypeOf(options) === 'stream'
      ? topicArguments(topicSettings(options))
      : queueArguments(queueSettings(options))
  const difference = argumentDifference(present, wanted)
  if (!difference) return
  const { name, values } = difference
  // A queue of which no type was said has one all the same.
  const [current, received] = name === 'x-queue-type' ? values.map(value => value ?? 'classic') : values
  throw inequivalent(what, name, current, received, fieldOf(fields.arguments, name)?.type)
}

async function purge(channel: ChannelHost, fields: Arguments<typeof queuePurge>): Promise<void> {
  const { connection } = channel
  const name = queueNamed(channel, fields.queue)
  demand(connection, 'read', 'queue', name)
  if (findTopic(connection, name)) {
    const what = resource('queue', name, connection.namespace)
    throw new AmqpException('notImplemented', `queue.purge not supported by stream queues ${what}`)
  }
  findQueue(connection, name)
  // What this channel has published before is purged, too.
  await connection.settled()
  const queue = findQueue(connection, name)
  const messageCount = (connection.broker.work.consumable(connection.namespace, name) ?? queue).purge()
  await connection.settled()
  if (!fields.flags.noWait) channel.send(queuePurgeOk, { messageCount })
}

async function remove(channel: ChannelHost, fields: Arguments<typeof queueDelete>): Promise<void> {
  const { connection } = channel
  const { ifUnused, ifEmpty, noWait } = fields.flags
  const name = queueNamed(channel, fields.queue)
  demand(connection, 'configure', 'queue', name)
  const { broker, namespace } = connection
  const what = resource('queue', name, namespace)
  // What this channel has published before counts.
  await connection.settled()
  const topic = findTopic(connection, name)
  // One that is not there is as good as deleted.
  const queue = topic || !broker.queues.get(namespace, name) ? undefined : findQueue(connection, name)
  const { messageCount, consumerCount } = countsOf(connection, name)
  if (ifUnused && consumerCount > 0) throw new AmqpException('preconditionFailed', `${what} in use`)
  if (ifEmpty && messageCount > 0) throw new AmqpException('preconditionFailed', `${what} not empty`)
  if (topic) await broker.topics.remove(namespace, name)
  else if (queue) await broker.queues.remove(namespace, name)
  else await connection.settled()
  if (!noWait) channel.send(queueDeleteOk, { messageCount: queue ? messageCount : 0 })
}
