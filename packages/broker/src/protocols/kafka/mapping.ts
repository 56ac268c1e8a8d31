import { isUtf8 } from 'node:buffer'
import { envelopeHeader, headerText, newMessage, type HeaderValue, type Message } from '../../core/message.ts'
import type { MappedRecord, Origin } from '../../core/origins.ts'
import type { NewRecord } from '../../storage/record-batch.ts'

/**
 * Records and the message between protocols. What a record has no field for is a header of a fixed name, as text; such headers
 * are read back into the properties, so that a message comes through unchanged in both directions. Headers have no types: what is text in
 * UTF-8 is read as text.
 *
 * A Kafka client's own batches never pass here: they are stored and delivered as they are.
 */
export function toMessage(record: MappedRecord): Message {
  const message = newMessage(record.value, record.timestampMs)
  message.key = record.key
  for (const { key: name, value } of record.headers) {
    const text = value !== null && isUtf8(value) ? value.toString() : undefined
    if (text === undefined || !readProperty(message, name, text)) message.headers.push({ name, value: text ?? value })
  }
  return message
}

/** Records without an envelope are as this protocol's clients have written them. */
export const origin: Origin = { protocol: 'kafka', number: 1, isPlain: true, toMessage }

export function fromMessage(message: Message): NewRecord {
  const headers: { key: string; value: Uint8Array | null }[] = []
  for (const { name, value } of message.headers) headers.push({ key: headerName(name), value: headerBytes(value) })
  for (const [name, value] of propertiesOf(message)) headers.push({ key: name, value: headerBytes(value) })
  return { key: message.key, value: message.body, headers, timestampMs: message.timestampMs }
}

const names = {
  contentType: 'content-type',
  contentEncoding: 'content-encoding',
  correlationId: 'correlation-id',
  replyTo: 'reply-to',
  priority: 'priority',
  expirationMs: 'expiration',
  delayUntilMs: 'delay',
  messageId: 'message-id',
  groupId: 'group-id',
} as const

type Property = keyof typeof names

const propertyOf = new Map(Object.entries(names).map(([property, name]) => [name as string, property as Property]))

/** Sets the property that the header stands for. False when it is a header like any other. */
function readProperty(message: Message, name: string, text: string): boolean {
  const property = propertyOf.get(name)
  switch (property) {
    case undefined:
      return false
    case 'priority':
    case 'expirationMs':
    case 'delayUntilMs': {
      const number = Number(text)
      if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(number)) return false
      message[property] = number
      return true
    }
    default:
      if (message[property] !== undefined) return false
      message[property] = text
      return true
  }
}

function propertiesOf(message: Message): [string, HeaderValue][] {
  const found: [string, HeaderValue][] = []
  for (const [property, name] of Object.entries(names) as [Property, string][]) {
    const value = message[property]
    if (value === undefined || (property === 'priority' && value === 0)) continue
    found.push([name, typeof value === 'number' ? BigInt(Math.trunc(value)) : value])
  }
  return found
}

/** A header of another protocol does not pass for a property of this mapping or for an envelope. */
function headerName(name: string): string {
  return name === envelopeHeader || propertyOf.has(name) ? `x-${name}` : name
}

/** Headers are bytes here: those that come as bytes stay as they are, the others become text. */
function headerBytes(value: HeaderValue): Uint8Array | null {
  if (value === null || value instanceof Uint8Array) return value
  return Buffer.from(headerText(value))
}
