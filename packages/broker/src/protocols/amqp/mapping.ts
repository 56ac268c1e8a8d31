import { isUtf8 } from 'node:buffer'
import { ProtocolError, Reader, Writer } from '@dragoman/wire'
import { envelopeIn, newMessage, type Header, type HeaderValue, type Message } from '../../core/message.ts'
import { bareMessage, type MappedRecord, type Origin } from '../../core/origins.ts'
import type { Death, Stamp } from '../../core/queues/stamp.ts'
import { properties, type Properties } from './messages/basic.ts'
import { table, type Field, type FieldValue, type Table } from './table.ts'

/**
 * Messages of this protocol as records, and the message between protocols.
 *
 * The envelope is
 *
 *   version u8 = 1, protocol u8, properties as the publisher sent them, flags first
 *
 * so that what is published and consumed by this protocol is a copy of bytes. Exchange and routing keys are not in it: they are in
 * the core's stamp and in the record's key.
 */
const envelopeVersion = 1
/** Names this protocol in envelopes. Written to disk: never reuse. */
const protocolNumber = 2
export const envelopeHeadBytes = 2

const shortTextBytesMax = 255
const persistentMode = 2
const transientMode = 1

/** Headers that stand for properties of the message between protocols which this protocol has no field for. [ADR 0002] */
const names = { groupId: 'group-id', timestampMs: 'timestamp_in_ms', delay: 'x-delay' } as const

/** Properties of this protocol that the message between protocols has no place for, and the headers that they become. */
const ownNames = {
  type: 'x-basic-type',
  userId: 'x-basic-user-id',
  appId: 'x-basic-app-id',
  clusterId: 'x-basic-cluster-id',
} as const

/** Cuts one envelope, and one list of properties, after the other. */
const writer = new Writer()

/** An envelope of these properties, which lie in [at, end). */
export function envelopeOf(bytes: Buffer, at: number, end: number): Buffer {
  const envelope = Buffer.allocUnsafe(envelopeHeadBytes + end - at)
  envelope[0] = envelopeVersion
  envelope[1] = protocolNumber
  bytes.copy(envelope, envelopeHeadBytes, at, end)
  return envelope
}

/** Whether an envelope that begins with these two bytes is one of this protocol. */
export const isOwn = (version: number | undefined, protocol: number | undefined): boolean =>
  version === envelopeVersion && protocol === protocolNumber

export function encodeProperties(value: Properties): Buffer {
  if (writer.length > 0) writer.take()
  properties.write(writer, value)
  return writer.take()
}

/** A table with its size. */
export function encodeTable(value: Table): Buffer {
  if (writer.length > 0) writer.take()
  table.write(writer, value)
  return writer.take()
}

/** Throws `ProtocolError`. */
export function decodeProperties(bytes: Buffer): Properties {
  const reader = new Reader(bytes)
  const found = properties.read(reader)
  reader.expectEnd()
  return found
}

/** The properties that a publisher of this protocol gave the record; undefined when it was another protocol. */
function ownProperties({ headers }: MappedRecord): { envelope: Buffer; found: Properties } | undefined {
  const envelope = envelopeIn(headers)
  if (!envelope || !isOwn(envelope[0], envelope[1])) return undefined
  try {
    return { envelope, found: decodeProperties(envelope.subarray(envelopeHeadBytes)) }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

export function toMessage(record: MappedRecord): Message {
  const own = ownProperties(record)
  if (!own) return bareMessage(record)
  const message = newMessage(record.value, record.timestampMs)
  message.key = record.key
  const { found, envelope } = own
  message.origin = { protocol: 'amqp', bytes: envelope }
  message.contentType = found.contentType
  message.contentEncoding = found.contentEncoding
  message.correlationId = found.correlationId
  message.replyTo = found.replyTo
  message.messageId = found.messageId
  message.priority = found.priority ?? 0
  message.persistent = found.deliveryMode === persistentMode
  if (found.timestamp !== undefined) message.timestampMs = found.timestamp * 1000
  const ttlMs = ttlOf(found.expiration ?? '')
  if (ttlMs !== undefined) message.expirationMs = record.timestampMs + ttlMs
  for (const field of found.headers ?? []) {
    if (!readProperty(message, field, record.timestampMs)) message.headers.push(headerOf(field))
  }
  for (const [property, name] of Object.entries(ownNames) as [keyof typeof ownNames, string][]) {
    const value = found[property]
    if (value !== undefined) message.headers.push({ name, value })
  }
  return message
}

export const origin: Origin = { protocol: 'amqp', number: protocolNumber, toMessage }

/** A time to live as publishers write it, in milliseconds; undefined when it is none. */
export function ttlOf(expiration: string): number | undefined {
  if (!/^\d{1,15}$/.test(expiration)) return undefined
  return Number(expiration)
}

/** Sets the property that the field stands for. False when it is a header like any other. */
function readProperty(message: Message, field: Field, arrivedMs: number): boolean {
  const { name, value } = field
  switch (name) {
    case names.groupId:
      if (typeof value !== 'string') return false
      message.groupId = value
      return true
    case names.timestampMs:
    case names.delay: {
      const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : NaN
      if (!Number.isSafeInteger(number)) return false
      if (name === names.timestampMs) message.timestampMs = number
      // One that is not above 0 says that the time is over.
      else if (number > 0) message.delayUntilMs = arrivedMs + number
      return true
    }
    default:
      return false
  }
}

export const headerOf = (field: Field): Header => ({ name: field.name, value: hubValue(field) })

/** The value as all protocols know it: widths of numbers are not kept. */
export function hubValue(field: FieldValue): HeaderValue {
  switch (field.type) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
      return BigInt(field.value)
    case 'T':
      return { timeMs: Number(field.value) * 1000 }
    case 'D':
      return field.value.unscaled / 10 ** field.value.scale
    case 'A':
      return field.value.map(hubValue)
    case 'F':
      return new Map(field.value.map(each => [each.name, hubValue(each)]))
    default:
      return field.value
  }
}

const int64Max = 0x7fff_ffff_ffff_ffffn

/** A value of the message between protocols with a type of this one. */
export function fieldValue(value: HeaderValue): FieldValue {
  if (value === null) return { type: 'V', value }
  if (typeof value === 'boolean') return { type: 't', value }
  if (typeof value === 'number') return { type: 'd', value }
  if (typeof value === 'string') return { type: 'S', value }
  if (typeof value === 'bigint')
    return value <= int64Max && value >= -int64Max - 1n ? { type: 'l', value } : { type: 'S', value: String(value) }
  if (value instanceof Uint8Array) return { type: 'x', value: Buffer.from(value) }
  if (value instanceof Map)
    return { type: 'F', value: tableOf(Array.from(value, ([name, of]) => ({ name, value: of }))) }
  if ('timeMs' in value) return { type: 'T', value: BigInt(Math.max(0, Math.floor(value.timeMs / 1000))) }
  return { type: 'A', value: (value as readonly HeaderValue[]).map(fieldValue) }
}

/** A name cannot come twice: the last one counts. One that is too long for a table is left out. */
function tableOf(headers: readonly Header[]): Table {
  const fields = new Map<string, Field>()
  for (const { name, value } of headers) {
    if (Buffer.byteLength(name) > shortTextBytesMax) continue
    fields.delete(name)
    fields.set(name, { name, ...fieldValue(value) })
  }
  return [...fields.values()]
}

/** What another protocol has published, with properties of this one. */
export function fromMessage(message: Message, nowMs: number): { body: Uint8Array; properties: Properties } {
  const headers = [...message.headers]
  const { timestampMs, groupId, delayUntilMs, expirationMs, priority, persistent } = message
  if (delayUntilMs !== undefined && delayUntilMs > nowMs) {
    headers.push({ name: names.delay, value: BigInt(Math.ceil(delayUntilMs - nowMs)) })
  }
  if (groupId !== undefined) headers.push({ name: names.groupId, value: groupId })
  headers.push({ name: names.timestampMs, value: BigInt(Math.trunc(timestampMs)) })
  const found: Properties = {
    headers: tableOf(headers),
    deliveryMode: persistent ? persistentMode : transientMode,
    timestamp: Math.max(0, Math.floor(timestampMs / 1000)),
  }
  if (priority > 0) found.priority = Math.min(0xff, Math.trunc(priority))
  if (expirationMs !== undefined) found.expiration = String(Math.max(0, Math.ceil(expirationMs - nowMs)))
  for (const name of ['contentType', 'contentEncoding', 'correlationId', 'replyTo', 'messageId'] as const) {
    const text = shortText(message[name])
    if (text !== undefined) found[name] = text
  }
  return { body: message.body ?? new Uint8Array(), properties: found }
}

/** What a short text cannot hold is left out. */
function shortText(value: string | Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string') return Buffer.byteLength(value) <= shortTextBytesMax ? value : undefined
  return value.length <= shortTextBytesMax && isUtf8(value) ? Buffer.from(value).toString() : undefined
}

/** What consumers are told of a message that was dead-lettered, as RabbitMQ does. `expiration` is that of its properties. */
export function deathFields({ deaths }: Stamp, expiration: string): Field[] {
  const [last] = deaths
  if (!last) return []
  const first = deaths.find(({ isFirst }) => isFirst) ?? last
  const found: Field[] = [
    {
      name: 'x-death',
      type: 'A',
      value: deaths.map(death => ({ type: 'F', value: deathTable(death, expiration) })),
    },
  ]
  for (const [prefix, { reason, queue, exchange }] of [
    ['x-first-death-', first] as const,
    ['x-last-death-', last] as const,
  ]) {
    for (const [name, text] of Object.entries({ reason, queue, exchange }))
      found.push({ name: prefix + name, type: 'S', value: text })
  }
  return found
}

/** How often it was delivered before. */
export const deliveryCountField = (count: number): Field => ({
  name: 'x-delivery-count',
  type: 'l',
  value: BigInt(count),
})

/** `expiration` is what the publisher wrote: what the broker made of it may have lost a part of a millisecond. */
function deathTable({ queue, reason, count, firstMs, exchange, keys, ttlMs }: Death, expiration: string): Table {
  const fields: Field[] = [
    { name: 'count', type: 'l', value: BigInt(count) },
    { name: 'reason', type: 'S', value: reason },
    { name: 'queue', type: 'S', value: queue },
    { name: 'time', type: 'T', value: BigInt(Math.floor(firstMs / 1000)) },
    { name: 'exchange', type: 'S', value: exchange },
    { name: 'routing-keys', type: 'A', value: keys.map(key => ({ type: 'S', value: key })) },
  ]
  if (ttlMs >= 0) fields.push({ name: 'original-expiration', type: 'S', value: expiration || String(ttlMs) })
  return fields
}
