import { isUtf8 } from 'node:buffer'
import { envelopeIn, headerText, newMessage, type Message } from '../../core/message.ts'
import { bareMessage, type MappedRecord, type Origin } from '../../core/origins.ts'
import { isRoutedByKey, neutralAddress, ownAddress } from './destinations.ts'
import { headerLine, headersOf } from './headers.ts'

/**
 * Messages of this protocol as records, and the message between protocols.
 *
 * The envelope is
 *
 *   version u8 = 1, protocol u8, the headers that the message is delivered with, as lines of STOMP 1.2
 *
 * so that what is published and consumed by this protocol is a copy of bytes.
 */
const envelopeVersion = 1
/** Names this protocol in envelopes. Written to disk: never reuse. */
const protocolNumber = 4
export const envelopeHeadBytes = 2

/** Headers of a delivery that its publisher cannot give: what he gives by their names goes by others. */
export const renamed: Readonly<Record<string, string>> = {
  'message-id': 'original-message-id',
  subscription: 'x-subscription',
  ack: 'x-ack',
  redelivered: 'x-redelivered',
}

/** Headers that stand for a property of the message between protocols, or for nothing that others could read. [ADR 0002] */
const propertyNames = new Set([
  'destination',
  'content-type',
  'content-encoding',
  'content-length',
  'correlation-id',
  'reply-to',
  'priority',
  'expires',
  'expiration',
  'AMQ_SCHEDULED_DELAY',
  'timestamp',
  'original-message-id',
  'JMSXGroupID',
  'persistent',
  'key',
])
/** Of these no header of another protocol takes the place. */
const reserved = new Set([...propertyNames, ...Object.keys(renamed), 'receipt', 'transaction'])

export function envelopeOf(lines: string): Buffer {
  const envelope = Buffer.allocUnsafe(envelopeHeadBytes + Buffer.byteLength(lines))
  envelope[0] = envelopeVersion
  envelope[1] = protocolNumber
  envelope.write(lines, envelopeHeadBytes)
  return envelope
}

/** Whether a publisher of this protocol has written it. Whoever writes to a topic could have written what passes for lines. */
export function isOwn(envelope: Uint8Array): boolean {
  return (
    envelope[0] === envelopeVersion &&
    envelope[1] === protocolNumber &&
    (envelope.length === envelopeHeadBytes || envelope[envelope.length - 1] === lineFeed)
  )
}

const lineFeed = 0x0a

/** The lines of an envelope of this protocol. Undefined when they are none. */
export function linesOf(envelope: Buffer): string | undefined {
  const lines = envelope.toString('utf8', envelopeHeadBytes)
  return isSound(lines) ? lines : undefined
}

/** Each line has a name and a value, and there are no others. */
const isSound = (lines: string): boolean => /^(?:[^:\n\r\0]+:[^\n\r\0]*\n)*$/.test(lines)

export function toMessage(record: MappedRecord): Message {
  const envelope = envelopeIn(record.headers)
  const lines = envelope && isOwn(envelope) ? linesOf(envelope) : undefined
  if (!envelope || lines === undefined) return bareMessage(record)
  const message = newMessage(record.value, record.timestampMs)
  message.key = record.key
  message.origin = { protocol: 'stomp', bytes: envelope }
  message.persistent = false
  const seen = new Set<string>()
  const headers = headersOf(lines)
  const isRouted = isRoutedByKey(headers.get('destination') ?? '')
  for (const [name, value] of headers.entries()) {
    // What was routed by a key has that one.
    if (!propertyNames.has(name) || (isRouted && name === 'key')) message.headers.push({ name, value })
    else if (!seen.has(name)) readProperty(message, name, value, record.timestampMs)
    seen.add(name)
  }
  return message
}

export const origin: Origin = { protocol: 'stomp', number: protocolNumber, toMessage }

function readProperty(message: Message, name: string, value: string, arrivedMs: number): void {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : undefined
  switch (name) {
    case 'content-type':
      message.contentType = value
      return
    case 'content-encoding':
      message.contentEncoding = value
      return
    case 'correlation-id':
      message.correlationId = value
      return
    case 'reply-to':
      message.replyTo = neutralAddress(value)
      return
    case 'original-message-id':
      message.messageId = value
      return
    case 'JMSXGroupID':
      message.groupId = value
      return
    case 'key':
      message.key = Buffer.from(value)
      return
    case 'persistent':
      message.persistent = value === 'true'
      return
    case 'priority':
      message.priority = number ?? 0
      return
    case 'expires':
      if (number) message.expirationMs = number
      return
    case 'expiration':
      if (number !== undefined) message.expirationMs ??= arrivedMs + number
      return
    case 'AMQ_SCHEDULED_DELAY':
      if (number) message.delayUntilMs = arrivedMs + number
      return
    case 'timestamp':
      if (number !== undefined) message.timestampMs = number
  }
}

/** What another protocol has published: the headers that it is delivered with, as lines of STOMP 1.2. */
export function fromMessage(message: Message, destination: string, nowMs: number): string {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, groupId, key } = message
  const { priority, expirationMs, delayUntilMs, timestampMs, persistent } = message
  let lines = headerLine('destination', destination)
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) lines += headerLine(name, value)
  }
  add('content-type', contentType)
  add('content-encoding', contentEncoding)
  add('correlation-id', textOf(correlationId))
  add('reply-to', replyTo === undefined ? undefined : ownAddress(replyTo))
  add('original-message-id', textOf(messageId))
  add('JMSXGroupID', groupId)
  add('key', key === null ? undefined : textOf(key))
  if (priority > 0) add('priority', String(Math.trunc(priority)))
  if (expirationMs !== undefined) add('expires', String(Math.ceil(expirationMs)))
  if (delayUntilMs !== undefined && delayUntilMs > nowMs)
    add('AMQ_SCHEDULED_DELAY', String(Math.ceil(delayUntilMs - nowMs)))
  add('timestamp', String(Math.trunc(timestampMs)))
  if (persistent) add('persistent', 'true')
  for (const { name, value } of message.headers) {
    if (name === '') continue
    lines += headerLine(reserved.has(name) ? `x-${name}` : name, headerText(value))
  }
  return isSound(lines) ? lines : withoutNul(lines)
}

/** The one character that no escape stands for. */
const withoutNul = (lines: string): string =>
  lines
    .split('\n')
    .filter(line => !line.includes('\0'))
    .join('\n')

function textOf(value: string | Uint8Array | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  return isUtf8(value) ? Buffer.from(value).toString() : Buffer.from(value).toString('base64')
}
