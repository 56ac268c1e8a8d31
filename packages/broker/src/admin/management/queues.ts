import type { ChannelInfo, ConnectionInfo, ConsumerInfo } from '../../core/connections.ts'
import { queueArguments, queueTypeOf, topicArguments } from '../../core/queues/arguments.ts'
import type { Queue } from '../../core/queues/queue.ts'
import type { Topic } from '../../core/topic.ts'
import { queueDeclare, queueDelete, queuePurge } from '../../protocols/amqp/messages/queue.ts'
import { booleanOf, textOf, type Call, type Fields } from './call.ts'
import { directly } from './direct.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item, Named } from './listing.ts'
import { governedBy } from './policies.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'
import { nodeName } from './state.ts'
import { depthOf, queueStatsOf } from './totals.ts'
import { jsonOfHeaders, tableOf } from './values.ts'

export const queueRoutes: readonly Route[] = [
  { path: '/api/queues', need: 'vhost', on: { GET: allQueues } },
  { path: '/api/queues/detailed', need: 'vhost', on: { GET: allQueues } },
  { path: '/api/queues/:vhost', need: 'vhost', on: { GET: allQueues } },
  {
    path: '/api/queues/:vhost/:queue',
    need: 'vhost',
    on: { GET: call => call.one(detailed(call)), PUT: putQueue, DELETE: removeQueue },
  },
  { path: '/api/queues/:vhost/:queue/contents', need: 'vhost', on: { DELETE: purge } },
  { path: '/api/queues/:vhost/:queue/actions', need: 'vhost', on: { POST: act } },
  { path: '/api/queues/quorum/:vhost/:queue/status', need: 'vhost', on: { GET: call => (placeOf(call), []) } },
]

/** What a queue is to clients of this API: also a topic, which is a queue of the type stream. */
type Place = { readonly queue: Queue } | { readonly topic: Topic }

/** Throws `Refusal`. */
export function placeOf(call: Call): Place {
  const [vhost, name] = [call.vhost, call.param('queue')]
  const queue = call.core.queues.get(vhost, name)
  if (queue) return { queue }
  const topic = call.core.topics.get(vhost, name)
  if (topic) return { topic }
  throw notFound()
}

function allQueues(call: Call): Promise<unknown> {
  const { core } = call
  const all = call.vhosts.flatMap((vhost): (Place & Named)[] => [
    ...core.queues.list(vhost).map(queue => ({ vhost, name: queue.definition.name, queue })),
    ...core.topics.list(vhost).map(topic => ({ vhost, name: topic.name, topic })),
  ])
  return call.pagesOf(all, of => ('queue' in of ? queueItem(call, of.queue) : topicItem(call, of.topic)))
}

function queueItem(call: Call, queue: Queue): Item {
  const { name, namespace: vhost, config, isDurable, autoDelete, owner, id } = queue.definition
  const given = queueArguments(config)
  const { ready, held, consumers } = call.core.work.depthOf(queue)
  return {
    name,
    vhost,
    type: queueTypeOf(given),
    durable: isDurable,
    auto_delete: autoDelete,
    exclusive: owner !== undefined,
    arguments: jsonOfHeaders(given),
    node: nodeName,
    state: 'running',
    consumers,
    consumer_capacity: consumers > 0 ? 1 : 0,
    consumer_utilisation: consumers > 0 ? 1 : 0,
    exclusive_consumer_tag: null,
    single_active_consumer_tag: null,
    ...governedBy(call.core.policies, { kind: 'queue', namespace: vhost, name, config }),
    head_message_timestamp: null,
    recoverable_slaves: null,
    storage_version: 2,
    memory: 0,
    ...depthOf(call, `queue ${id}`, { ready, unacknowledged: held }),
    ...queueStatsOf(call, queue),
    messages_persistent: isDurable ? ready + held : 0,
    messages_ram: 0,
    messages_paged_out: ready,
  }
}

/** All records that are kept: nothing leaves with being read. */
function topicItem(call: Call, topic: Topic): Item {
  const { cell } = call.core
  const bounds = topic.partitions.map(stream => cell.bounds(stream))
  const ready = bounds.reduce((sum, of) => sum + (of ? of.endOffset - of.startOffset : 0), 0)
  const bytes = topic.partitions.reduce((sum, stream) => sum + cell.sizeBytes(stream), 0)
  return {
    name: topic.name,
    vhost: topic.namespace,
    type: 'stream',
    durable: true,
    auto_delete: false,
    exclusive: false,
    arguments: jsonOfHeaders(topicArguments(topic.config)),
    node: nodeName,
    leader: nodeName,
    members: [nodeName],
    online: [nodeName],
    state: 'running',
    consumers: 0,
    ...governedBy(call.core.policies, { kind: 'topic', namespace: topic.namespace, name: topic.name }),
    partitions: topic.partitions.length,
    memory: 0,
    message_bytes: bytes,
    ...depthOf(call, `topic ${topic.id}`, { ready, unacknowledged: 0 }),
  }
}

function detailed(call: Call): Item {
  const place = placeOf(call)
  const consumers = consumersOf(call).filter(({ consumer, connection }) => {
    return connection.namespace === call.vhost && consumer.queue === call.param('queue')
  })
  const item = 'queue' in place ? queueItem(call, place.queue) : topicItem(call, place.topic)
  const active = consumers.filter(({ consumer }) => consumer.isActive)
  const isSingle = 'queue' in place && place.queue.config.singleActiveConsumer
  return {
    ...item,
    consumers: Math.max(Number(item.consumers), consumers.length),
    single_active_consumer_tag: isSingle ? (active[0]?.consumer.tag ?? null) : null,
    exclusive_consumer_tag: consumers.find(({ consumer }) => consumer.isExclusive)?.consumer.tag ?? null,
    consumer_details: consumers.map(consumerItem),
    deliveries: [],
    incoming: [],
    garbage_collection: {},
  }
}

export interface FoundConsumer {
  readonly connection: ConnectionInfo
  readonly channel: ChannelInfo
  readonly consumer: ConsumerInfo
}

/** Of all connections that tell of theirs. */
export function consumersOf({ core }: Pick<Call, 'core'>): FoundConsumer[] {
  return core.connections
    .list()
    .flatMap(connection =>
      connection
        .channels()
        .flatMap(channel => channel.consumers().map(consumer => ({ connection, channel, consumer }))),
    )
}

export function consumerItem({ connection, channel, consumer }: FoundConsumer): Item {
  const { host, port } = connection.remote
  return {
    queue: { name: consumer.queue, vhost: connection.namespace },
    consumer_tag: consumer.tag,
    ack_required: consumer.isAcknowledging,
    exclusive: consumer.isExclusive,
    active: consumer.isActive,
    activity_status: consumer.isActive ? (consumer.isExclusive ? 'single_active' : 'up') : 'waiting',
    prefetch_count: consumer.prefetchCount,
    arguments: jsonOfHeaders(consumer.arguments),
    // A consumer may keep what it holds as long as it likes.
    consumer_timeout: 0,
    channel_details: {
      name: `${connection.name} (${channel.number})`,
      number: channel.number,
      connection_name: connection.name,
      node: nodeName,
      peer_host: host,
      peer_port: port,
      user: connection.user,
    },
  }
}

/** Declares a queue as the fields say. */
export function declareQueue(call: Call, vhost: string, name: string, fields: Fields): Promise<void> {
  return directly(call, vhost, channel =>
    channel.run(queueDeclare, {
      reserved1: 0,
      queue: name,
      flags: {
        passive: false,
        durable: booleanOf(fields, 'durable', true),
        exclusive: false,
        autoDelete: booleanOf(fields, 'auto_delete', false),
        noWait: false,
      },
      arguments: tableOf(withType(fields), 'arguments'),
    }),
  )
}

/** Some clients name the type beside the arguments. */
function withType({ arguments: given, type }: Fields): unknown {
  if (typeof type !== 'string' || type === '' || type === 'classic') return given
  return { 'x-queue-type': type, ...(typeof given === 'object' && given !== null ? given : {}) }
}

async function putQueue(call: Call): Promise<unknown> {
  const [vhost, name] = [call.vhost, call.param('queue')]
  const { core, fields } = call
  const isNew = !core.queues.get(vhost, name) && !core.topics.get(vhost, name)
  await declareQueue(call, vhost, name, fields)
  return madeOrChanged(isNew)
}

async function removeQueue(call: Call): Promise<unknown> {
  placeOf(call)
  const asks = (name: string): boolean => call.query.get(name) === 'true'
  const flags = { ifUnused: asks('if-unused'), ifEmpty: asks('if-empty'), noWait: false }
  const queue = call.param('queue')
  await directly(call, call.vhost, channel => channel.run(queueDelete, { reserved1: 0, queue, flags }))
  return noContent
}

async function purge(call: Call): Promise<unknown> {
  placeOf(call)
  const flags = { noWait: false }
  const queue = call.param('queue')
  await directly(call, call.vhost, channel => channel.run(queuePurge, { reserved1: 0, queue, flags }))
  return noContent
}

/** There is one copy of each queue: nothing has to be brought in step with it. */
function act(call: Call): unknown {
  placeOf(call)
  const action = textOf(call.fields, 'action', '')
  if (action !== 'sync' && action !== 'cancel_sync') throw badRequest(`Unknown action ${action}`)
  return noContent
}
