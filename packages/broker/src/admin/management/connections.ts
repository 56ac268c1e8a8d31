import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import { isAdministrator, isMonitor, type Call } from './call.ts'
import { notAuthorised, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { consumerItem, consumersOf } from './queues.ts'
import { withRates } from './rates.ts'
import { noContent, type Route } from './route.ts'
import { nodeName } from './state.ts'
import { jsonOfHeaders } from './values.ts'

export const connectionRoutes: readonly Route[] = [
  { path: '/api/connections', need: 'management', on: { GET: call => connectionPages(call, visible(call)) } },
  {
    path: '/api/connections/username/:username',
    need: 'management',
    on: { GET: call => connectionPages(call, ofUser(call)), DELETE: call => closeAll(call, ofUser(call)) },
  },
  {
    path: '/api/connections/:connection',
    need: 'management',
    on: {
      GET: call => call.one(connectionItem(call, connectionOf(call))),
      DELETE: call => closeAll(call, [connectionOf(call)]),
    },
  },
  {
    path: '/api/connections/:connection/channels',
    need: 'management',
    on: { GET: call => call.list(channelsOf([connectionOf(call)]).map(channelItem)) },
  },
  { path: '/api/vhosts/:vhost/connections', need: 'vhost', on: { GET: call => connectionPages(call, inVhost(call)) } },
  { path: '/api/vhosts/:vhost/channels', need: 'vhost', on: { GET: call => channelPages(call, inVhost(call)) } },
  { path: '/api/channels', need: 'management', on: { GET: call => channelPages(call, visible(call)) } },
  { path: '/api/channels/:channel', need: 'management', on: { GET: call => call.one(channelOf(call)) } },
  { path: '/api/consumers', need: 'management', on: { GET: call => call.list(consumerItems(call), ['queue.name']) } },
  { path: '/api/consumers/:vhost', need: 'vhost', on: { GET: call => call.list(consumerItems(call), ['queue.name']) } },
]

function connectionPages(call: Call, connections: readonly ConnectionInfo[]): Promise<unknown> {
  const all = connections.map(connection => ({ vhost: connection.namespace, name: connection.name, connection }))
  return call.pagesOf(all, ({ connection }) => connectionItem(call, connection))
}

/** A channel with its connection, by the name that clients of this API know. */
interface FoundChannel {
  readonly vhost: string
  readonly name: string
  readonly connection: ConnectionInfo
  readonly channel: ChannelInfo
}

const channelsOf = (connections: readonly ConnectionInfo[]): FoundChannel[] =>
  connections.flatMap(connection =>
    connection.channels().map(channel => {
      return { vhost: connection.namespace, name: `${connection.name} (${channel.number})`, connection, channel }
    }),
  )

const channelPages = (call: Call, connections: readonly ConnectionInfo[]): Promise<unknown> =>
  call.pagesOf(channelsOf(connections), channelItem)

/** Who does not monitor sees their own connections. */
function visible({ core, visitor }: Call): ConnectionInfo[] {
  return core.connections.list().filter(({ user }) => isMonitor(visitor) || user === visitor.name)
}

function inVhost(call: Call): ConnectionInfo[] {
  const { vhost } = call
  return visible(call).filter(({ namespace }) => namespace === vhost)
}

function ofUser(call: Call): ConnectionInfo[] {
  return visible(call).filter(({ user }) => user === call.param('username'))
}

function connectionOf(call: Call): ConnectionInfo {
  const found = call.core.connections.get(call.param('connection'))
  if (!found) throw notFound()
  if (!isMonitor(call.visitor) && found.user !== call.visitor.name) {
    throw notAuthorised('User not authorised to access object')
  }
  return found
}

/** Who looks after the broker may end every connection, the others their own. */
function closeAll({ visitor, request }: Call, connections: readonly ConnectionInfo[]): unknown {
  const reason = request.headers.get('x-reason') ?? 'Closed via management plugin'
  const isAllowed = isAdministrator(visitor) || connections.every(({ user }) => user === visitor.name)
  if (!isAllowed) throw notAuthorised('User not authorised to access object')
  for (const connection of connections) connection.close(reason)
  return noContent
}

function connectionItem(call: Call, connection: ConnectionInfo): Item {
  const { remote, local, clientProperties, givenName } = connection
  const bytes = { recv_oct: connection.receivedBytes, send_oct: connection.sentBytes }
  const rates = call.state.rates.of(`connection ${connection.name}`, bytes, call.context.clock.monotonicMs())
  const channels = connection.channels()
  return {
    name: connection.name,
    user_provided_name: givenName,
    type: 'network',
    protocol: connection.protocol,
    node: nodeName,
    vhost: connection.namespace,
    user: connection.user,
    user_who_performed_action: connection.user,
    state: connection.state,
    host: local.host,
    port: local.port,
    peer_host: remote.host,
    peer_port: remote.port,
    ssl: connection.isSecure,
    auth_mechanism: connection.mechanism,
    channels: channels.length,
    channel_max: connection.channelMax,
    frame_max: connection.frameMax,
    timeout: connection.heartbeatSeconds,
    connected_at: connection.connectedMs,
    client_properties: jsonOfHeaders(clientProperties),
    send_pend: connection.queuedBytes,
    recv_cnt: connection.receivedPackets,
    send_cnt: connection.sentPackets,
    ...withRates(bytes, rates),
  }
}

function channelItem({ name, connection, channel }: FoundChannel): Item {
  const { host, port } = connection.remote
  return {
    name,
    number: channel.number,
    node: nodeName,
    vhost: connection.namespace,
    user: connection.user,
    user_who_performed_action: connection.user,
    state: channel.state,
    confirm: channel.confirms,
    transactional: channel.transactional,
    prefetch_count: channel.prefetchCount,
    global_prefetch_count: channel.globalPrefetchCount,
    messages_unacknowledged: channel.unacked,
    messages_unconfirmed: channel.unconfirmed,
    messages_uncommitted: channel.uncommitted,
    acks_uncommitted: 0,
    pending_raft_commands: 0,
    consumer_count: channel.consumers().length,
    connection_details: { name: connection.name, peer_host: host, peer_port: port },
  }
}

function channelOf(call: Call): Item {
  const found = channelsOf(visible(call)).find(({ name }) => name === call.param('channel'))
  if (!found) throw notFound()
  const consumers = consumersOf(call).filter(({ connection, channel }) => {
    return connection === found.connection && channel.number === found.channel.number
  })
  return { ...channelItem(found), consumer_details: consumers.map(consumerItem), deliveries: [], publishes: [] }
}

function consumerItems(call: Call): Item[] {
  const { vhosts } = call
  return consumersOf(call)
    .filter(({ connection }) => vhosts.includes(connection.namespace))
    .map(consumerItem)
}
