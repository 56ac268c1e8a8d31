import { compactBytes, compactString, compile, Reader, struct, varlong, Writer } from '@dragoman/wire'
import type { NewRecord } from '../../storage/record-batch.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { Header } from '../message.ts'
import type { QueueMessage } from '../queues/queue.ts'
import { noStamp, readStamp, stampBytes } from '../queues/stamp.ts'
import { decodeArguments, encodeArguments } from '../routing/arguments.ts'

/** A message that is to be published later: to which exchange, by which key and headers. */
export interface Later {
  readonly namespace: string
  readonly exchange: string
  /** By which it is routed, and by `message.keys`. */
  readonly key: string
  /** By which it is routed, too; what is stored is the message alone. */
  readonly headers?: readonly Header[] | undefined
  readonly message: QueueMessage
}

/** What is read of one. */
export interface StoredLater extends Later {
  readonly dueMs: number
  /** When it was handed in. */
  readonly sinceMs: number
}

/** The first header of the record that it lies in. */
const laterHeader = '~d'

/**
 * Written to disk, behind a version byte: to change it, raise `storedVersion` and keep reading the older ones.
 */
const storedVersion = 1
const form = compile(
  struct({
    dueMs: varlong,
    namespace: compactString,
    exchange: compactString,
    key: compactString,
    /** As `encodeArguments` writes them; nothing when there are none. */
    headers: compactBytes,
    /** As `stampBytes` writes it, but for the time to live. */
    stamp: compactBytes,
    /** From the publication on; -1: for ever. */
    ttlMs: varlong,
  }),
)

const nothing = Buffer.alloc(0)
/** Cuts one header after the other. */
const writer = new Writer()

/** The record of a message that was handed in at `nowMs` and is to be published at `dueMs`. */
export function recordOf(
  { namespace, exchange, key, headers, message }: Later,
  dueMs: number,
  nowMs: number,
): NewRecord {
  const { expiresMs = -1 } = message
  if (writer.length > 0) writer.take()
  writer.u8(storedVersion)
  form.write(writer, {
    dueMs,
    namespace,
    exchange,
    key,
    headers: headers && headers.length > 0 ? encodeArguments(headers) : nothing,
    stamp: stampBytes({ ...noStamp, ...stampOf(message), expiresMs: -1 }),
    ttlMs: expiresMs < 0 ? -1 : Math.max(0, expiresMs - nowMs),
  })
  const own = { key: laterHeader, value: writer.take() }
  const { key: recordKey = null, value } = message
  return { key: recordKey, value, headers: [own, ...(message.headers ?? [])], timestampMs: nowMs }
}

/** What `recordOf` has made of it; a time to live begins at `nowMs`. Bytes share those of the record. Throws when it is no such record. */
export function readLater(record: RecordView, nowMs: number): StoredLater {
  const [own, ...headers] = record.headers()
  const bytes = own?.key === laterHeader ? own.value : null
  if (bytes?.[0] !== storedVersion) throw new Error('A record of a delayed message was written by a newer broker')
  const reader = new Reader(bytes)
  reader.u8()
  const { dueMs, namespace, exchange, key, headers: encoded, stamp, ttlMs } = form.read(reader)
  const expiresMs = ttlMs < 0 ? -1 : nowMs + ttlMs
  const message = { key: record.key, value: record.value, headers, ...readStamp(stamp), expiresMs }
  const routed = encoded.length > 0 ? decodeArguments(encoded) : undefined
  return { namespace, exchange, key, headers: routed, message, dueMs, sinceMs: record.timestampMs }
}

/** A message that a schedule keeps, and the headers by which it is routed: a time to live begins anew each time. */
export function writeRepeated({ headers: routed, message }: Pick<Later, 'headers' | 'message'>, nowMs: number): Buffer {
  const out = new Writer()
  const { key = null, value, headers = [], expiresMs = -1 } = message
  out.u8(storedVersion)
  out.nullableBytes32(key)
  out.nullableBytes32(value)
  out.bytes32(stampBytes({ ...noStamp, ...stampOf(message), expiresMs: -1 }))
  out.varlong(expiresMs < 0 ? -1 : Math.max(0, expiresMs - nowMs))
  out.bytes32(routed && routed.length > 0 ? encodeArguments(routed) : nothing)
  out.uvarint(headers.length)
  for (const header of headers) {
    out.string32(header.key)
    out.nullableBytes32(header.value)
  }
  return out.take()
}

/** Bytes share those of the source. */
export function readRepeated(bytes: Buffer, nowMs: number): Pick<Later, 'headers' | 'message'> {
  const from = new Reader(bytes)
  if (from.u8() !== storedVersion) throw new Error('The message of a schedule was written by a newer broker')
  const key = from.nullableBytes32()
  const value = from.nullableBytes32()
  const stamp = readStamp(from.bytes32())
  const ttlMs = from.varlong()
  const encoded = from.bytes32()
  const headers = Array.from({ length: from.uvarint() }, () => {
    return { key: from.string32(), value: from.nullableBytes32() }
  })
  const message = { key, value, headers, ...stamp, expiresMs: ttlMs < 0 ? -1 : nowMs + ttlMs }
  return { headers: encoded.length > 0 ? decodeArguments(encoded) : undefined, message }
}

/** Those fields of the stamp that the message has. */
function stampOf(message: QueueMessage): Partial<QueueMessage> {
  const { key: _key, value: _value, headers: _headers, ...stamp } = message
  return stamp
}
