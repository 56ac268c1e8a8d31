import { envelopeHeader } from '../../../core/message.ts'
import type { QueueMessage } from '../../../core/queues/queue.ts'
import { encodeProperties, envelopeOf, fromMessage, ttlOf } from '../../../protocols/amqp/mapping.ts'
import { textOf, type Call, type Fields } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Item } from '../listing.ts'
import { bodyOf, payloadItem, propertiesItem, propertiesOf } from '../messages.ts'

/** What a message is, wherever it lies. */
interface Stored {
  readonly key: Buffer | null
  readonly value: Uint8Array | null
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
  readonly timestampMs: number
}

/** Bodies are shown up to here, unless the query says otherwise. */
const shownBytesDefault = 64 * 1024

/** A message with its properties, whichever protocol it came by. */
export function contentItem({ core, context, query }: Call, { key, value, headers, timestampMs }: Stored): Item {
  const own = headers.map(({ key: name, value: of }) => ({ key: name, value: of && Buffer.from(of) }))
  const record = { key, value: value && Buffer.from(value), headers: own, timestampMs }
  const { body, properties } = fromMessage(core.origins.messageOf(record), context.clock.nowMs())
  const bytesMax = Number(query.get('truncate') ?? shownBytesDefault)
  if (!(bytesMax >= 0)) throw badRequest('truncate must be a number of bytes')
  return {
    routing_key: String(key ?? ''),
    properties: propertiesItem(properties),
    ...payloadItem(Buffer.from(body), { isBase64: query.get('encoding') === 'base64', bytesMax }),
  }
}

/** The message that the fields describe, as it would be if it had been published by a client. Throws `Refusal`. */
export function messageOf(fields: Fields, exchange: string, nowMs: number): QueueMessage {
  if (typeof fields.payload !== 'string') throw badRequest('payload_not_string')
  const value = bodyOf(fields.payload, textOf(fields, 'payload_encoding', 'string'))
  const properties = propertiesOf(fields.properties ?? {})
  const bytes = encodeProperties(properties)
  const envelope = envelopeOf(bytes, 0, bytes.length)
  const key = textOf(fields, 'routing_key', '')
  const ttlMs = ttlOf(properties.expiration ?? '')
  if (properties.expiration !== undefined && ttlMs === undefined) throw badRequest('expiration must be milliseconds')
  return {
    key: key === '' ? null : Buffer.from(key),
    value,
    headers: [{ key: envelopeHeader, value: envelope }],
    exchange,
    priority: properties.priority ?? 0,
    expiresMs: ttlMs === undefined ? -1 : nowMs + ttlMs,
  }
}
