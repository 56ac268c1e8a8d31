import { hintPrefix, hintText, hintValue, keepStrange, strangeArguments } from '../hints.ts'
import type { Header, HeaderValue } from '../message.ts'

/**
 * Queues as they are declared with arguments: names that begin with `x-`, and values that have types. Each stands for a setting of queues, or of
 * topics where the queue is to keep what was consumed (`stream`); those that mean nothing here are kept as hints.
 */
export const queueTypes = ['classic', 'quorum', 'stream'] as const
export type QueueType = (typeof queueTypes)[number]

/** What is wrong with an argument. */
export interface ArgumentProblem {
  readonly name: string
  readonly text: string
}

type Arguments = ReadonlyMap<string, HeaderValue>

interface Row {
  /** Of queues; undefined: a hint. */
  readonly setting?: string
  /** Of topics; undefined: a hint, or nothing that a stream can be given. */
  readonly topicSetting?: string
  /** What is wrong with the value, or undefined. */
  readonly problem: (value: HeaderValue, all: Arguments) => string | undefined
  /** The text of the setting; undefined: as if it was not given. */
  readonly write?: (value: HeaderValue) => string | undefined
  readonly read?: (text: string) => HeaderValue
  /** Which types of queues take it; all, when absent. */
  readonly types?: readonly QueueType[]
}

const integerMax = 2n ** 32n - 1n
const priorityMax = 255n
const held: readonly QueueType[] = ['classic', 'quorum']

const typeName = (value: HeaderValue): string => {
  if (value === null) return 'void'
  if (typeof value === 'bigint') return 'an integer'
  if (typeof value === 'number') return 'a double'
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'boolean') return 'a boolean'
  return 'a value of another type'
}

const integer =
  (least: bigint, most = integerMax) =>
  (value: HeaderValue): string | undefined => {
    if (typeof value !== 'bigint') return `expected an integer, got ${typeName(value)}`
    if (value < least) return least > 0n && value === 0n ? 'value_zero' : `value_negative: ${value}`
    return value > most ? `value_too_large: ${value}, the greatest is ${most}` : undefined
  }
const text = (value: HeaderValue): string | undefined =>
  typeof value === 'string' ? undefined : `expected a string, got ${typeName(value)}`
const boolean = (value: HeaderValue): string | undefined =>
  typeof value === 'boolean' ? undefined : `expected a boolean, got ${typeName(value)}`
const oneOf =
  (...words: string[]) =>
  (value: HeaderValue): string | undefined =>
    typeof value === 'string' && words.includes(value)
      ? undefined
      : `expected one of ${words.join(', ')}, got ${typeof value === 'string' ? `'${value}'` : typeName(value)}`

const asInteger = (given: string): HeaderValue => BigInt(given)
const numeric = { write: String, read: asInteger }
const textual = { write: String, read: (given: string): HeaderValue => given }

/** In the order in which differences are told. */
const rows: Readonly<Record<string, Row>> = {
  'x-queue-type': {
    problem: oneOf(...queueTypes),
    // It is what a queue is of which nothing is said.
    write: value => (value === 'quorum' ? hintText(value) : undefined),
  },
  'x-expires': { setting: 'expires.ms', types: held, problem: integer(1n), ...numeric },
  'x-message-ttl': { setting: 'message.ttl.ms', types: held, problem: integer(0n), ...numeric },
  'x-dead-letter-exchange': { setting: 'dead.letter.exchange', types: held, problem: text, ...textual },
  'x-dead-letter-routing-key': {
    setting: 'dead.letter.key',
    types: held,
    problem: (value, all) =>
      text(value) ?? (all.has('x-dead-letter-exchange') ? undefined : 'routing_key_but_no_dlx_defined'),
    ...textual,
  },
  'x-dead-letter-strategy': {
    setting: 'dead.letter.strategy',
    types: held,
    problem: oneOf('at-most-once', 'at-least-once'),
    ...textual,
  },
  'x-max-length': { setting: 'length.max', types: held, problem: integer(0n, 2n ** 53n), ...numeric },
  'x-max-length-bytes': {
    setting: 'bytes.max',
    topicSetting: 'retentionBytes',
    problem: integer(0n, 2n ** 53n),
    ...numeric,
  },
  'x-max-priority': { setting: 'priority.max', types: ['classic'], problem: integer(0n, priorityMax), ...numeric },
  'x-overflow': {
    setting: 'overflow',
    types: held,
    problem: oneOf('drop-head', 'reject-publish', 'reject-publish-dlx'),
    ...textual,
  },
  'x-single-active-consumer': {
    setting: 'single.active.consumer',
    types: held,
    problem: boolean,
    write: String,
    read: given => given === 'true',
  },
  'x-delivery-limit': {
    setting: 'delivery.limit',
    types: held,
    problem: integer(-1n, 2n ** 31n),
    // So often it may come back: it is given out once more than that. -1: there is no limit.
    write: value => (value === -1n ? undefined : String((value as bigint) + 1n)),
    read: given => BigInt(given) - 1n,
  },
  'x-max-age': {
    topicSetting: 'retentionMs',
    types: ['stream'],
    problem: value => text(value) ?? (ageMs(String(value)) === undefined ? 'invalid_max_age' : undefined),
    write: value => String(ageMs(String(value))),
    read: given => (given === '-1' ? '' : `${Math.ceil(Number(given) / 1000)}s`),
  },
  'x-queue-mode': { types: held, problem: oneOf('default', 'lazy') },
  'x-queue-version': { types: held, problem: integer(1n, 2n) },
  'x-max-in-memory-length': { types: held, problem: integer(0n) },
  'x-max-in-memory-bytes': { types: held, problem: integer(0n) },
  'x-quorum-initial-group-size': { types: held, problem: integer(1n) },
  'x-initial-cluster-size': { types: ['stream'], problem: integer(1n) },
  'x-stream-max-segment-size-bytes': { types: ['stream'], problem: integer(0n) },
  'x-stream-filter-size-bytes': { types: ['stream'], problem: integer(0n) },
  'x-queue-leader-locator': { problem: oneOf('client-local', 'balanced', 'random', 'least-leaders') },
  'x-queue-master-locator': { types: held, problem: text },
}

const ages: Readonly<Record<string, number>> = {
  Y: 365 * 86_400_000,
  M: 30 * 86_400_000,
  D: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
}

function ageMs(given: string): number | undefined {
  const [, count, unit = ''] = /^(\d{1,9})([YMDhms])$/.exec(given) ?? []
  const unitMs = ages[unit]
  return count === undefined || unitMs === undefined || Number(count) === 0 ? undefined : Number(count) * unitMs
}

/** The type that arguments ask for; classic, unless they say something else. */
export function queueTypeOf(given: readonly Header[]): QueueType {
  const value = given.findLast(({ name }) => name === 'x-queue-type')?.value
  return queueTypes.find(type => type === value) ?? 'classic'
}

/** The type of a queue with these settings. */
export function queueTypeIn(config: ReadonlyMap<string, string>): QueueType {
  return queueTypeOf(queueArguments(config))
}

/** The first argument with which a queue cannot be made. Names that are not known are passed over. */
export function argumentProblem(given: readonly Header[]): ArgumentProblem | undefined {
  const all: Arguments = new Map(given.map(({ name, value }) => [name, value]))
  const type = queueTypeOf(given)
  for (const [name, row] of Object.entries(rows)) {
    const value = all.get(name)
    if (value === undefined) continue
    const problem = row.types?.includes(type) === false ? `a queue of type ${type} does not take it` : undefined
    const found = row.problem(value, all) ?? problem
    if (found !== undefined) return { name, text: found }
  }
  return undefined
}

/** Settings of a queue, from arguments without a problem. */
export function queueSettings(given: readonly Header[]): Map<string, string> {
  return settingsOf(given, ({ setting }) => setting)
}

/** Settings of the topic that a queue of type `stream` is. What no argument bounds is kept for ever. */
export function topicSettings(given: readonly Header[]): Map<string, string> {
  return new Map([['retentionMs', '-1'], ...settingsOf(given, ({ topicSetting }) => topicSetting)])
}

function settingsOf(given: readonly Header[], settingOf: (row: Row) => string | undefined): Map<string, string> {
  const settings = new Map<string, string>()
  for (const { name, value } of given) {
    const row = isKnown(name) ? rows[name] : undefined
    if (!row) {
      keepStrange(settings, { name, value })
      continue
    }
    const written = row.write ? row.write(value) : hintText(value)
    if (written !== undefined) settings.set(settingOf(row) ?? `${hintPrefix}${name}`, written)
  }
  return settings
}

/** The arguments that give these settings of a queue, in a fixed order. */
export function queueArguments(config: ReadonlyMap<string, string>): Header[] {
  return argumentsOf(config, ({ setting }) => setting)
}

export function topicArguments(config: ReadonlyMap<string, string>): Header[] {
  const found = argumentsOf(config, ({ topicSetting }) => topicSetting)
  const bounds = found.filter(
    ({ name, value }) => !(name === 'x-max-age' && config.get('retentionMs') === '-1') && value !== -1n,
  )
  return [{ name: 'x-queue-type', value: 'stream' }, ...bounds]
}

function argumentsOf(config: ReadonlyMap<string, string>, settingOf: (row: Row) => string | undefined): Header[] {
  const found: Header[] = []
  for (const [name, row] of Object.entries(rows)) {
    const given = config.get(settingOf(row) ?? `${hintPrefix}${name}`)
    if (given === undefined) continue
    found.push({ name, value: row.read ? row.read(given) : hintValue(given) })
  }
  return [...found, ...strangeArguments(config, isKnown)]
}

const isKnown = (name: string): boolean => Object.hasOwn(rows, name)

/** The first argument in which two lists differ, with both values; undefined values are those that are not given. */
export function argumentDifference(
  one: readonly Header[],
  other: readonly Header[],
): { name: string; values: [HeaderValue | undefined, HeaderValue | undefined] } | undefined {
  const [a, b] = [one, other].map(list => new Map(list.map(({ name, value }) => [name, value])))
  for (const name of Object.keys(rows)) {
    const values: [HeaderValue | undefined, HeaderValue | undefined] = [a?.get(name), b?.get(name)]
    if (values[0] !== values[1]) return { name, values }
  }
  return undefined
}
