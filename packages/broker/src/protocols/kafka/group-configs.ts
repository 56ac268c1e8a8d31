import { BrokerError } from '../../core/errors.ts'
import { groupConfigTable, groupSettingOf, type GroupSettingName } from '../../core/groups/group-config.ts'
import type { GroupSettings } from '../../core/groups/settings.ts'
import { quote } from '../../core/names.ts'
import { configSources, type ConfigEntry, type ConfigType } from './configs.ts'

interface GroupKey {
  readonly type: ConfigType
  readonly setting: GroupSettingName
  /** Kafka's word for a stored value, and back; undefined when there is none. */
  readonly toTheirs?: (ours: string) => string
  readonly toOurs?: (theirs: string) => string | undefined
}

const byDuration = 'by_duration:'
const isolation = 'read_'

/**
 * Every configuration of groups of Kafka 4.2 but those of streams groups, and the limit of deliveries, which newer ones have. Groups of consumers and of share consumers have
 * keys of their own for what is one setting here: a group is only ever one of both.
 */
export const groupConfigKeys: Readonly<Record<string, GroupKey>> = {
  'consumer.heartbeat.interval.ms': { type: 'int', setting: 'heartbeatIntervalMs' },
  'consumer.session.timeout.ms': { type: 'int', setting: 'sessionTimeoutMs' },
  'share.auto.offset.reset': {
    type: 'string',
    setting: 'shareStart',
    toTheirs: ours => (ours === 'earliest' || ours === 'latest' ? ours : byDuration + ours),
    toOurs: theirs => (theirs.startsWith(byDuration) ? theirs.slice(byDuration.length) : keyword(theirs)),
  },
  'share.delivery.count.limit': { type: 'int', setting: 'shareDeliveryLimit' },
  'share.heartbeat.interval.ms': { type: 'int', setting: 'heartbeatIntervalMs' },
  'share.isolation.level': {
    type: 'string',
    setting: 'shareIsolation',
    toTheirs: ours => isolation + ours,
    toOurs: theirs => (theirs.startsWith(isolation) ? theirs.slice(isolation.length) : undefined),
  },
  'share.record.lock.duration.ms': { type: 'int', setting: 'shareLockDurationMs' },
  'share.session.timeout.ms': { type: 'int', setting: 'sessionTimeoutMs' },
}

const keyword = (theirs: string): string | undefined =>
  theirs === 'earliest' || theirs === 'latest' ? theirs : undefined

/** Throws `BrokerError` `config-invalid` for what is not a configuration of groups here. */
export function groupConfigKey(name: string): GroupKey {
  const key = Object.hasOwn(groupConfigKeys, name) ? groupConfigKeys[name] : undefined
  if (key !== undefined) return key
  const detail = name.startsWith('streams.')
    ? `${name}: there are no streams groups`
    : `Unknown group config name: ${quote(name)}`
  throw new BrokerError('config-invalid', detail)
}

/** The stored value. Its bounds are checked by the core. Throws `BrokerError` `config-invalid`. */
export function toStoredGroup(name: string, { type, setting, toOurs }: GroupKey, value: string): string {
  const text = value.trim()
  if (type === 'int' && /^[+-]?[0-9]{1,19}$/.test(text)) return String(BigInt(text.replace('+', '')))
  const ours = toOurs === undefined ? text : toOurs(text)
  if (ours === undefined)
    throw new BrokerError('config-invalid', `${name}: ${quote(value)} is not a value of ${setting}`)
  return ours
}

/** The whole configuration of a group, set or default. */
export function groupConfigEntries(config: ReadonlyMap<string, string>, settings: GroupSettings): ConfigEntry[] {
  return Object.entries(groupConfigKeys).map(([name, { type, setting, toTheirs }]) => {
    const theirs = (ours: string): string => toTheirs?.(ours) ?? ours
    const value = theirs(groupSettingOf(config, setting, settings))
    const byDefault = {
      name,
      value: theirs(groupSettingOf(new Map(), setting, settings)),
      source: configSources.default,
    }
    const isSet = config.has(setting)
    const source = isSet ? configSources.group : configSources.default
    const synonyms = isSet ? [{ name, value, source }, byDefault] : [byDefault]
    return { name, type, value, source, readOnly: false, synonyms, doc: groupConfigTable[setting].doc }
  })
}

/** The table of `groupConfigKeys` for the documentation, in Markdown. */
export function groupConfigTableOf(settings: GroupSettings): string {
  const rows = groupConfigEntries(new Map(), settings).map(
    ({ name, type, value, doc }) => `| \`${name}\` | ${type} | \`${value}\` | ${doc} |`,
  )
  return ['| key | type | default | here |', '|---|---|---|---|', ...rows, ''].join('\n')
}
