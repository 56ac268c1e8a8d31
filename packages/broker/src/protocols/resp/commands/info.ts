import { redisVersion } from './login.ts'
import type { Client } from './command.ts'

const sections = [
  'server',
  'clients',
  'memory',
  'persistence',
  'stats',
  'replication',
  'cluster',
  'errorstats',
  'keyspace',
] as const
type Section = (typeof sections)[number]

/** What `INFO` tells: a line for each fact, in sections. */
export function infoText(client: Client, wanted: readonly string[]): string {
  const isAll = wanted.length === 0 || wanted.some(name => ['default', 'all', 'everything'].includes(name))
  return sections
    .filter(section => isAll || wanted.includes(section))
    .map(section => {
      const lines = factsOf(client, section).map(([name, value]) => `${name}:${value}\r\n`)
      return `# ${section[0]!.toUpperCase()}${section.slice(1)}\r\n${lines.join('')}`
    })
    .join('\r\n')
}

function factsOf(client: Client, section: Section): [string, string | number][] {
  const { server, broker, context, keys } = client
  switch (section) {
    case 'server': {
      const uptime = Math.floor((context.clock.monotonicMs() - server.startedMs) / 1000)
      return [
        ['redis_version', redisVersion],
        ['redis_mode', 'standalone'],
        ['os', 'Dragoman'],
        ['arch_bits', 64],
        ['run_id', server.runId],
        ['tcp_port', context.local.port],
        ['uptime_in_seconds', uptime],
        ['uptime_in_days', Math.floor(uptime / 86_400)],
      ]
    }
    case 'clients':
      return [
        ['connected_clients', server.sessions.size],
        ['maxclients', broker.limits.connectionsMax],
        ['total_blocking_keys', keys.waitedCount()],
        ['total_blocking_keys_on_nokey', keys.waitedCount(true)],
        ['blocked_clients', [...server.sessions.values()].filter(({ isBlocked }) => isBlocked).length],
        ['pubsub_clients', [...server.sessions.values()].filter(({ subscriptions }) => subscriptions.count > 0).length],
      ]
    case 'memory':
      return [
        ['maxmemory', 0],
        ['maxmemory_policy', 'noeviction'],
      ]
    case 'persistence':
      return [
        ['loading', 0],
        ['aof_enabled', 1],
        ['aof_last_write_status', broker.cell.isFull ? 'err' : 'ok'],
      ]
    case 'stats':
      return [
        ['total_connections_received', server.connectionsEver],
        ['total_commands_processed', server.commandsEver],
        ['pubsub_channels', server.pubsub.channelCount],
        ['pubsub_patterns', server.pubsub.patternCount],
        ['pubsubshard_channels', server.pubsub.shardCount],
        ['client_output_buffer_limit_disconnections', server.closedSubscribers.count],
      ]
    case 'replication':
      return [
        ['role', 'master'],
        ['connected_slaves', 0],
        ['master_repl_offset', broker.cell.position],
      ]
    case 'cluster':
      return [['cluster_enabled', 0]]
    case 'errorstats':
      return Array.from(server.errors, ([code, count]) => [`errorstat_${code}`, `count=${count}`])
    case 'keyspace': {
      let count = 0
      for (const _key of keys.keys()) count++
      return count === 0
        ? []
        : [['db0', `keys=${count},expires=${broker.values.expiringCount(client.namespace)},avg_ttl=0`]]
    }
  }
}
