import type { Broker, Topic } from '../../core/broker.ts'
import { BrokerError } from '../../core/errors.ts'
import { quote } from '../../core/names.ts'
import { hintPrefix, topicSettings, type SettingName } from '../../core/topic-config.ts'

/** `ConfigDef.Type` as DescribeConfigs numbers it. */
export const configTypes = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 } as const
export type ConfigType = keyof typeof configTypes

/** Where a value comes from, as DescribeConfigs numbers it. */
const configSources = { topic: 1, staticBroker: 4, default: 5 } as const

/** `ConfigResource.Type`: what can have a configuration. */
export const resourceTypes = { topic: 2, broker: 4, logger: 8, clientMetrics: 16, group: 32 } as const

/** A topic's configuration key as Kafka 4.2 has it. */
export interface TopicConfigKey {
  readonly type: ConfigType
  /** The broker's key that gives the default. */
  readonly synonym?: string
  /** The neutral setting behind it; without one, it is stored as a hint that only Kafka's tools see. */
  readonly setting?: SettingName
  readonly default: string
  readonly doc: string
  /** What is wrong with a normalised value, or undefined. Settings are checked by the core. */
  readonly problem?: (value: string) => string | undefined
}

const longMax = 2n ** 63n - 1n
const intMax = 2n ** 31n - 1n
const noTiers = 'there is no tiered storage'
const oneCopy = 'there is one copy of each partition'
const flushes =
  'It has no effect: the durability option of the broker decides; by default a record is synced before it is acknowledged.'
const ownFormat = 'It has no effect: records are not stored in a file for each partition.'

/** Words that differ between Kafka and the core; all other values are the same text. */
const words: Partial<Record<SettingName, readonly (readonly [theirs: string, ours: string])[]>> = {
  timestampType: [
    ['CreateTime', 'create'],
    ['LogAppendTime', 'append'],
  ],
}

/**
 * Every topic configuration of Kafka 4.2. A key is one of three things:
 * a setting that the broker obeys; a hint, of which every value is satisfied or moot here, kept so that tools read back
 * what they wrote; or fixed, where any other value would promise what the broker does not do and is refused.
 */
export const topicConfigKeys: Readonly<Record<string, TopicConfigKey>> = {
  'cleanup.policy': setting('cleanupPolicy', 'list', 'log.cleanup.policy'),
  'compression.gzip.level': hint('int', '-1', 'It has no effect: the broker does not compress.', gzipLevel),
  'compression.lz4.level': hint('int', '9', 'It has no effect: the broker does not compress.', integer(1n, 17n)),
  'compression.type': setting('compressionType', 'string', 'compression.type'),
  'compression.zstd.level': hint('int', '3', 'It has no effect: the broker does not compress.', integer(-131072n, 22n)),
  'delete.retention.ms': setting('deleteRetentionMs', 'long', 'log.cleaner.delete.retention.ms'),
  'file.delete.delay.ms': hint('long', '60000', ownFormat, integer(0n, longMax), 'log.segment.delete.delay.ms'),
  'flush.messages': hint('long', String(longMax), flushes, integer(1n, longMax), 'log.flush.interval.messages'),
  'flush.ms': hint('long', String(longMax), flushes, integer(0n, longMax), 'log.flush.interval.ms'),
  'follower.replication.throttled.replicas': fixed('list', '', oneCopy),
  'index.interval.bytes': hint('int', '4096', ownFormat, integer(0n, intMax), 'log.index.interval.bytes'),
  'leader.replication.throttled.replicas': fixed('list', '', oneCopy),
  'local.retention.bytes': fixed('long', '-2', noTiers, 'log.local.retention.bytes'),
  'local.retention.ms': fixed('long', '-2', noTiers, 'log.local.retention.ms'),
  'max.compaction.lag.ms': setting('compactionLagMaxMs', 'long', 'log.cleaner.max.compaction.lag.ms'),
  'max.message.bytes': setting('messageBytesMax', 'int', 'message.max.bytes'),
  'message.timestamp.after.max.ms': setting('timestampAfterMaxMs', 'long', 'log.message.timestamp.after.max.ms'),
  'message.timestamp.before.max.ms': setting('timestampBeforeMaxMs', 'long', 'log.message.timestamp.before.max.ms'),
  'message.timestamp.type': setting('timestampType', 'string', 'log.message.timestamp.type'),
  'min.cleanable.dirty.ratio': setting('dirtyRatioMin', 'double', 'log.cleaner.min.cleanable.ratio'),
  'min.compaction.lag.ms': setting('compactionLagMinMs', 'long', 'log.cleaner.min.compaction.lag.ms'),
  'min.insync.replicas': setting('minInsyncReplicas', 'int', 'min.insync.replicas'),
  preallocate: hint('boolean', 'false', ownFormat, bool, 'log.preallocate'),
  'remote.log.copy.disable': fixed('boolean', 'false', noTiers),
  'remote.log.delete.on.disable': fixed('boolean', 'false', noTiers),
  'remote.storage.enable': fixed('boolean', 'false', noTiers),
  'retention.bytes': setting('retentionBytes', 'long', 'log.retention.bytes'),
  'retention.ms': setting('retentionMs', 'long', 'log.retention.ms'),
  'segment.bytes': hint('int', '1073741824', ownFormat, integer(14n, intMax), 'log.segment.bytes'),
  'segment.index.bytes': hint('int', '10485760', ownFormat, integer(4n, intMax), 'log.index.size.max.bytes'),
  'segment.jitter.ms': hint('long', '0', ownFormat, integer(0n, longMax), 'log.roll.jitter.ms'),
  'segment.ms': hint('long', '604800000', ownFormat, integer(1n, longMax), 'log.roll.ms'),
  'unclean.leader.election.enable': hint(
    'boolean',
    'false',
    'It has no effect: there is one copy of each partition, and no election.',
    bool,
    'unclean.leader.election.enable',
  ),
}

/** The stored key and value of a Kafka key and value. Throws `BrokerError` `config-invalid` in words that name the key. */
export function toStored(name: string, value: string): [key: string, value: string] {
  const key = topicConfigKey(name)
  const normal = normalised(key.type, value)
  const problem = key.setting === undefined ? key.problem?.(normal) : settingProblem(key.setting, normal)
  if (problem !== undefined) throw new BrokerError('config-invalid', `${name} ${problem}`)
  if (key.setting === undefined) return [hintPrefix + name, normal]
  return [key.setting, toOurs(key.setting, normal)]
}

/** The key under which a Kafka key is stored. */
export function storedKey(name: string): string {
  return topicConfigKey(name).setting ?? hintPrefix + name
}

/** Throws `BrokerError` `config-invalid` for what is not a topic configuration of Kafka 4.2. */
export function topicConfigKey(name: string): TopicConfigKey {
  const key = Object.hasOwn(topicConfigKeys, name) ? topicConfigKeys[name] : undefined
  if (key === undefined) throw new BrokerError('config-invalid', `Unknown topic config name: ${quote(name)}`)
  return key
}

/** The stored configuration that the keys and values of a request mean. Throws `BrokerError`. */
export function readTopicConfig(entries: readonly { name: string; value: string | null }[]): Map<string, string> {
  const config = new Map<string, string>()
  for (const { name, value } of entries) {
    if (value === null) throw new BrokerError('config-invalid', `${quote(name)} needs a value`)
    config.set(...toStored(name, value))
  }
  return config
}

/** A value as Kafka's tools show it, whether set or default. */
export function topicConfigValue(topic: Pick<Topic, 'config'>, name: string): { value: string; isSet: boolean } {
  const key = topicConfigKey(name)
  const stored = topic.config.get(key.setting ?? hintPrefix + name)
  if (stored === undefined) return { value: key.default, isSet: false }
  return { value: key.setting === undefined ? stored : toTheirs(key.setting, stored), isSet: true }
}

/** One row of a described configuration. */
export interface ConfigEntry {
  readonly name: string
  readonly type: ConfigType
  readonly value: string
  readonly source: number
  readonly readOnly: boolean
  /** Where the value could come from, the winner first. */
  readonly synonyms: readonly { name: string; value: string; source: number }[]
  readonly doc: string
}

/** The whole configuration of a topic, set or default. */
export function topicConfigEntries(topic: Pick<Topic, 'config'>): ConfigEntry[] {
  return Object.entries(topicConfigKeys).map(([name, key]) => {
    const { value, isSet } = topicConfigValue(topic, name)
    const source = isSet ? configSources.topic : configSources.default
    const synonyms = isSet ? [{ name, value, source }] : []
    if (key.synonym !== undefined)
      synonyms.push({ name: key.synonym, value: key.default, source: configSources.default })
    return { name, type: key.type, value, source, readOnly: false, synonyms, doc: key.doc }
  })
}

/** The table of `topicConfigKeys` for the documentation, in Markdown. */
export function topicConfigTable(): string {
  const rows = Object.entries(topicConfigKeys).map(([name, key]) => {
    const value = key.default === '' ? '' : `\`${key.default}\``
    return `| \`${name}\` | ${key.type} | ${value} | ${key.doc} |`
  })
  return ['| key | type | default | here |', '|---|---|---|---|', ...rows, ''].join('\n')
}

/** What the broker tells about itself: only what it really does, with its true values, under the names that tools look for. */
export function brokerConfigEntries(broker: Broker, advertised: { host: string; port: number }): ConfigEntry[] {
  const { limits, topics, brokerId } = broker
  const entries: ConfigEntry[] = []
  const add = (
    name: string,
    type: ConfigType,
    value: string | number | boolean,
    doc: string,
    source: number = configSources.staticBroker,
  ) => {
    const text = String(value)
    entries.push({ name, type, value: text, source, readOnly: true, synonyms: [{ name, value: text, source }], doc })
  }
  add(
    'advertised.listeners',
    'list',
    `PLAINTEXT://${advertised.host}:${advertised.port}`,
    'Where clients reach this broker.',
  )
  add('auto.create.topics.enable', 'boolean', topics.autoCreate, 'Whether asking for a topic creates it.')
  add('broker.id', 'int', brokerId, 'The id of this broker.')
  add('default.replication.factor', 'int', 1, 'Copies of each partition.')
  add('delete.topic.enable', 'boolean', true, 'Whether topics can be deleted.')
  add('group.max.size', 'int', limits.groupMembersMax, 'Most members of a consumer group.')
  add('max.connections', 'int', limits.connectionsMax, 'Most connections at a time.')
  add(
    'max.incremental.fetch.session.cache.slots',
    'int',
    limits.fetchSessionsMax,
    'Most incremental fetch sessions at a time.',
  )
  add('node.id', 'int', brokerId, 'The id of this broker.')
  add(
    'num.partitions',
    'int',
    topics.partitionsDefault,
    'Partitions of a topic that is created without saying how many.',
  )
  add(
    'offset.metadata.max.bytes',
    'int',
    limits.offsetMetadataBytesMax,
    'Most bytes of metadata with a committed offset.',
  )
  add('socket.request.max.bytes', 'int', limits.frameBytesMax, 'Most bytes of a request.')
  add('unclean.leader.election.enable', 'boolean', false, 'There is one copy of each partition, and no election.')
  for (const { setting, synonym, type, default: value, doc } of Object.values(topicConfigKeys)) {
    if (setting !== undefined && synonym !== undefined) add(synonym, type, value, doc, configSources.default)
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function setting(name: SettingName, type: ConfigType, synonym: string): TopicConfigKey {
  const { default: value, doc } = topicSettings[name]
  return { type, synonym, setting: name, default: toTheirs(name, value), doc: inTheirWords(name, doc) }
}

function hint(
  type: ConfigType,
  value: string,
  doc: string,
  problem: (value: string) => string | undefined,
  synonym?: string,
): TopicConfigKey {
  return { type, default: value, doc, problem, ...(synonym === undefined ? {} : { synonym }) }
}

function fixed(type: ConfigType, value: string, because: string, synonym?: string): TopicConfigKey {
  const wanted = `takes only ${quote(value)}`
  const problem = (given: string) => (given === value ? undefined : `${wanted}, not ${quote(given)}: ${because}`)
  return hint(type, value, `Takes no other value: ${because}.`, problem, synonym)
}

function settingProblem(name: SettingName, theirs: string): string | undefined {
  const translated = words[name]
  if (translated === undefined) return topicSettings[name].problem(theirs)
  if (translated.some(([word]) => word === theirs)) return undefined
  return `takes ${translated.map(([word]) => word).join(' or ')}, not ${quote(theirs)}`
}

function toOurs(name: SettingName, theirs: string): string {
  return words[name]?.find(([word]) => word === theirs)?.[1] ?? theirs
}

function toTheirs(name: SettingName, ours: string): string {
  return words[name]?.find(([, word]) => word === ours)?.[0] ?? ours
}

function inTheirWords(name: SettingName, doc: string): string {
  return (words[name] ?? []).reduce((text, [theirs, ours]) => text.replace(`(${ours})`, `(${theirs})`), doc)
}

/** The value as Kafka's own parser would understand it: white space, signs, leading zeros and letter case do not matter. */
function normalised(type: ConfigType, value: string): string {
  const text = value.trim()
  if (type === 'boolean') return text.toLowerCase()
  if ((type === 'int' || type === 'long') && /^[+-]?[0-9]{1,19}$/.test(text))
    return String(BigInt(text.replace('+', '')))
  if (type === 'list') return [...new Set(listOf(text))].join(',')
  return text
}

/** The entries of a list value. */
export function listOf(value: string): string[] {
  return value
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
}

function integer(min: bigint, max: bigint): (value: string) => string | undefined {
  return value => {
    if (/^-?[0-9]+$/.test(value) && BigInt(value) >= min && BigInt(value) <= max) return undefined
    return `takes an integer from ${min} to ${max}, not ${quote(value)}`
  }
}

function gzipLevel(value: string): string | undefined {
  return value === '0' ? 'takes -1 or an integer from 1 to 9, not "0"' : integer(-1n, 9n)(value)
}

function bool(value: string): string | undefined {
  return value === 'true' || value === 'false' ? undefined : `takes true or false, not ${quote(value)}`
}
