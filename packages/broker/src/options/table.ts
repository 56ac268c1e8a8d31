import { hostPort, listenAt, loopback, type HostPort, type ListenAt } from './address.ts'
import { securityRows } from './security.ts'
import {
  choice,
  count,
  duration,
  names,
  optionalText,
  size,
  text,
  toggle,
  type Kind,
  type Option,
  type Section,
} from './option.ts'

const KiB = 2 ** 10
const MiB = 2 ** 20
const GiB = 2 ** 30
const second = 1000
const minute = 60 * second
const day = 24 * 60 * minute

export const logLevels = ['debug', 'info', 'warn', 'error', 'off'] as const
export type LogLevel = (typeof logLevels)[number]

const option = <T>(section: Section, kind: Kind<T>, value: NoInfer<T>, help: string): Option<T> => ({
  kind,
  default: value,
  section,
  help,
})

/** Every option that does not belong to a listener. One row each; all else about an option follows from its row. */
export const rows = {
  data: option(
    'general',
    text('DIR|memory', 'a directory, or memory'),
    './dragoman-data',
    'Where the data is kept; `memory` keeps it only as long as the process lives.',
  ),
  config: option(
    'general',
    optionalText('FILE', 'a YAML file'),
    undefined,
    'File with options, one `key: value` per line; flags and environment win over it.',
  ),
  durability: option(
    'general',
    choice('fsync', 'os'),
    'fsync',
    '`fsync`: what is acknowledged is on the disk. `os`: it is in the page cache; a power cut loses the last seconds.',
  ),
  insecure: option('general', toggle, false, 'Allow listening on more than loopback although no users are configured.'),
  brokerId: option(
    'general',
    count(0, 2 ** 31 - 1, 'ID'),
    1,
    'Number of this broker, for protocols that number brokers.',
  ),
  logLevel: option('general', choice(...logLevels), 'info', 'Least important log lines that are written to stderr.'),

  ...securityRows,

  topicAutoCreate: option(
    'topics',
    choice('on', 'off'),
    'on',
    'Create a topic when a client that wants it so first uses it.',
  ),
  topicPartitions: option('topics', count(1, 10_000), 1, 'Partitions of a topic whose creator does not say.'),
  groupJoinDelayMs: option(
    'groups',
    duration(0, 10 * minute),
    100,
    'Wait this long for more members before the first assignment of an empty group.',
  ),
  groupSessionTimeoutMinMs: option(
    'groups',
    duration(100, 1 * day),
    6 * second,
    'Shortest time without a sign of life that a member may ask for.',
  ),
  groupSessionTimeoutMaxMs: option(
    'groups',
    duration(100, 1 * day),
    30 * minute,
    'Longest time without a sign of life that a member may ask for.',
  ),
  groupAssignedSessionTimeoutMs: option(
    'groups',
    duration(100, 1 * day),
    45 * second,
    'Remove a member that has given no sign of life for this long, where the broker assigns.',
  ),
  groupAssignedSessionTimeoutMinMs: option(
    'groups',
    duration(100, 1 * day),
    45 * second,
    'Shortest time without a sign of life that a group may set for its members, where the broker assigns.',
  ),
  groupAssignedSessionTimeoutMaxMs: option(
    'groups',
    duration(100, 1 * day),
    minute,
    'Longest time without a sign of life that a group may set for its members, where the broker assigns.',
  ),
  groupHeartbeatIntervalMs: option(
    'groups',
    duration(10, 1 * day),
    5 * second,
    'Ask members this often for a sign of life, where the broker assigns.',
  ),
  groupHeartbeatIntervalMinMs: option(
    'groups',
    duration(10, 1 * day),
    5 * second,
    'Shortest time between signs of life that a group may set, where the broker assigns.',
  ),
  groupHeartbeatIntervalMaxMs: option(
    'groups',
    duration(10, 1 * day),
    15 * second,
    'Longest time between signs of life that a group may set, where the broker assigns.',
  ),
  groupMigration: option(
    'groups',
    choice('bidirectional', 'upgrade', 'downgrade', 'disabled'),
    'bidirectional',
    'Whether a group with members may change between members that assign among themselves (classic) and the broker that assigns.',
  ),
  groupOffsetsRetentionMs: option(
    'groups',
    duration(minute, 3650 * day),
    7 * day,
    'Keep the committed offsets of a group this long after its last member left.',
  ),
  shareLockDurationMs: option(
    'groups',
    duration(100, day),
    30 * second,
    'A member of a share group keeps a record this long before others get it, unless its group says otherwise.',
  ),
  shareDeliveryLimit: option(
    'groups',
    count(0, 30_000),
    5,
    'Deliveries after which a share group gives a record up that nobody accepts; 0: never.',
  ),

  transactionTimeoutMaxMs: option(
    'transactions',
    duration(second, 1 * day),
    15 * minute,
    'Longest time that a producer may ask for its transactions.',
  ),
  transactionalIdExpirationMs: option(
    'transactions',
    duration(second, 3650 * day),
    7 * day,
    'Forget a transactional id that nobody has used for this long.',
  ),
  transactionStrictConnections: option(
    'transactions',
    choice('on', 'off'),
    'on',
    'Refuse requests of transactions that come late, over a connection that their producer has replaced; `off` for producers that use several at once.',
  ),

  flushBytes: option(
    'storage',
    size(64 * KiB, 1 * GiB),
    32 * MiB,
    'Write segments and a checkpoint after this much journal.',
  ),
  flushIntervalMs: option(
    'storage',
    duration(100, 1 * day),
    minute,
    'Write segments and a checkpoint at least this often while there is anything new.',
  ),
  retentionCheckIntervalMs: option(
    'storage',
    duration(100, 1 * day),
    30 * second,
    'Look this often for records that are past the retention of their topic.',
  ),
  compactionMapBytes: option(
    'storage',
    size(64 * KiB, 4 * GiB),
    64 * MiB,
    'Memory for the keys of a partition that is being compacted, 25 bytes each; one with more new keys takes several passes.',
  ),
  clockPatienceMs: option(
    'general',
    duration(0, 1 * day),
    10 * minute,
    "Follow the machine's clock, when it is set by more than 10 s, only after so long; `0`: at once.",
  ),
  reserveBytes: option(
    'storage',
    size(0, 1024 * GiB),
    256 * MiB,
    'Refuse writes when the disk has less than this left.',
  ),

  firstRequestTimeoutMs: option(
    'connections',
    duration(100, 1 * day),
    30 * second,
    'Close a connection that has sent nothing after this time.',
  ),
  frameTimeoutMs: option(
    'connections',
    duration(100, 1 * day),
    30 * second,
    'Close a connection whose unfinished request has grown by less than 1 KiB in this time, or that has ended and waited so long for an answer.',
  ),
  writeTimeoutMs: option(
    'connections',
    duration(100, 1 * day),
    10 * minute,
    'Close a connection that has taken none of the bytes waiting for it in this time.',
  ),
  outboxBytesMax: option(
    'connections',
    size(64 * KiB, 1 * GiB),
    8 * MiB,
    'Take no further request from a connection while more than this is waiting to be sent to it.',
  ),

  connectionsMax: option(
    'limits',
    count(1, 1_000_000),
    10_000,
    'Connections of all listeners together; one more is closed at once.',
  ),
  requestsInFlightMax: option(
    'limits',
    count(1, 100_000),
    64,
    'Requests taken from one connection and not yet answered.',
  ),
  frameBytesMax: option('limits', size(64 * KiB, 1 * GiB), 100 * MiB, 'Largest request.'),
  topicsMax: option('limits', count(1, 10_000_000), 100_000, 'Topics.'),
  partitionsPerTopicMax: option('limits', count(1, 100_000), 10_000, 'Partitions of one topic.'),
  partitionsMax: option('limits', count(1, 10_000_000), 200_000, 'Partitions of all topics together.'),
  queuesMax: option('limits', count(1, 10_000_000), 100_000, 'Queues.'),
  transientBytesMax: option(
    'limits',
    size(64 * KiB, 1024 * GiB),
    256 * MiB,
    'Messages of all queues that are not durable together, which are kept in memory; what is more is refused.',
  ),
  exchangesMax: option('limits', count(0, 10_000_000), 100_000, 'Exchanges, besides those that every namespace has.'),
  bindingsMax: option(
    'limits',
    count(0, 10_000_000),
    500_000,
    'Bindings of all exchanges together; each takes 700 to 1,600 bytes of memory.',
  ),
  bindingBytesMax: option('limits', size(256, 32 * KiB), 4 * KiB, 'Key and arguments of one binding.'),
  policiesMax: option('limits', count(0, 100_000), 1000, 'Policies and operator policies together.'),
  queueInFlightMax: option(
    'limits',
    count(1, 100_000_000),
    1_000_000,
    'Messages that the consumers of one queue may hold.',
  ),
  queuePassedOverMax: option(
    'limits',
    count(0, 100_000_000),
    100_000,
    'Messages that wait in one queue and are looked behind for consumers that do not want them.',
  ),
  queueDelayedMax: option(
    'limits',
    count(0, 100_000_000),
    1_000_000,
    'Messages of one queue that wait for a time of their own; each takes some 350 bytes of memory.',
  ),
  delayedMax: option(
    'limits',
    count(0, 10_000_000_000),
    1_000_000_000,
    'Messages that are to be published later; they wait on the disk.',
  ),
  delayedPerNamespaceMax: option(
    'limits',
    count(0, 10_000_000_000),
    1_000_000_000,
    'Messages of one namespace that are to be published later.',
  ),
  schedulesMax: option('limits', count(0, 1_000_000), 10_000, 'Schedules that publish a message again and again.'),
  scheduleBytesMax: option('limits', size(64, 16 * MiB), 64 * KiB, 'Message of a schedule; it is kept in memory.'),
  queueWatchesMax: option('limits', count(1, 1_000_000), 10_000, 'Queues that one connection may watch.'),
  entryGroupsMax: option('limits', count(0, 1_000_000), 10_000, 'Groups that share out one stream of entries.'),
  entryConsumersMax: option('limits', count(1, 10_000_000), 100_000, 'Consumers of one such group.'),
  entryPendingMax: option(
    'limits',
    count(1, 1_000_000_000),
    10_000_000,
    'Entries that the consumers of one such group hold, at 40 bytes of memory each.',
  ),
  listMemoryBytesMax: option(
    'limits',
    size(1 * MiB, 64 * GiB),
    64 * MiB,
    'Elements of lists that are kept in memory to be at hand, of all lists together; and the elements that one command may look at.',
  ),
  valuesMax: option(
    'limits',
    count(0, 100_000_000),
    1_000_000,
    'Single values by their keys; they are kept in memory.',
  ),
  valueBytesMax: option('limits', size(64 * KiB, 64 * GiB), 256 * MiB, 'Single values with their keys, all together.'),
  jobBytesMax: option('limits', count(1, 1 * GiB), 65_535, 'Largest job of a work queue, in bytes.'),
  fanOutBytesMax: option(
    'limits',
    size(1 * MiB, 16 * GiB),
    512 * MiB,
    'All copies together of one message that goes to several queues or topics; they are in memory until they are on the disk. A larger one goes nowhere.',
  ),
  messageBytesMax: option('limits', size(0, 512 * MiB), 128 * MiB, 'Largest message that a client may send in parts.'),
  consumersPerChannelMax: option('limits', count(1, 10_000_000), 100_000, 'Consumers in one channel of a connection.'),
  groupsMax: option('limits', count(1, 10_000_000), 100_000, 'Groups.'),
  groupMembersMax: option('limits', count(1, 1_000_000), 10_000, 'Members of one group.'),
  membersMax: option('limits', count(1, 10_000_000), 200_000, 'Members of all groups together.'),
  offsetMetadataBytesMax: option(
    'limits',
    size(0, 1 * MiB),
    4 * KiB,
    'Metadata that a client may store with a committed offset.',
  ),
  transactionalIdsMax: option('limits', count(0, 10_000_000), 100_000, 'Transactional ids of producers.'),
  transactionPartitionsMax: option(
    'limits',
    count(1, 100_000),
    10_000,
    'Partitions and groups that take part in one transaction.',
  ),
  fetchSessionsMax: option(
    'limits',
    count(0, 1_000_000),
    1000,
    'Fetch sessions kept; the least recently used one gives way.',
  ),
  shareSessionsMax: option('limits', count(1, 1_000_000), 10_000, 'Sessions of members of share groups.'),
  shareInFlightMax: option(
    'limits',
    count(1, 100_000_000),
    1_000_000,
    'Records that the members of a share group may hold of one partition without having settled them.',
  ),
  quotasMax: option('limits', count(1, 1_000_000), 10_000, 'Users, clients and addresses that quotas are set for.'),
  quotaMetersMax: option(
    'limits',
    count(100, 1_000_000),
    10_000,
    'Users, clients and addresses whose use is counted, for each quota; the least recently active ones begin anew.',
  ),
  namespacesMax: option('limits', count(1, 1_000_000), 10_000, 'Namespaces.'),
  retainedMax: option(
    'limits',
    count(0, 100_000_000),
    1_000_000,
    'Subjects whose last message is kept for later subscribers; each takes some 400 bytes of memory.',
  ),
  sessionsMax: option('limits', count(0, 10_000_000), 1_000_000, 'Sessions of clients that may come back.'),
  sessionExpiryMaxMs: option(
    'limits',
    duration(0, 36_500 * day),
    36_500 * day,
    'Forget the session of a client that has been gone for this long, whatever it asked for.',
  ),
  sessionSubscriptionsMax: option('limits', count(1, 1_000_000), 10_000, 'Subscriptions of one such client.'),
  sessionMessagesMax: option(
    'limits',
    count(1, 10_000_000_000),
    1_000_000,
    'Messages that wait for one such client, on the disk; when there are more, the oldest are dropped.',
  ),
  subscriberMessagesMax: option(
    'limits',
    count(1, 100_000_000),
    10_000,
    'Messages in memory that wait until one connected subscriber has acknowledged others; what is more is dropped.',
  ),
  subscriberBytesMax: option(
    'limits',
    size(1 * KiB, 1 * GiB),
    16 * MiB,
    'Bytes in memory that wait for one connected subscriber; what is more is dropped.',
  ),
  subscriberOverflow: option(
    'limits',
    choice('drop-newest', 'drop-oldest'),
    'drop-newest',
    'Which messages are dropped when too many wait in memory for a connected subscriber.',
  ),
  subscriberUnreadBytesMax: option(
    'limits',
    size(1 * KiB, 1 * GiB),
    32 * MiB,
    'Bytes that one connected subscriber may leave unread where no single messages are dropped: beyond them it is closed.',
  ),
  subscriberInFlightMax: option(
    'limits',
    count(1, 32_767),
    32_767,
    'Messages that one subscriber may hold without having acknowledged them, if it does not ask for less itself.',
  ),
  keepAliveMaxSeconds: option(
    'connections',
    count(0, 65_535),
    0,
    'Longest silence that a client may ask to be allowed, in seconds, where it can be told so; 0: no limit.',
  ),
  statusIntervalMs: option(
    'connections',
    duration(0, 1 * day),
    10 * second,
    'Publish figures of the broker so often to those who subscribe to its status topics; 0: never.',
  ),
  parametersMax: option(
    'limits',
    count(0, 1_000_000),
    10_000,
    'Parameters: settings that are kept for other parts and for clients.',
  ),
  usersMax: option('limits', count(1, 10_000_000), 100_000, 'Users that are made while the broker runs.'),
  rulesMax: option('limits', count(1, 10_000_000), 100_000, 'Rules about who may do what.'),
} as const satisfies Record<string, Option<unknown>>

type ValueOf<O> = O extends Option<infer T> ? T : never
export type Values = { -readonly [K in keyof typeof rows]: ValueOf<(typeof rows)[K]> }

/** What the table must know of a protocol to give it its listener's options. */
export interface ListenerInfo {
  readonly name: string
  readonly title: string
  readonly port: number
  /** The standard port with TLS. */
  readonly tlsPort: number
  /** Its clients are told an address to come back to. */
  readonly advertises: boolean
}

export interface ListenerValues {
  at: ListenAt
  /** The address was given, not the default: a taken port is then an error, not a warning. */
  asked: boolean
  advertised: HostPort | undefined
  /** Where it is to listen for connections with TLS. */
  tls: ListenAt
  tlsAdvertised: HostPort | undefined
}

export interface Settings extends Values {
  only: readonly string[] | undefined
  listeners: Map<string, ListenerValues>
}

export const tlsName = (listener: string): string => `${listener}Tls`
export const advertisedName = (listener: string): string => `${listener}Advertised`

/** All options by name, those of the listeners included. */
export function optionTable(listeners: readonly ListenerInfo[]): Map<string, Option<unknown>> {
  const table = new Map<string, Option<unknown>>()
  for (const [name, row] of Object.entries(rows)) if (row.section === 'general') table.set(name, row)
  for (const { name, title, port, tlsPort, advertises } of listeners) {
    table.set(
      name,
      option(
        'listeners',
        listenAt,
        { host: loopback, port },
        `Where ${title} clients connect; port 0 takes any free one.`,
      ),
    )
    table.set(
      tlsName(name),
      option(
        'listeners',
        listenAt,
        'off',
        `Where ${title} clients connect with TLS; the usual port is ${tlsPort}. Needs \`--tls-cert\` and \`--tls-key\`.`,
      ),
    )
    if (advertises)
      for (const listener of [name, tlsName(name)]) table.set(advertisedName(listener), advertisedOption(title))
  }
  const all = listeners.map(({ name }) => name)
  table.set('only', option('listeners', names(all), undefined, 'Open only these listeners.'))
  for (const [name, row] of Object.entries(rows)) if (row.section !== 'general') table.set(name, row)
  return table
}

const advertisedOption = (title: string): Option<HostPort | undefined> =>
  option(
    'listeners',
    hostPort,
    undefined,
    `Address that ${title} clients are told to connect to, if it is not that of the listener.`,
  )
