import { BrokerError } from '../errors.ts'
import { checkHints, hintPrefix } from '../hints.ts'
import { quote } from '../names.ts'

/** How a queue behaves. */
export interface QueueConfig {
  /** Deliveries after which a message is dropped instead of returned; 0: never. */
  readonly deliveryLimit: number
  /** Milliseconds after which a message that nobody has taken is dropped; -1: never. */
  readonly messageTtlMs: number
  /** Messages that may wait; -1: as many as the disk holds. */
  readonly lengthMax: number
  /** Bytes of the bodies of messages that may wait; -1: as many as the disk holds. */
  readonly bytesMax: number
  /** What happens beyond that: the oldest that waits is dropped, or the newest is refused; `reject-publish-dlx` dead-letters what is refused. */
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  /** Where messages go that are dropped: an exchange, the empty string for the default one; undefined: nowhere. */
  readonly deadLetterExchange: string | undefined
  /** By which key; undefined: by their own. */
  readonly deadLetterKey: string | undefined
  /** Either way, what is dropped leaves the queue in the block that brings it to its targets. */
  readonly deadLetterStrategy: 'at-most-once' | 'at-least-once'
  /** Milliseconds after which the queue goes when nobody uses it; -1: it stays. */
  readonly expiresMs: number
  /** Only one consumer at a time is given messages; the others stand by. */
  readonly singleActiveConsumer: boolean
  /** Messages of higher priorities go first, up to this one; 0: all are equal. */
  readonly priorityMax: number
  /** Messages whose publishers do not ask for them to be kept are left out. */
  readonly persistentOnly: boolean
  /** What a consumer was given, and came back, can become too old, too. */
  readonly deliveredExpire: boolean
}

/** Each priority that is used is a stream of its own. */
const priorityMost = 255

const count =
  (least: number, most = Infinity) =>
  (text: string) => {
    const value = Number(text)
    return /^-?\d{1,15}$/.test(text) && value >= least && value <= most ? value : undefined
  }
const text = (bytesMax: number) => (given: string) => (Buffer.byteLength(given) <= bytesMax ? given : undefined)
const oneOf =
  <T extends string>(...words: T[]) =>
  (text: string): T | undefined =>
    words.find(word => word === text)

const flag = {
  read: (text: string): boolean | undefined => (text === 'true' ? true : text === 'false' ? false : undefined),
  takes: 'true or false',
}

/** One row for each setting. The names are written to disk: never rename. `read` gives undefined for what is not allowed. */
const rows = {
  deliveryLimit: { name: 'delivery.limit', read: count(0), takes: '0 (no limit) or a number of deliveries' },
  messageTtlMs: { name: 'message.ttl.ms', read: count(-1), takes: '-1 (no limit) or milliseconds' },
  lengthMax: { name: 'length.max', read: count(-1), takes: '-1 (no limit) or a number of messages' },
  bytesMax: { name: 'bytes.max', read: count(-1), takes: '-1 (no limit) or a number of bytes' },
  overflow: {
    name: 'overflow',
    read: oneOf('drop-head', 'reject-publish', 'reject-publish-dlx'),
    takes: 'drop-head, reject-publish or reject-publish-dlx',
  },
  deadLetterExchange: { name: 'dead.letter.exchange', read: text(255), takes: 'the name of an exchange' },
  deadLetterKey: { name: 'dead.letter.key', read: text(255), takes: 'a routing key of at most 255 bytes' },
  deadLetterStrategy: {
    name: 'dead.letter.strategy',
    read: oneOf('at-most-once', 'at-least-once'),
    takes: 'at-most-once or at-least-once',
  },
  expiresMs: { name: 'expires.ms', read: count(-1), takes: '-1 (never) or milliseconds' },
  singleActiveConsumer: { name: 'single.active.consumer', ...flag },
  priorityMax: { name: 'priority.max', read: count(0, priorityMost), takes: '0 (no priorities) to 255' },
  persistentOnly: { name: 'persistent.only', ...flag },
  deliveredExpire: { name: 'delivered.expire', ...flag },
} as const

const rowsByName = new Map(Object.values(rows).map(row => [row.name as string, row]))

const defaults: QueueConfig = {
  deliveryLimit: 0,
  messageTtlMs: -1,
  lengthMax: -1,
  bytesMax: -1,
  overflow: 'drop-head',
  deadLetterExchange: undefined,
  deadLetterKey: undefined,
  deadLetterStrategy: 'at-most-once',
  expiresMs: -1,
  singleActiveConsumer: false,
  priorityMax: 0,
  persistentOnly: false,
  deliveredExpire: true,
}

/** The settings with their defaults. Throws `BrokerError` `config-invalid` for a name or a value that there is not. */
export function queueConfig(config: ReadonlyMap<string, string>): QueueConfig {
  checkHints(config)
  for (const [name, text] of config) {
    if (name.startsWith(hintPrefix)) continue
    const row = rowsByName.get(name)
    if (!row) throw new BrokerError('config-invalid', `queues have no setting ${quote(name)}`)
    if (row.read(text) === undefined) {
      throw new BrokerError('config-invalid', `${name} takes ${row.takes}, not ${quote(text)}`)
    }
  }
  const valueOf = <T>({ name, read }: { name: string; read: (text: string) => T | undefined }): T | undefined => {
    const text = config.get(name)
    return text === undefined ? undefined : read(text)
  }
  return {
    deliveryLimit: valueOf(rows.deliveryLimit) ?? defaults.deliveryLimit,
    messageTtlMs: valueOf(rows.messageTtlMs) ?? defaults.messageTtlMs,
    lengthMax: valueOf(rows.lengthMax) ?? defaults.lengthMax,
    bytesMax: valueOf(rows.bytesMax) ?? defaults.bytesMax,
    overflow: valueOf(rows.overflow) ?? defaults.overflow,
    deadLetterExchange: valueOf(rows.deadLetterExchange),
    deadLetterKey: valueOf(rows.deadLetterKey),
    deadLetterStrategy: valueOf(rows.deadLetterStrategy) ?? defaults.deadLetterStrategy,
    expiresMs: valueOf(rows.expiresMs) ?? defaults.expiresMs,
    singleActiveConsumer: valueOf(rows.singleActiveConsumer) ?? defaults.singleActiveConsumer,
    priorityMax: valueOf(rows.priorityMax) ?? defaults.priorityMax,
    persistentOnly: valueOf(rows.persistentOnly) ?? defaults.persistentOnly,
    deliveredExpire: valueOf(rows.deliveredExpire) ?? defaults.deliveredExpire,
  }
}

/** The first setting in which two configurations differ, with both values; undefined when there is none. */
export function differenceOf(
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
): { name: string; values: [unknown, unknown] } | undefined {
  const [one, other] = [queueConfig(a), queueConfig(b)]
  for (const key of Object.keys(rows) as (keyof typeof rows)[]) {
    if (one[key] !== other[key]) return { name: rows[key].name, values: [one[key], other[key]] }
  }
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    if (name.startsWith(hintPrefix) && a.get(name) !== b.get(name)) return { name, values: [a.get(name), b.get(name)] }
  }
  return undefined
}
