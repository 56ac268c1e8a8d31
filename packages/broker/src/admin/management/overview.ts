import { isMonitor, required, textOf, type Call } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import { isDiskFull } from './health.ts'
import type { Item } from './listing.ts'
import { listenersOf } from './listeners.ts'
import { globalParameterOf, setGlobal } from './parameters.ts'
import { noContent, type Route } from './route.ts'
import { compatibleVersion, nodeName } from './state.ts'
import { messageStatsOf, totalsOf } from './totals.ts'

const clusterNameParameter = 'cluster_name'

export const overviewRoutes: readonly Route[] = [
  { path: '/api/overview', need: 'management', on: { GET: call => call.one(overview(call)) } },
  { path: '/api/version', need: 'management', on: { GET: () => compatibleVersion } },
  { path: '/api/cluster-name', need: 'management', on: { GET: call => ({ name: clusterNameOf(call) }), PUT: rename } },
  {
    path: '/api/nodes',
    need: 'monitoring',
    on: { GET: async call => call.list([await nodeItem(call)], ['name']) },
  },
  { path: '/api/nodes/:node', need: 'monitoring', on: { GET: async call => call.one(await namedNode(call)) } },
  {
    path: '/api/nodes/:node/memory',
    need: 'monitoring',
    on: { GET: async call => (await namedNode(call), { memory: memoryOf() }) },
  },
  { path: '/api/extensions', need: 'management', on: { GET: () => [] } },
  { path: '/api/auth/attempts/:node', need: 'monitoring', on: { GET: attempts, DELETE: forgetAttempts } },
  // Addresses and names are not counted one by one.
  { path: '/api/auth/attempts/:node/source', need: 'monitoring', on: { GET: () => [], DELETE: forgetAttempts } },
  { path: '/api/feature-flags', need: 'management', on: { GET: call => call.list(featureFlags, ['name']) } },
  {
    path: '/api/feature-flags/:name/enable',
    need: 'administrator',
    on: {
      PUT: call => {
        // All that there are have always been on.
        if (!featureFlags.some(({ name }) => name === call.param('name'))) throw badRequest('feature flag not found')
        return noContent
      },
    },
  },
  { path: '/api/deprecated-features', need: 'management', on: { GET: call => call.list(deprecated, ['name']) } },
  { path: '/api/deprecated-features/used', need: 'management', on: { GET: () => [] } },
  // There is one node: nothing can be balanced among several.
  { path: '/api/rebalance/queues', need: 'administrator', on: { POST: () => noContent } },
]

const exchangeTypes = ['direct', 'fanout', 'headers', 'topic', 'x-consistent-hash', 'x-delayed-message']

/** What there was once, and is not here. */
const deprecated: readonly Item[] = ['classic_queue_mirroring', 'ram_node_type'].map(name => ({
  ...{ name, desc: '', deprecation_phase: 'removed', doc_url: '', provided_by: 'rabbit' },
}))

/** What some clients look for before they use it. */
const flagNames = [
  'classic_mirrored_queue_version',
  'classic_queue_type_delivery_support',
  'direct_exchange_routing_v2',
  'feature_flags_v2',
  'implicit_default_bindings',
  'maintenance_mode_status',
  'message_containers',
  'quorum_queue',
  'stream_queue',
  'user_limits',
  'virtual_host_metadata',
]
const featureFlags: readonly Item[] = flagNames.map(name => ({
  name,
  state: 'enabled',
  stability: 'required',
  provided_by: 'rabbit',
  desc: '',
  doc_url: '',
}))

export function clusterNameOf(call: Call): string {
  const given = globalParameterOf(call, clusterNameParameter)
  return typeof given === 'string' ? given : nodeName
}

async function rename(call: Call): Promise<unknown> {
  call.needTag('administrator')
  required(call.fields, 'name')
  await setGlobal(call, clusterNameParameter, textOf(call.fields, 'name', ''))
  return noContent
}

function overview(call: Call): Item {
  const { core, visitor } = call
  const { vhostsVisible: vhosts } = call
  const all = <T>(of: (vhost: string) => readonly T[]): number =>
    vhosts.reduce((sum, vhost) => sum + of(vhost).length, 0)
  const connections = core.connections.list().filter(({ namespace }) => vhosts.includes(namespace))
  const channels = connections.flatMap(connection => connection.channels())
  return {
    management_version: compatibleVersion,
    rabbitmq_version: compatibleVersion,
    product_name: 'Dragoman',
    product_version: compatibleVersion,
    erlang_version: '26',
    erlang_full_version: `Node.js ${process.version}`,
    rates_mode: 'basic',
    sample_retention_policies: { global: [], basic: [], detailed: [] },
    exchange_types: exchangeTypes.map(name => ({ name, description: '', enabled: true })),
    cluster_name: clusterNameOf(call),
    cluster_tags: {},
    node_tags: {},
    default_queue_type: 'classic',
    disable_stats: false,
    enable_queue_totals: false,
    is_op_policy_updating_enabled: true,
    release_series_support_status: 'supported',
    message_stats: messageStatsOf(call, vhosts),
    queue_totals: totalsOf(call, vhosts),
    churn_rates: {},
    object_totals: {
      channels: channels.length,
      connections: connections.length,
      consumers: channels.reduce((sum, channel) => sum + channel.consumers().length, 0),
      exchanges: all(vhost => core.router.list(vhost)),
      queues: all(vhost => core.queues.list(vhost)) + all(vhost => core.topics.list(vhost)),
    },
    statistics_db_event_queue: 0,
    node: nodeName,
    ...(isMonitor(visitor) ? { listeners: listenersOf(call), contexts: contextsOf(call) } : {}),
  }
}

function contextsOf(call: Call): Item[] {
  const own = listenersOf(call).filter(({ protocol }) => protocol === 'http' || protocol === 'https')
  return own.map(({ port, ip_address: ip, tls }) => ({
    ...{ node: nodeName, description: 'Management API', path: '/', ssl: tls },
    ...{ ip, port: String(port), ssl_opts: [], cowboy_opts: '[]' },
  }))
}

async function namedNode(call: Call): Promise<Item> {
  if (call.param('node') !== nodeName) throw notFound()
  return nodeItem(call)
}

async function nodeItem(call: Call): Promise<Item> {
  const { core, context, state } = call
  const space = await core.volume.space()
  const { rss } = process.memoryUsage()
  return {
    name: nodeName,
    type: 'disc',
    running: true,
    being_drained: false,
    os_pid: String(process.pid),
    uptime: Math.floor(context.clock.monotonicMs() - state.startedMs),
    run_queue: 0,
    processors: 1,
    mem_used: rss,
    mem_used_details: { rate: 0 },
    mem_limit: rss + process.availableMemory(),
    mem_alarm: false,
    mem_calculation_strategy: 'rss',
    disk_free: space?.freeBytes ?? 0,
    disk_free_details: { rate: 0 },
    disk_free_limit: core.volume.reserveBytes,
    disk_free_alarm: isDiskFull(core),
    sockets_used: [...core.connectionCounts().values()].reduce((sum, count) => sum + count, 0),
    sockets_total: core.limits.connectionsMax,
    fd_used: 0,
    fd_total: 0,
    proc_used: 1,
    proc_total: 1,
    rates_mode: 'basic',
    net_ticktime: 60,
    partitions: [],
    applications: [],
    auth_mechanisms: core.identity.mechanisms.map(name => ({ name, description: '', enabled: true })),
    exchange_types: exchangeTypes.map(name => ({ name, description: '', enabled: true })),
    enabled_plugins: ['rabbitmq_management'],
    contexts: contextsOf(call),
    cluster_links: [],
    config_files: [],
    log_files: [],
    db_dir: core.volume.name,
    metrics_gc_queue_length: {},
  }
}

/** Parts that are not told apart here, and that clients expect to find. */
const memoryParts = [
  ...['connection_readers', 'connection_writers', 'connection_channels', 'connection_other', 'queue_procs'],
  ...[
    'quorum_queue_procs',
    'stream_queue_procs',
    'stream_queue_replica_reader_procs',
    'stream_queue_coordinator_procs',
  ],
  ...['plugins', 'metadata_store', 'metrics', 'mgmt_db', 'mnesia', 'quorum_ets', 'metadata_store_ets', 'other_ets'],
  ...['msg_index', 'code', 'atom', 'reserved_unallocated'],
]

function memoryOf(): Item {
  const { rss, heapUsed, heapTotal, arrayBuffers } = process.memoryUsage()
  return {
    ...Object.fromEntries(memoryParts.map(name => [name, 0])),
    strategy: 'rss',
    total: { erlang: heapUsed + arrayBuffers, rss, allocated: heapTotal + arrayBuffers },
    binary: arrayBuffers,
    other_proc: heapUsed,
    allocated_unused: heapTotal - heapUsed,
    other_system: Math.max(0, rss - heapTotal - arrayBuffers),
  }
}

function attempts(call: Call): unknown {
  if (call.param('node') !== nodeName) throw notFound()
  return call.core.identity.attempts.list().map(({ protocol, succeeded, failed }) => ({
    protocol,
    auth_attempts: succeeded + failed,
    auth_attempts_failed: failed,
    auth_attempts_succeeded: succeeded,
  }))
}

function forgetAttempts(call: Call): unknown {
  call.needTag('administrator')
  call.core.identity.attempts.clear()
  return noContent
}
