import { keptCopy, Reader, Writer } from '@dragoman/wire'
import { BrokerError } from '../errors.ts'
import type { Header, HeaderValue } from '../message.ts'

/** Written to disk: never change. Integers are decimal text, so that none is too large. */
const tags = {
  null: 0,
  false: 1,
  true: 2,
  integer: 3,
  double: 4,
  string: 5,
  bytes: 6,
  time: 7,
  list: 8,
  map: 9,
} as const

/** Lists in lists, and so on: this deep. */
const depthMax = 32

/** The arguments of a binding as they are stored: by name, the last of each name. Equal arguments have equal bytes. Throws `BrokerError`. */
export function encodeArguments(given: readonly Header[]): Buffer {
  const byName = new Map(given.map(({ name, value }) => [name, value]))
  const names = [...byName.keys()].sort()
  const out = new Writer()
  out.uvarint(names.length)
  for (const name of names) {
    out.string32(name)
    writeValue(out, byName.get(name) ?? null, 0)
  }
  return out.take()
}

export function decodeArguments(bytes: Buffer): Header[] {
  const from = new Reader(bytes)
  return Array.from({ length: from.uvarint() }, () => ({ name: from.string32(), value: readValue(from) }))
}

/** Equal for values of the same type that are equal. */
export function valueKey(value: HeaderValue): string {
  switch (typeof value) {
    case 'string':
      return `s${value}`
    case 'bigint':
      return `i${value}`
    case 'number':
      return `d${value}`
    case 'boolean':
      return value ? 'true' : 'false'
    default: {
      const out = new Writer()
      writeValue(out, value, 0)
      return `x${out.take().toString('latin1')}`
    }
  }
}

function writeValue(out: Writer, value: HeaderValue, depth: number): void {
  if (depth > depthMax) throw new BrokerError('request-invalid', `a value is nested more than ${depthMax} times`)
  if (value === null) return out.u8(tags.null)
  if (typeof value === 'boolean') return out.u8(value ? tags.true : tags.false)
  if (typeof value === 'bigint') {
    out.u8(tags.integer)
    return out.string32(String(value))
  }
  if (typeof value === 'number') {
    out.u8(tags.double)
    return out.f64(value === 0 ? 0 : value)
  }
  if (typeof value === 'string') {
    out.u8(tags.string)
    return out.string32(value)
  }
  if (value instanceof Uint8Array) {
    out.u8(tags.bytes)
    return out.bytes32(value)
  }
  if ('timeMs' in value) {
    out.u8(tags.time)
    return out.f64(value.timeMs)
  }
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, HeaderValue>)].sort(([a], [b]) => (a < b ? -1 : 1))
    out.u8(tags.map)
    out.uvarint(entries.length)
    for (const [name, item] of entries) {
      out.string32(name)
      writeValue(out, item, depth + 1)
    }
    return
  }
  const items = value as readonly HeaderValue[]
  out.u8(tags.list)
  out.uvarint(items.length)
  for (const item of items) writeValue(out, item, depth + 1)
}

function readValue(from: Reader): HeaderValue {
  const tag = from.u8()
  switch (tag) {
    case tags.null:
      return null
    case tags.false:
      return false
    case tags.true:
      return true
    case tags.integer:
      return BigInt(from.string32())
    case tags.double:
      return from.f64()
    case tags.string:
      return from.string32()
    case tags.bytes:
      return keptCopy(from.bytes32())
    case tags.time:
      return { timeMs: from.f64() }
    case tags.list:
      return Array.from({ length: from.uvarint() }, () => readValue(from))
    case tags.map:
      return new Map(Array.from({ length: from.uvarint() }, () => [from.string32(), readValue(from)]))
    default:
      throw new Error(`Arguments have no values of type ${tag}: this data was written by a newer broker`)
  }
}
