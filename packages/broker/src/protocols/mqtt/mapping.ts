import { isUtf8 } from 'node:buffer'
import { ProtocolError, Reader } from '@dragoman/wire'
import { envelopeIn, headerText, newMessage, type Message } from '../../core/message.ts'
import { bareMessage, type MappedRecord, type Origin } from '../../core/origins.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'
import { publishProperties } from './messages.ts'
import { encodeProperties, propertyIds, readProperties, type Properties } from './properties.ts'
import { swapped } from './topics.ts'

/**
 * Messages of this protocol as records, and the message between protocols.
 *
 * The envelope is
 *
 *   version u8 = 1, protocol u8, flags u8, properties of 5.0 as the publisher sent them
 *
 * without the two that hold for one connection or one moment: the topic alias, and the expiry, which is in the core's stamp. The topic is the
 * record's key.
 */
const envelopeVersion = 1
/** Names this protocol in envelopes. Written to disk: never reuse. */
const protocolNumber = 3
export const envelopeHeadBytes = 3

/** Bits of the envelope's flags. Written to disk: never renumber. */
export const flagBits = {
  /** It was published to be retained. */
  retain: 1,
  /** Quality of service. */
  qos: 6,
  /** It lies in a queue because it was the retained message of a topic that was subscribed to. */
  isRetainedCopy: 8,
} as const
export const qosShift = 1

/** Properties of the message between protocols which this one has no field for, and the user properties that they become. [ADR 0002] */
const names = {
  contentEncoding: 'content-encoding',
  priority: 'priority',
  timestampMs: 'timestamp',
  messageId: 'message-id',
  groupId: 'group-id',
  key: 'key',
  expiration: 'expiration',
} as const

const textBytesMax = 0xffff
const noBytes = Buffer.alloc(0)

/** `properties` are copied. */
export function envelopeOf(flags: number, properties: Uint8Array): Buffer {
  const envelope = Buffer.allocUnsafe(envelopeHeadBytes + properties.length)
  envelope[0] = envelopeVersion
  envelope[1] = protocolNumber
  envelope[2] = flags
  envelope.set(properties, envelopeHeadBytes)
  return envelope
}

/** Whether the envelope is one of this protocol. */
export const isOwn = (envelope: Uint8Array | null | undefined): envelope is Buffer =>
  envelope !== null &&
  envelope !== undefined &&
  envelope.length >= envelopeHeadBytes &&
  envelope[0] === envelopeVersion &&
  envelope[1] === protocolNumber

/** Those that may be in an envelope. */
const stored = new Set(
  [...publishProperties.allowed].filter(id => {
    return id !== propertyIds.topicAlias && id !== propertyIds.subscriptionIds && id !== propertyIds.messageExpiry
  }),
)

/** The properties of an envelope; undefined when it is none of this protocol, or was written by somebody who does not know how. */
function ownProperties(record: MappedRecord): { envelope: Buffer; found: Properties } | undefined {
  const envelope = envelopeIn(record.headers)
  if (!isOwn(envelope)) return undefined
  const found = soundProperties(envelope)
  return found && { envelope, found }
}

/** Whoever writes to a topic could have written what passes for an envelope. */
export function soundProperties(envelope: Buffer): Properties | undefined {
  try {
    const reader = new Reader(envelope, envelopeHeadBytes)
    return readProperties(reader, envelope.length, stored)
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
  const { envelope, found } = own
  message.origin = { protocol: 'mqtt', bytes: envelope }
  message.persistent = ((envelope[2] ?? 0) & flagBits.qos) !== 0
  message.contentType = found.contentType
  message.correlationId = found.correlationData && textOrBytes(found.correlationData)
  message.replyTo = found.responseTopic === undefined ? undefined : swapped(found.responseTopic)
  for (const [name, value] of found.userProperties ?? []) {
    if (!readProperty(message, name, value)) message.headers.push({ name, value })
  }
  return message
}

export const origin: Origin = { protocol: 'mqtt', number: protocolNumber, toMessage }

const textOrBytes = (bytes: Buffer): string | Buffer => (isUtf8(bytes) ? bytes.toString() : bytes)

/** Sets the property that the user property stands for, the first time. False when it is a header like any other. */
function readProperty(message: Message, name: string, value: string): boolean {
  const number = /^-?\d{1,15}$/.test(value) ? Number(value) : undefined
  switch (name) {
    case names.key:
      message.key = Buffer.from(value)
      return true
    case names.contentEncoding:
      message.contentEncoding ??= value
      return true
    case names.messageId:
      message.messageId ??= value
      return true
    case names.groupId:
      message.groupId ??= value
      return true
    case names.priority:
      if (number === undefined || number < 0) return false
      message.priority = number
      return true
    case names.timestampMs:
      if (number === undefined || number < 0) return false
      message.timestampMs = number
      return true
    default:
      return false
  }
}

/** What another protocol has published, with properties of this one. `key` is that of its subject. */
export function fromMessage(message: Message, key: string): { payload: Uint8Array; properties: Buffer } {
  const pairs: [string, string][] = []
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && isText(name) && isText(value)) pairs.push([name, value])
  }
  for (const { name, value } of message.headers) add(name, headerText(asText(value)))
  add(names.contentEncoding, message.contentEncoding)
  add(names.messageId, textOf(message.messageId))
  add(names.groupId, message.groupId)
  if (message.key !== null && Buffer.from(message.key).toString('latin1') !== Buffer.from(key).toString('latin1'))
    add(names.key, textOf(message.key))
  if (message.priority > 0) add(names.priority, String(message.priority))
  add(names.timestampMs, String(Math.trunc(message.timestampMs)))
  const { contentType, correlationId, replyTo } = message
  const responseTopic = replyTo === undefined ? undefined : swapped(replyTo)
  const correlation = correlationId === undefined ? undefined : Buffer.from(correlationId)
  const properties = encodeProperties({
    contentType: contentType !== undefined && isText(contentType) ? contentType : undefined,
    responseTopic: responseTopic !== undefined && isAnswerTopic(responseTopic) ? responseTopic : undefined,
    correlationData: correlation && correlation.length <= textBytesMax ? correlation : undefined,
    userProperties: pairs.length > 0 ? pairs : undefined,
  })
  return { payload: message.body ?? noBytes, properties }
}

const isAnswerTopic = (topic: string): boolean => isText(topic) && topic !== '' && !/[+#]/.test(topic)

/** What a text of this protocol cannot hold is left out of the delivery. */
const isText = (value: string): boolean => !value.includes('\0') && Buffer.byteLength(value) <= textBytesMax

const asText = (value: Message['headers'][number]['value']): Message['headers'][number]['value'] =>
  value instanceof Uint8Array && isUtf8(value) ? Buffer.from(value).toString() : value

const textOf = (value: string | Uint8Array | undefined): string | undefined =>
  value === undefined || typeof value === 'string' ? value : isUtf8(value) ? Buffer.from(value).toString() : undefined

/** A message as it is published, and by whom, for who does not want to hear of their own. */
export interface OwnMessage extends QueueMessage {
  readonly publisher?: object | undefined
}
