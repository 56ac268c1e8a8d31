import type { NewRecord, StoredRecord } from '@dragoman/broker/record-batch'
import { CommandError } from './command.ts'

/**
 * Records as JSON, one per line, the same for `publish --json` and `consume --format json`:
 *
 *   {"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":{"a":"b"}}
 *
 * Bytes that are no UTF-8 text are given in base64: as `keyBase64` and `valueBase64`, and for a header as {"base64":"…"}.
 * Headers with a repeated name are a list of [name, value].
 */
export interface JsonRecord {
  record: Omit<NewRecord, 'timestampMs'> & { timestampMs: number | undefined }
  partition: number | undefined
}

const known = new Set([
  'topic',
  'partition',
  'offset',
  'timestamp',
  'key',
  'keyBase64',
  'value',
  'valueBase64',
  'headers',
])

/** Throws `CommandError` for what is no record. What `consume` adds (topic, offset) is passed over. */
export function readJsonRecord(line: Buffer): JsonRecord {
  let content: unknown
  try {
    content = JSON.parse(line.toString('utf8'))
  } catch (error) {
    throw new CommandError(`not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new CommandError('not a JSON object')
  const fields = content as Record<string, unknown>
  for (const name of Object.keys(fields)) if (!known.has(name)) throw new CommandError(`unknown field "${name}"`)
  return {
    record: {
      key: readBytes(fields, 'key'),
      value: readBytes(fields, 'value'),
      headers: readHeaders(fields.headers),
      timestampMs: readTime(fields.timestamp),
    },
    partition: readPartition(fields.partition),
  }
}

/** A value that is not a string is published as its JSON text. */
function readBytes(fields: Record<string, unknown>, name: 'key' | 'value'): Buffer | null {
  const encoded = fields[`${name}Base64`]
  const plain = fields[name]
  if (encoded !== undefined) {
    if (plain !== undefined) throw new CommandError(`both ${name} and ${name}Base64`)
    return fromBase64(encoded, `${name}Base64`)
  }
  if (plain === undefined || plain === null) return null
  return Buffer.from(typeof plain === 'string' ? plain : JSON.stringify(plain))
}

function readHeaders(headers: unknown): { key: string; value: Buffer | null }[] {
  if (headers === undefined || headers === null) return []
  if (typeof headers !== 'object') throw new CommandError('headers takes an object or a list of [name, value]')
  const pairs: unknown[] = Array.isArray(headers) ? headers : Object.entries(headers)
  return pairs.map(pair => {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw new CommandError('headers takes an object or a list of [name, value]')
    }
    return { key: pair[0], value: readHeaderValue(pair[1]) }
  })
}

function readHeaderValue(value: unknown): Buffer | null {
  if (value === null) return null
  if (typeof value === 'object' && 'base64' in value) return fromBase64(value.base64, 'the header')
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
}

function fromBase64(text: unknown, name: string): Buffer {
  if (typeof text !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw new CommandError(`${name} takes base64`)
  return Buffer.from(text, 'base64')
}

function readTime(time: unknown): number | undefined {
  if (time === undefined || time === null) return undefined
  const ms = typeof time === 'string' ? Date.parse(time) : time
  if (typeof ms !== 'number' || !Number.isSafeInteger(ms))
    throw new CommandError('timestamp takes milliseconds or an ISO time')
  return ms
}

function readPartition(partition: unknown): number | undefined {
  if (partition === undefined || partition === null) return undefined
  if (typeof partition !== 'number' || !Number.isSafeInteger(partition) || partition < 0) {
    throw new CommandError('partition takes a number from 0')
  }
  return partition
}

/** One line, without its end. */
export function showJsonRecord(topic: string, partition: number, record: StoredRecord): string {
  const shown: Record<string, unknown> = { topic, partition, offset: record.offset, timestamp: record.timestampMs }
  put(shown, 'key', record.key)
  put(shown, 'value', record.value)
  const { headers } = record
  const distinct = new Set(headers.map(({ key }) => key)).size === headers.length
  const pairs = headers.map(({ key, value }) => [key, showHeaderValue(value)] as const)
  if (headers.length > 0) shown.headers = distinct ? Object.fromEntries(pairs) : pairs
  return JSON.stringify(shown)
}

function put(shown: Record<string, unknown>, name: 'key' | 'value', bytes: Buffer | null): void {
  const text = bytes === null ? null : asText(bytes)
  if (text === undefined) shown[`${name}Base64`] = bytes?.toString('base64')
  else shown[name] = text
}

const showHeaderValue = (value: Buffer | null): unknown => (value === null ? null : textOrBase64(value))

export const textOrBase64 = (bytes: Buffer): string | { base64: string } =>
  asText(bytes) ?? { base64: bytes.toString('base64') }

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined when it is no UTF-8. */
export function asText(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
