import { compressionNames, type Compression } from '../storage/record-batch.ts'
import { BrokerError } from './errors.ts'
import { quote } from './names.ts'

/** What a topic's configuration means, defaults included. Numbers beyond 2^53 are rounded: they are bounds, never counted with. */
export interface TopicSettings {
  /** Records older than this may be removed; -1 keeps them. */
  readonly retentionMs: number
  /** Oldest records are removed while a partition holds more than this; -1 sets no bound. */
  readonly retentionBytes: number
  /** Greatest size of one record batch as it arrives. */
  readonly messageBytesMax: number
  /** What happens to old records: whether age and size decide, and whether newer records of the same key do. */
  readonly cleanupPolicy: { readonly deletes: boolean; readonly compacts: boolean }
  /** A partition is compacted when more than this share of its bytes has not been. */
  readonly dirtyRatioMin: number
  /** Records younger than this are not compacted. */
  readonly compactionLagMinMs: number
  /** Records older than this are compacted, however few they are. */
  readonly compactionLagMaxMs: number
  /** How long a record without a value is kept after the first compaction that met it. */
  readonly deleteRetentionMs: number
  /** Whose clock stamps the records: their producer's or the broker's at the append. */
  readonly timestampType: 'create' | 'append'
  /** How far a producer's timestamp may lie behind the broker's clock. */
  readonly timestampBeforeMaxMs: number
  /** How far a producer's timestamp may lie ahead of the broker's clock. */
  readonly timestampAfterMaxMs: number
  /** In which compression records are stored; undefined: in that of their producer. */
  readonly compressionType: Compression | undefined
  readonly minInsyncReplicas: 1
}

export type SettingName = keyof TopicSettings

export interface Setting {
  readonly default: string
  readonly kind: 'integer' | 'number' | 'word'
  /** One or two sentences for people, in the present tense. */
  readonly doc: string
  /** What is wrong with the value, or undefined. */
  readonly problem: (value: string) => string | undefined
}

const int64Max = 2n ** 63n - 1n

/**
 * Everything that a topic can be told, by its stored key. A value that would have no effect is refused, so that nobody
 * trusts in a promise that is not kept; see `hintPrefix` for the one exception.
 */
export const topicSettings = {
  retentionMs: {
    default: String(7 * 24 * 60 * 60 * 1000),
    kind: 'integer',
    doc: 'Milliseconds after which records may be removed, counted from their timestamp. -1 keeps them for ever.',
    problem: integer(-1n, int64Max),
  },
  retentionBytes: {
    default: '-1',
    kind: 'integer',
    doc: 'Bytes that each partition keeps; beyond them its oldest records are removed. -1 sets no bound.',
    problem: integer(-1n, int64Max),
  },
  messageBytesMax: {
    default: '1048588',
    kind: 'integer',
    doc: 'Greatest size in bytes of one record batch, compressed as it arrives.',
    problem: integer(0n, 2n ** 31n - 1n),
  },
  cleanupPolicy: {
    default: 'delete',
    kind: 'word',
    doc: 'What happens to old records: delete removes them by age and size, compact keeps the newest of each key, both do both, and nothing keeps all.',
    problem: oneOf(['delete', 'compact', 'compact,delete', 'delete,compact', '']),
  },
  dirtyRatioMin: {
    default: '0.5',
    kind: 'number',
    doc: 'A partition is compacted when more than this share of its bytes was added since it last was.',
    problem: ratio,
  },
  compactionLagMinMs: {
    default: '0',
    kind: 'integer',
    doc: 'Milliseconds for which a record stays as it is before it may be compacted, counted from its timestamp.',
    problem: integer(0n, int64Max),
  },
  compactionLagMaxMs: {
    default: String(int64Max),
    kind: 'integer',
    doc: 'Milliseconds after which a record is compacted even if little else has to be, counted from its timestamp.',
    problem: integer(1n, int64Max),
  },
  deleteRetentionMs: {
    default: String(24 * 60 * 60 * 1000),
    kind: 'integer',
    doc: 'Milliseconds for which a record without a value (a tombstone) is kept after the first compaction that met it.',
    problem: integer(0n, int64Max),
  },
  timestampType: {
    default: 'create',
    kind: 'word',
    doc: 'Whether records keep the timestamp of their producer (create) or get the time of their append (append).',
    problem: oneOf(['create', 'append']),
  },
  timestampBeforeMaxMs: {
    default: String(int64Max),
    kind: 'integer',
    doc: "Records whose producer's timestamp lies more milliseconds than this behind the broker's clock are refused.",
    problem: integer(0n, int64Max),
  },
  timestampAfterMaxMs: {
    default: String(60 * 60 * 1000),
    kind: 'integer',
    doc: "Records whose producer's timestamp lies more milliseconds than this ahead of the broker's clock are refused.",
    problem: integer(0n, int64Max),
  },
  compressionType: {
    default: 'producer',
    kind: 'word',
    doc: 'How records are stored: as their producer compressed them, which costs the broker nothing, or compressed anew when they come in another form.',
    problem: oneOf(['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd']),
  },
  minInsyncReplicas: {
    default: '1',
    kind: 'integer',
    doc: 'Copies that must be durable before a record is acknowledged. There is one.',
    problem: oneOf(['1'], 'there is one copy of each record'),
  },
} as const satisfies Record<SettingName, Setting>

/**
 * Keys that begin with this are kept for the tools that set them and read them back; they have no effect. Only a protocol
 * may write them, for settings of its own world that every value of is satisfied here, and it must say so when asked.
 */
export const hintPrefix = 'hint.'

/** Settings of one topic, hints included. */
export const settingCountMax = 64
const hintBytesMax = 1024

/** Throws `BrokerError` `config-invalid` that names the key and what it takes. */
export function checkTopicConfig(config: ReadonlyMap<string, string>): void {
  if (config.size > settingCountMax) {
    throw new BrokerError(
      'config-invalid',
      `${config.size} settings are more than the ${settingCountMax} that a topic can have`,
    )
  }
  for (const [name, value] of config) {
    const problem = settingProblem(name, value)
    if (problem !== undefined) throw new BrokerError('config-invalid', `${name}: ${problem}`)
  }
  const { compactionLagMinMs, compactionLagMaxMs } = readSettings({ config })
  if (compactionLagMinMs > compactionLagMaxMs) {
    const detail = `${compactionLagMinMs} ms is more than the greatest, ${compactionLagMaxMs} ms`
    throw new BrokerError('config-invalid', `the least lag of compaction, ${detail}`)
  }
}

/** What is wrong with a setting, or undefined. */
export function settingProblem(name: string, value: string): string | undefined {
  if (name.startsWith(hintPrefix)) {
    return name.length + value.length > hintBytesMax ? `longer than ${hintBytesMax} characters` : undefined
  }
  if (!isSettingName(name)) return 'there is no such setting'
  return topicSettings[name].problem(value)
}

const settingsOf = new WeakMap<TopicConfigs, TopicSettings>()

/** What a topic says, and what is set for all that do not. */
export interface TopicConfigs {
  readonly config: ReadonlyMap<string, string>
  readonly defaults?: ReadonlyMap<string, string> | undefined
}

/** The settings of a topic with the defaults filled in. Cheap: made once for each value of a topic. */
export function topicConfig(topic: TopicConfigs): TopicSettings {
  let settings = settingsOf.get(topic)
  if (settings === undefined) {
    settings = readSettings(topic)
    settingsOf.set(topic, settings)
  }
  return settings
}

/** The checked configuration as typed values. */
function readSettings({ config, defaults }: TopicConfigs): TopicSettings {
  const text = (name: SettingName) => config.get(name) ?? defaults?.get(name) ?? topicSettings[name].default
  const policies = text('cleanupPolicy').split(',')
  return {
    retentionMs: Number(text('retentionMs')),
    retentionBytes: Number(text('retentionBytes')),
    messageBytesMax: Number(text('messageBytesMax')),
    cleanupPolicy: { deletes: policies.includes('delete'), compacts: policies.includes('compact') },
    dirtyRatioMin: Number(text('dirtyRatioMin')),
    compactionLagMinMs: Number(text('compactionLagMinMs')),
    compactionLagMaxMs: Number(text('compactionLagMaxMs')),
    deleteRetentionMs: Number(text('deleteRetentionMs')),
    timestampType: text('timestampType') === 'append' ? 'append' : 'create',
    timestampBeforeMaxMs: Number(text('timestampBeforeMaxMs')),
    timestampAfterMaxMs: Number(text('timestampAfterMaxMs')),
    compressionType: compressionNames.find(name => name === text('compressionType').replace('uncompressed', 'none')),
    minInsyncReplicas: 1,
  }
}

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(topicSettings, name)
}

/** Accepts decimal integers between the bounds, written without leading zeros or a plus. */
function integer(min: bigint, max: bigint): (value: string) => string | undefined {
  return value => {
    const wanted = `takes an integer from ${min} to ${max}, not ${quote(value)}`
    if (!/^(0|-?[1-9][0-9]{0,18})$/.test(value)) return wanted
    const number = BigInt(value)
    return number < min || number > max ? wanted : undefined
  }
}

function ratio(value: string): string | undefined {
  const number = Number(value)
  const isRatio = /^[0-9.]+(e-?[0-9]+)?$/i.test(value) && number >= 0 && number <= 1
  return isRatio ? undefined : `takes a number from 0 to 1, not ${quote(value)}`
}

function oneOf(words: readonly string[], because?: string): (value: string) => string | undefined {
  const wanted = `takes ${words.map(word => `"${word}"`).join(' or ')}`
  const reason = because === undefined ? '' : `: ${because}`
  return value => (words.includes(value) ? undefined : `${wanted}, not ${quote(value)}${reason}`)
}
