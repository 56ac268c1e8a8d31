import type { ReadFrom } from '../../core/reading/log-reader.ts'
import { AmqpException } from './errors.ts'
import { hubValue } from './mapping.ts'
import { fieldOf, type Field, type FieldValue, type Table } from './table.ts'

/**
 * How clients of this protocol consume topics, which to them are queues of the type `stream`: by arguments of the consumer.
 */

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const unitMs = new Map([
  ['Y', 365 * dayMs],
  ['M', 30 * dayMs],
  ['D', dayMs],
  ['h', 60 * minuteMs],
  ['m', minuteMs],
  ['s', 1000],
])

/** `7D`, `12h`, … in milliseconds; undefined for anything else. */
function intervalMs(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,9})([YMDhms])$/.exec(text) ?? []
  const ms = unit === undefined ? undefined : unitMs.get(unit)
  return ms === undefined ? undefined : Number(digits) * ms
}

/** A whole number of any width; undefined for anything else. */
function integerOf(field: FieldValue): number | undefined {
  const value = hubValue(field)
  return typeof value === 'bigint' ? Number(value) : undefined
}

/** Where a consumer begins: `first`, `last`, `next` (also when it does not say), an offset, a time, or an interval before now. */
export function readFrom(args: Table, nowMs: number): ReadFrom {
  const field = fieldOf(args, 'x-stream-offset')
  if (!field) return 'next'
  if (field.type === 'T') return { timeMs: Number(field.value) * 1000 }
  const offset = integerOf(field)
  if (offset !== undefined && offset >= 0) return { offset }
  const text = field.type === 'S' ? String(field.value) : ''
  if (text === 'first' || text === 'last' || text === 'next') return text
  const ago = intervalMs(text)
  if (ago === undefined) throw invalid('x-stream-offset', field)
  return { timeMs: Math.max(0, nowMs - ago) }
}

/** The header by which a publisher says to whom a message may matter. */
export const filterHeader = 'x-stream-filter-value'

/** Which messages a consumer wants, by that header. Undefined: all. */
export function streamFilter(args: Table): ((value: string | undefined) => boolean) | undefined {
  const field = fieldOf(args, 'x-stream-filter')
  if (!field) return undefined
  const values = field.type === 'A' ? field.value : [field]
  const wanted = new Set<string>()
  for (const each of values) {
    if (each.type !== 'S') throw invalid('x-stream-filter', field)
    wanted.add(String(each.value))
  }
  const unmatched = fieldOf(args, 'x-stream-match-unfiltered')
  const isLoose = unmatched?.type === 't' && unmatched.value
  return value => (value === undefined ? isLoose : wanted.has(value))
}

/** The group through which a consumer shares a topic with others; undefined: it reads by itself. */
export function groupOf(args: Table): string | undefined {
  const field = fieldOf(args, 'x-group')
  if (!field) return undefined
  const name = field.type === 'S' ? String(field.value) : ''
  if (name === '') throw invalid('x-group', field)
  return name
}

/** Where what a group gives up is to go; undefined: nowhere. */
export function deadLettersOf(args: Table): { exchange: string; key: string | undefined } | undefined {
  const exchange = fieldOf(args, 'x-dead-letter-exchange')
  const key = fieldOf(args, 'x-dead-letter-routing-key')
  if (exchange && exchange.type !== 'S') throw invalid('x-dead-letter-exchange', exchange)
  if (key && (key.type !== 'S' || !exchange)) throw invalid('x-dead-letter-routing-key', key)
  return exchange && { exchange: String(exchange.value), key: key && String(key.value) }
}

function invalid(argument: string, { type, value }: Field): AmqpException {
  const shown = type === 'F' || type === 'A' ? 'a table' : `'${String(value)}'`
  return new AmqpException('preconditionFailed', `invalid arg '${argument}': ${shown}`)
}
