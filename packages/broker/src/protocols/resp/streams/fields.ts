import { isUtf8 } from 'node:buffer'
import { ProtocolError, Reader } from '@dragoman/wire'
import type { EntryBody } from '../../../core/entry-streams/entry-stream.ts'
import type { RecordView } from '../../../core/cursor/record-view.ts'
import { envelopeHeader, envelopeIn, headerText, newMessage, type Header, type Message } from '../../../core/message.ts'
import type { MappedRecord, Origins } from '../../../core/origins.ts'
import type { ReplyWriter } from '../reply.ts'

/**
 * Entries as records. One field of an entry is the body of its record: its only one, or the first of `bodyNames` that is there once. The field `key` is
 * the record's key. The others are in the envelope, with the order of all:
 *
 *   version u8 = 1, protocol u8, form u8 = 1, count uvarint, then for each field: name (uvarint length, bytes), value: uvarint 0: it is the body, 1: it is the
 *   key, else its length + 2, and its bytes
 *
 * An entry without such a field has no body; others read it as a JSON object of its fields.
 */
const envelopeVersion = 1
const protocolNumber = 5
const entryForm = 1
const headBytes = 3
/** Answers that are shorter are copied when they are written. */
const copiedBytesMax = 8 * 1024
const isBody = 0
const isKey = 1
const inline = 2

const bodyNames = ['body', 'payload', 'data', 'message', 'value']
const keyName = 'key'

/** Fields and values in turn, from `from` on, as a record. The bytes are copied by who stores them. */
export function recordOfFields(args: readonly Buffer[], from: number): EntryBody {
  const bodyAt = bodyField(args, from)
  const keyAt = args.length - from > 2 ? onlyField(args, from, keyName) : -1
  let size = headBytes + uvarintBytes((args.length - from) / 2)
  for (let at = from; at < args.length; at += 2) {
    const { length } = args[at]!
    size += uvarintBytes(length) + length
    if (at === bodyAt || at === keyAt) size++
    else size += uvarintBytes(args[at + 1]!.length + inline) + args[at + 1]!.length
  }
  const envelope = Buffer.allocUnsafe(size)
  envelope[0] = envelopeVersion
  envelope[1] = protocolNumber
  envelope[2] = entryForm
  let to = writeUvarint(envelope, headBytes, (args.length - from) / 2)
  for (let at = from; at < args.length; at += 2) {
    to = writeBytes(envelope, writeUvarint(envelope, to, args[at]!.length), args[at]!)
    const value = args[at + 1]!
    if (at === bodyAt) envelope[to++] = isBody
    else if (at === keyAt) envelope[to++] = isKey
    else to = writeBytes(envelope, writeUvarint(envelope, to, value.length + inline), value)
  }
  return {
    key: keyAt < 0 ? null : args[keyAt + 1]!,
    value: bodyAt < 0 ? empty : args[bodyAt + 1]!,
    headers: [{ key: envelopeHeader, value: envelope }],
  }
}

/** Where the field is that is the body; -1: there is none. */
function bodyField(args: readonly Buffer[], from: number): number {
  if (args.length - from === 2) return from
  for (const name of bodyNames) {
    const at = onlyField(args, from, name)
    if (at >= 0) return at
  }
  return -1
}

/** Where the only field of that name is; -1: there is none, or several. */
function onlyField(args: readonly Buffer[], from: number, name: string): number {
  let found = -1
  for (let at = from; at < args.length; at += 2) {
    if (args[at]!.length !== name.length || args[at]!.toString('latin1') !== name) continue
    if (found >= 0) return -1
    found = at
  }
  return found
}

const empty = Buffer.alloc(0)

function uvarintBytes(value: number): number {
  let bytes = 1
  for (let left = value; left > 0x7f; left >>>= 7) bytes++
  return bytes
}

function writeUvarint(out: Buffer, at: number, value: number): number {
  let to = at
  let left = value
  for (; left > 0x7f; left >>>= 7) out[to++] = left | 0x80
  out[to++] = left
  return to
}

function writeBytes(out: Buffer, at: number, bytes: Buffer): number {
  if (bytes.length < 32) for (let index = 0; index < bytes.length; index++) out[at + index] = bytes[index]!
  else out.set(bytes, at)
  return at + bytes.length
}

/** An entry that is to be told: its own bytes, which stay as they are. */
export interface ToldEntry {
  readonly id: string
  /** Its envelope, if this protocol has written it. */
  readonly envelope: Buffer | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Those of one that another protocol has written. */
  readonly fields: readonly Buffer[] | undefined
}

const isEntry = (envelope: Buffer | null | undefined): boolean =>
  envelope?.[0] === envelopeVersion && envelope[1] === protocolNumber && envelope[2] === entryForm

/** `origins` reads what other protocols have written. */
export function toldEntry(id: string, record: RecordView, origins: Origins): ToldEntry {
  const { envelope, key, value } = record
  if (envelope && isEntry(envelope)) return { id, envelope, key, value, fields: undefined }
  const message = origins.messageOf({ key, value, timestampMs: record.timestampMs, headers: record.headers() })
  return { id, envelope: undefined, key, value, fields: fieldsOf(message) }
}

/** Bytes that it has, roughly. */
export function bytesOf({ envelope, value, fields }: ToldEntry): number {
  let bytes = 32 + (envelope?.length ?? 0) + (value?.length ?? 0)
  for (const part of fields ?? []) bytes += part.length + 16
  return bytes
}

/** The same with bytes of its own. */
export function copyOf({ id, envelope, key, value, fields }: ToldEntry): ToldEntry {
  const copy = (bytes: Buffer | null): Buffer | null => bytes && Buffer.from(bytes)
  return { id, envelope: envelope && Buffer.from(envelope), key: copy(key), value: copy(value), fields }
}

/** The id, then names and values. */
export function writeEntry(reply: ReplyWriter, entry: ToldEntry): void {
  reply.array(2)
  reply.word(entry.id)
  const { envelope, fields } = entry
  if (envelope) return writeFields(reply, entry, envelope)
  reply.array(fields?.length ?? 0)
  for (const part of fields ?? []) reply.bulk(part)
}

function writeFields(reply: ReplyWriter, { key, value }: ToldEntry, envelope: Buffer): void {
  const parts = new Parts(envelope, headBytes)
  const count = parts.number()
  reply.array(2 * count)
  for (let left = count; left > 0; left--) {
    reply.bulk(parts.bytes(parts.number()))
    const tag = parts.number()
    if (tag === isBody) writeValue(reply, value ?? empty)
    else if (tag === isKey) writeValue(reply, key ?? empty)
    else writeValue(reply, parts.bytes(tag - inline))
  }
}

/** The bytes are the stream's, and large ones are not copied by who sends them. */
const writeValue = (reply: ReplyWriter, value: Buffer): void =>
  reply.bulk(value.length < copiedBytesMax ? value : Buffer.from(value))

/** What this protocol has written, which is sound. */
class Parts {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  number(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }

  bytes(length: number): Buffer {
    const from = this.#at
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }
}

/** Properties that are fields of their own names. [ADR 0002] */
const textProperties = [
  ['content-type', 'contentType'],
  ['content-encoding', 'contentEncoding'],
  ['correlation-id', 'correlationId'],
  ['reply-to', 'replyTo'],
  ['message-id', 'messageId'],
  ['group-id', 'groupId'],
] as const

/** A message of another protocol as names and values in turn. */
function fieldsOf(message: Message): Buffer[] {
  const found: Buffer[] = []
  const put = (name: string, value: string | Uint8Array): void => {
    found.push(Buffer.from(name), typeof value === 'string' ? Buffer.from(value) : Buffer.from(value))
  }
  if (message.key !== null) put(keyName, message.key)
  put('body', message.body ?? empty)
  for (const [name, property] of textProperties) {
    const value = message[property]
    if (value !== undefined) put(name, value)
  }
  if (message.priority !== 0) put('priority', String(message.priority))
  if (message.expirationMs !== undefined) put('expiration', String(message.expirationMs))
  for (const { name, value } of message.headers) put(name, value instanceof Uint8Array ? value : headerText(value))
  return found
}

/** An entry as a message between protocols; undefined when the record is none. */
export function messageOfEntry({ headers, key, value, timestampMs }: MappedRecord): Message | undefined {
  const envelope = envelopeIn(headers)
  if (!envelope || !isEntry(envelope)) return undefined
  const message = newMessage(value, timestampMs)
  message.key = key
  message.origin = { protocol: 'resp', bytes: envelope }
  try {
    const { fields, hasBody } = readFields(envelope, value, key)
    if (!hasBody)
      message.body = Buffer.from(
        JSON.stringify(Object.fromEntries(fields.map(({ name, value: of }) => [name, textOf(of)]))),
      )
    else for (const field of fields) if (!field.isPlaced) addField(message, field)
  } catch (error) {
    // It only looked like one.
    if (error instanceof ProtocolError) return undefined
    throw error
  }
  return message
}

interface Field {
  readonly name: string
  readonly value: Buffer
  /** It is the record's body or key. */
  readonly isPlaced: boolean
}

function readFields(envelope: Buffer, body: Buffer | null, key: Buffer | null): { fields: Field[]; hasBody: boolean } {
  const from = new Reader(envelope, headBytes)
  const fields: Field[] = []
  let hasBody = false
  for (let left = from.uvarint(); left > 0; left--) {
    const name = from.bytes(from.uvarint()).toString()
    const tag = from.uvarint()
    if (tag === isBody) hasBody = true
    const value = tag === isBody ? (body ?? empty) : tag === isKey ? (key ?? empty) : from.bytes(tag - inline)
    fields.push({ name, value, isPlaced: tag < inline })
  }
  return { fields, hasBody }
}

function addField(message: Message, { name, value }: Field): void {
  const text = isUtf8(value) ? value.toString() : undefined
  const property = textProperties.find(([word]) => word === name)?.[1]
  if (property !== undefined && text !== undefined) message[property] = text
  else if (name === 'priority' && text !== undefined && /^\d{1,9}$/.test(text)) message.priority = Number(text)
  else if (name === 'expiration' && text !== undefined && /^\d{1,15}$/.test(text)) message.expirationMs = Number(text)
  else message.headers.push({ name, value: text ?? value } satisfies Header)
}

const textOf = (value: Buffer): string => (isUtf8(value) ? value.toString() : value.toString('base64'))
