import type { Broker } from '../../core/broker.ts'
import type { OverrideScope } from '../../core/directory.ts'
import { BrokerError } from '../../core/errors.ts'
import { quote } from '../../core/names.ts'
import { runtimeSettings, type RuntimeSettingName } from '../../core/overrides.ts'
import type { SettingName } from '../../core/topic-config.ts'
import {
  configSources,
  normalised,
  settingProblem,
  synonymsOf,
  topicConfigKeys,
  toOurs,
  type ConfigEntry,
  type ConfigType,
  type TopicConfigKey,
} from './configs.ts'

/** A broker's key that can be changed while it runs: the default of a setting of topics, or a setting of its own. */
type DynamicKey = { readonly type: ConfigType } & (
  | { readonly setting: SettingName; readonly topicKey: TopicConfigKey }
  | { readonly runtime: RuntimeSettingName }
)

/** All keys of brokers that can be changed while they run. Whatever is set takes effect at once. */
export const dynamicBrokerKeys: ReadonlyMap<string, DynamicKey> = new Map([
  ...Object.values(topicConfigKeys).flatMap((topicKey): [string, DynamicKey][] => {
    const { setting, synonym, type } = topicKey
    return setting === undefined || synonym === undefined ? [] : [[synonym, { type, setting, topicKey }]]
  }),
  ['max.connections', { type: 'int', runtime: 'connectionsMax' }],
])

/** Keys that Kafka can change and this broker cannot, with the reason. */
const refusedKeys: readonly (readonly [names: RegExp, because: string])[] = [
  [/^log\.cleaner\./, 'compaction has no threads and no buffers of its own'],
  [
    /^(log\.(segment|index|roll|preallocate)|log\.segment\.delete)/,
    'records are not stored in a file for each partition',
  ],
  [/^log\.flush\./, 'the durability option of the broker decides when records are synced'],
  [/^(remote\.|log\.local\.)/, 'there is no tiered storage'],
  [/replica|^unclean\./, 'there is one copy of each partition'],
  [/threads/, 'the broker has one thread'],
  [/^compression\./, 'the level of compression has no effect on batches that producers have compressed'],
  [
    /^max\.connection/,
    'who opens connections too fast is held back by the quota connection_creation_rate of its ip, not by this key',
  ],
  [
    /^(ssl|sasl|listener|principal|config\.providers)/,
    'security and listeners are given by options when the broker starts',
  ],
  [/^(metric|producer\.id|transaction|group|background)/, 'it has no effect here'],
]

/** Throws `BrokerError`: a key that cannot be changed while the broker runs, or that there is not. */
export function dynamicBrokerKey(broker: Broker, name: string): DynamicKey {
  const key = dynamicBrokerKeys.get(name)
  if (key !== undefined) return key
  if (fixedEntries(broker, { host: '', port: 0 }).some(entry => entry.name === name)) {
    throw new BrokerError(
      'request-invalid',
      `${name} is given when the broker starts and cannot be changed while it runs`,
    )
  }
  const because = refusedKeys.find(([names]) => names.test(name))?.[1]
  if (because === undefined) throw new BrokerError('config-invalid', `Unknown broker config name: ${quote(name)}`)
  throw new BrokerError('config-invalid', `${name} cannot be changed: ${because}`)
}

/** The key under which a broker's key is stored. */
export const storedBrokerKey = (key: DynamicKey): string => ('setting' in key ? key.setting : key.runtime)

/** The stored value of a broker's key. Throws `BrokerError` `request-invalid`, as Kafka does, in words that name the key. */
export function toStoredBroker(name: string, key: DynamicKey, value: string): string {
  const normal = normalised(key.type, value)
  const problem = 'setting' in key ? settingProblem(key.setting, normal) : runtimeSettings[key.runtime].problem(normal)
  if (problem !== undefined) throw new BrokerError('request-invalid', `${name} ${problem}`)
  return 'setting' in key ? toOurs(key.setting, normal) : normal
}

/** What is in force of a broker's key, in Kafka's words; null when nothing is. */
export function brokerValue(broker: Broker, key: DynamicKey): string | null {
  return synonyms(broker, '', key)[0]?.value ?? null
}

/** What is set in one scope: what the empty name of a broker asks for, or this broker's own. */
export function scopeEntries(broker: Broker, scope: OverrideScope): ConfigEntry[] {
  const stored = broker.topics.overrides(scope)
  return dynamicEntries(broker).flatMap(entry => {
    const own = entry.synonyms.filter(({ source }) => source === configSources[scope])
    const key = dynamicBrokerKeys.get(entry.name)
    const [winner] = own
    if (key === undefined || winner === undefined || !stored.has(storedBrokerKey(key))) return []
    return [{ ...entry, value: winner.value, source: winner.source, synonyms: own }]
  })
}

/** What the broker tells about itself: only what it really does, with its true values, under the names that tools look for. */
export function brokerConfigEntries(broker: Broker, advertised: { host: string; port: number }): ConfigEntry[] {
  const entries = [...fixedEntries(broker, advertised), ...dynamicEntries(broker)]
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function dynamicEntries(broker: Broker): ConfigEntry[] {
  return Array.from(dynamicBrokerKeys, ([name, key]) => {
    const found = synonyms(broker, name, key)
    const { value, source } = found[0] ?? { value: null, source: configSources.default }
    const doc = 'topicKey' in key ? key.topicKey.doc : runtimeSettings[key.runtime].doc
    return { name, type: key.type, value, source, readOnly: false, synonyms: found, doc }
  })
}

function synonyms(broker: Broker, name: string, key: DynamicKey): ConfigEntry['synonyms'] {
  const overrides = (scope: OverrideScope) => broker.topics.overrides(scope)
  if ('topicKey' in key) return synonymsOf(key.topicKey, overrides)
  const set = (['broker', 'cluster'] as const).flatMap(scope => {
    const value = overrides(scope).get(key.runtime)
    return value === undefined ? [] : [{ name, value, source: configSources[scope] }]
  })
  return [...set, { name, value: String(broker.limits[key.runtime]), source: configSources.staticBroker }]
}

type FixedRow = readonly [name: string, type: ConfigType, value: string | number | boolean, doc: string]

function fixedEntries(broker: Broker, advertised: { host: string; port: number }): ConfigEntry[] {
  const given = [...ownRows(broker, advertised), ...groupRows(broker)]
  return [
    ...given.map(row => fixedEntry(row, configSources.staticBroker)),
    ...defaultRows.map(row => fixedEntry(row, configSources.default)),
  ]
}

function fixedEntry([name, type, given, doc]: FixedRow, source: number): ConfigEntry {
  const value = String(given)
  return { name, type, value, source, readOnly: true, synonyms: [{ name, value, source }], doc }
}

const defaultRows: readonly FixedRow[] = [
  ['log.retention.hours', 'int', 168, 'The default of log.retention.ms, in hours.'],
  ['unclean.leader.election.enable', 'boolean', false, 'There is one copy of each partition, and no election.'],
]

function ownRows(
  { limits, topics, transactions, brokerId, volume }: Broker,
  { host, port }: { host: string; port: number },
): FixedRow[] {
  return [
    ['advertised.listeners', 'list', `PLAINTEXT://${host}:${port}`, 'Where clients reach this broker.'],
    ['auto.create.topics.enable', 'boolean', topics.autoCreate, 'Whether asking for a topic creates it.'],
    ['broker.id', 'int', brokerId, 'The id of this broker.'],
    ['default.replication.factor', 'int', 1, 'Copies of each partition.'],
    ['delete.topic.enable', 'boolean', true, 'Whether topics can be deleted.'],
    ['log.dirs', 'string', volume.name, 'Where the data is.'],
    [
      'max.incremental.fetch.session.cache.slots',
      'int',
      limits.fetchSessionsMax,
      'Most incremental fetch sessions at a time.',
    ],
    ['node.id', 'int', brokerId, 'The id of this broker.'],
    [
      'num.partitions',
      'int',
      topics.partitionsDefault,
      'Partitions of a topic that is created without saying how many.',
    ],
    ['process.roles', 'list', 'broker,controller', 'This broker is its own controller.'],
    ['socket.request.max.bytes', 'int', limits.frameBytesMax, 'Most bytes of a request.'],
    [
      'transaction.max.timeout.ms',
      'int',
      transactions.settings.timeoutMaxMs,
      'Longest time-out that a transactional producer may choose, in milliseconds.',
    ],
    [
      'transactional.id.expiration.ms',
      'int',
      transactions.settings.idExpirationMs,
      'Milliseconds after which a transactional id that nobody has used is forgotten.',
    ],
  ]
}

function groupRows({ groups: { settings }, limits }: Broker): FixedRow[] {
  const beat = 'Milliseconds between signs of life of members to which the broker assigns'
  const silence = 'Milliseconds without a sign of life until a member to which the broker assigns is removed'
  const session = 'session time-out that members which assign among themselves may choose, in milliseconds.'
  return [
    ['group.consumer.heartbeat.interval.ms', 'int', settings.heartbeatIntervalMs, `${beat}.`],
    ['group.consumer.max.heartbeat.interval.ms', 'int', settings.heartbeatIntervalMaxMs, `${beat}, at most.`],
    ['group.consumer.max.session.timeout.ms', 'int', settings.assignedSessionTimeoutMaxMs, `${silence}, at most.`],
    ['group.consumer.max.size', 'int', limits.groupMembersMax, 'Most members of such a group.'],
    ['group.consumer.min.heartbeat.interval.ms', 'int', settings.heartbeatIntervalMinMs, `${beat}, at least.`],
    ['group.consumer.min.session.timeout.ms', 'int', settings.assignedSessionTimeoutMinMs, `${silence}, at least.`],
    ['group.consumer.session.timeout.ms', 'int', settings.assignedSessionTimeoutMs, `${silence}.`],
    [
      'group.initial.rebalance.delay.ms',
      'int',
      settings.initialRebalanceDelayMs,
      'Milliseconds that an empty group waits for more members.',
    ],
    ['group.max.session.timeout.ms', 'int', settings.sessionTimeoutMaxMs, `Longest ${session}`],
    ['group.max.size', 'int', limits.groupMembersMax, 'Most members of a consumer group.'],
    ['group.min.session.timeout.ms', 'int', settings.sessionTimeoutMinMs, `Shortest ${session}`],
    [
      'offset.metadata.max.bytes',
      'int',
      limits.offsetMetadataBytesMax,
      'Most bytes of metadata with a committed offset.',
    ],
    [
      'offsets.retention.minutes',
      'int',
      settings.offsetsRetentionMs / 60_000,
      'Minutes that offsets outlive the last member of their group.',
    ],
  ]
}

/** The broker's keys for the documentation, in Markdown: those that can be changed, and why others cannot. */
export function brokerConfigTable(): string {
  const rows = Array.from(dynamicBrokerKeys, ([name, key]) => {
    const value = 'topicKey' in key ? `\`${key.topicKey.default}\`` : ''
    const doc = 'topicKey' in key ? key.topicKey.doc : runtimeSettings[key.runtime].doc
    return `| \`${name}\` | ${key.type} | ${value} | ${doc} |`
  })
  const refused = refusedKeys.map(([names, because]) => `| \`${names.source.replaceAll('|', '\\|')}\` | ${because} |`)
  return [
    'These can be changed while the broker runs, for it alone or for all brokers, and take effect at once:',
    '',
    '| key | type | default | here |',
    '|---|---|---|---|',
    ...rows.sort(),
    '',
    'These are refused, by the beginning or part of their names, as they would change nothing:',
    '',
    '| keys (regular expression) | because |',
    '|---|---|',
    ...refused,
    '',
    'What is given by options when the broker starts is described with its true values, as read-only. All else is unknown, and refused.',
    '',
  ].join('\n')
}
