import type { Topic } from '../../core/broker.ts'
import type { OverrideScope } from '../../core/directory.ts'
import { BrokerError } from '../../core/errors.ts'
import { quote } from '../../core/names.ts'
import { hintPrefix, topicSettings, type SettingName } from '../../core/topic-config.ts'

/** `ConfigDef.Type` as DescribeConfigs numbers it. */
export const configTypes = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 } as const
export type ConfigType = keyof typeof configTypes

/** Where a value comes from, as DescribeConfigs numbers it. */
export const configSources = { topic: 1, broker: 2, cluster: 3, staticBroker: 4, default: 5, group: 8 } as const

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
  'compression.gzip.level': hint(
    'int',
    '-1',
    'It has no effect: what the broker compresses, it compresses at the usual level.',
    gzipLevel,
    'compression.gzip.level',
  ),
  'compression.lz4.level': hint(
    'int',
    '9',
    'It has no effect: what the broker compresses, it compresses at the usual level.',
    integer(1n, 17n),
    'compression.lz4.level',
  ),
  'compression.type': setting('compressionType', 'string', 'compression.type'),
  'compression.zstd.level': hint(
    'int',
    '3',
    'It has no effect: what the broker compresses, it compresses at the usual level.',
    integer(-131072n, 22n),
    'compression.zstd.level',
  ),
  'delete.retention.ms': setting('deleteRetentionMs', 'long', 'log.cleaner.delete.retention.ms'),
  'file.delete.delay.ms': hint('long', '60000', ownFormat, integer(0n, longMax), 'log.segment.delete.delay.ms'),
  'flush.messages': hint('long', String(longMax), flushes, integer(1n, longMax), 'log.flush.interval.messages'),
  'flush.ms': hint('long', String(longMax), flushes, integer(0n, longMax)),
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
  'segment.bytes': hint('int', '1073741824', ownFormat, integer(1048576n, intMax), 'log.segment.bytes'),
  'segment.index.bytes': hint('int', '10485760', ownFormat, integer(4n, intMax), 'log.index.size.max.bytes'),
  'segment.jitter.ms': hint('long', '0', ownFormat, integer(0n, longMax)),
  'segment.ms': hint('long', '604800000', ownFormat, integer(1n, longMax)),
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
export function topicConfigValue(
  topic: Pick<Topic, 'config' | 'defaults'>,
  name: string,
): { value: string; isSet: boolean } {
  const key = topicConfigKey(name)
  const storedName = key.setting ?? hintPrefix + name
  const isSet = topic.config.has(storedName)
  const stored = topic.config.get(storedName) ?? topic.defaults?.get(storedName)
  if (stored === undefined) return { value: key.default, isSet }
  return { value: key.setting === undefined ? stored : toTheirs(key.setting, stored), isSet }
}

/** One row of a described configuration. */
export interface ConfigEntry {
  readonly name: string
  readonly type: ConfigType
  readonly value: string | null
  readonly source: number
  readonly readOnly: boolean
  /** Where the value could come from, the winner first. */
  readonly synonyms: readonly ConfigSynonym[]
  readonly doc: string
}

export interface ConfigSynonym {
  readonly name: string
  readonly value: string
  readonly source: number
}

/** What is overridden for all topics, for this broker and for all; see `core/overrides.ts`. */
export type OverridesOf = (scope: OverrideScope) => ReadonlyMap<string, string>

/** The whole configuration of a topic: set, overridden for all topics, or default. */
export function topicConfigEntries(
  topic: Pick<Topic, 'config' | 'defaults'>,
  overrides: OverridesOf = noOverrides,
): ConfigEntry[] {
  return Object.entries(topicConfigKeys).map(([name, key]) => {
    const { value, isSet } = topicConfigValue(topic, name)
    const synonyms = [...(isSet ? [{ name, value, source: configSources.topic }] : []), ...synonymsOf(key, overrides)]
    const source = synonyms[0]?.source ?? configSources.default
    const { type, doc } = key
    return { name, type, value, source, readOnly: false, synonyms, doc }
  })
}

const noOverrides: OverridesOf = () => new Map()

/** Where the broker's own value of a key could come from, the winner first. */
export function synonymsOf(key: TopicConfigKey, overrides: OverridesOf): ConfigSynonym[] {
  const { synonym: name, setting: of } = key
  if (name === undefined) return []
  const found: ConfigSynonym[] = []
  for (const scope of ['broker', 'cluster'] as const) {
    const stored = of === undefined ? undefined : overrides(scope).get(of)
    if (of !== undefined && stored !== undefined) {
      found.push({ name, value: toTheirs(of, stored), source: configSources[scope] })
    }
  }
  const source = configSources.default
  if (of !== 'retentionMs') return [...found, { name, value: key.default, source }]
  // The one key whose default has a name and a unit of its own: it is told as what else there would be.
  return found.length === 0 ? [] : [...found, { name: 'log.retention.hours', value: '168', source }]
}

/** The table of `topicConfigKeys` for the documentation, in Markdown. */
export function topicConfigTable(): string {
  const rows = Object.entries(topicConfigKeys).map(([name, key]) => {
    const value = key.default === '' ? '' : `\`${key.default}\``
    return `| \`${name}\` | ${key.type} | ${value} | ${key.doc} |`
  })
  return ['| key | type | default | here |', '|---|---|---|---|', ...rows, ''].join('\n')
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

export function settingProblem(name: SettingName, theirs: string): string | undefined {
  const translated = words[name]
  if (translated === undefined) return topicSettings[name].problem(theirs)
  if (translated.some(([word]) => word === theirs)) return undefined
  return `takes ${translated.map(([word]) => word).join(' or ')}, not ${quote(theirs)}`
}

export function toOurs(name: SettingName, theirs: string): string {
  return words[name]?.find(([word]) => word === theirs)?.[1] ?? theirs
}

export function toTheirs(name: SettingName, ours: string): string {
  return words[name]?.find(([, word]) => word === ours)?.[0] ?? ours
}

function inTheirWords(name: SettingName, doc: string): string {
  return (words[name] ?? []).reduce((text, [theirs, ours]) => text.replace(`(${ours})`, `(${theirs})`), doc)
}

/** The value as Kafka's own parser would understand it: white space, signs, leading zeros and letter case do not matter. */
export function normalised(type: ConfigType, value: string): string {
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
