import { keptCopy } from '@dragoman/wire'
import type { RecordView } from '../../core/cursor/record-view.ts'
import { envelopeIn } from '../../core/message.ts'
import type { Origins } from '../../core/origins.ts'
import type { Form, Passing } from '../../core/routing/sink.ts'
import { envelopeHeadBytes, flagBits, fromMessage, isOwn, qosShift, soundProperties } from './mapping.ts'
import { putVarint, types, versions } from './messages.ts'
import { propertyIds, varintBytes } from './properties.ts'
import { isTopicName, swapped } from './topics.ts'

/** A message that is delivered, before it is known to whom. */
export interface Content {
  readonly topic: Buffer
  readonly payload: Uint8Array
  /** Properties as they were published, but for the expiry. */
  readonly properties: Uint8Array
  /** Milliseconds since 1970; -1: never. */
  readonly expiresMs: number
  readonly flags: number
}

/** A PUBLISH for many: what differs from one to the other is written into a copy. */
export interface Template {
  bytes: Buffer
  /** Where the packet identifier is; -1: there is none. */
  readonly idAt: number
  /** Where the seconds are that are left; -1: they are not told. */
  readonly expiryAt: number
  readonly expiresMs: number
}

/** What is added for one subscriber. */
export interface Extras {
  readonly isRetained: boolean
  readonly subscriptionIds: readonly number[] | undefined
  /** With a topic that the subscriber knows already by this alias, or is told now; 0: without. */
  readonly alias: number
  readonly isAliasKnown: boolean
}

const plain: Extras = { isRetained: false, subscriptionIds: undefined, alias: 0, isAliasKnown: false }
const expiryBytes = 5
const aliasBytes = 3
const noTopic = Buffer.alloc(0)

export const secondsLeft = (expiresMs: number, nowMs: number): number =>
  Math.min(0xffff_ffff, Math.max(0, Math.ceil((expiresMs - nowMs) / 1000)))

/** It may wait long: its bytes get memory of their own, once for all that it waits for. */
export function keep(template: Template): void {
  const { bytes } = template
  if (bytes.buffer.byteLength > bytes.length) template.bytes = keptCopy(bytes)
}

/** PUBLISH with quality of service `qos`, in the words of 5.0 or without properties. [MQTT 5.0, 3.3] */
export function encodePublish(content: Content, is5: boolean, qos: number, nowMs: number, extras = plain): Template {
  const { payload, properties, expiresMs } = content
  const { subscriptionIds, alias, isAliasKnown, isRetained } = extras
  const topic = isAliasKnown ? noTopic : content.topic
  let propertyBytes = 0
  if (is5) {
    propertyBytes = properties.length + (expiresMs >= 0 ? expiryBytes : 0) + (alias > 0 ? aliasBytes : 0)
    for (const id of subscriptionIds ?? []) propertyBytes += 1 + varintBytes(id)
  }
  const idBytes = qos > 0 ? 2 : 0
  const size = 2 + topic.length + idBytes + (is5 ? varintBytes(propertyBytes) + propertyBytes : 0) + payload.length
  const bytes = Buffer.allocUnsafe(1 + varintBytes(size) + size)
  bytes[0] = (types.publish << 4) | (qos << 1) | (isRetained ? 1 : 0)
  let at = putVarint(bytes, 1, size)
  bytes[at++] = topic.length >>> 8
  bytes[at++] = topic.length & 0xff
  bytes.set(topic, at)
  at += topic.length
  const idAt = qos > 0 ? at : -1
  at += idBytes
  let expiryAt = -1
  if (is5) {
    at = putVarint(bytes, at, propertyBytes)
    for (const id of subscriptionIds ?? []) {
      bytes[at++] = propertyIds.subscriptionIds
      at = putVarint(bytes, at, id)
    }
    if (expiresMs >= 0) {
      bytes[at] = propertyIds.messageExpiry
      expiryAt = at + 1
      at = bytes.writeUInt32BE(secondsLeft(expiresMs, nowMs), expiryAt)
    }
    if (alias > 0) {
      bytes[at++] = propertyIds.topicAlias
      at = bytes.writeUInt16BE(alias, at)
    }
    bytes.set(properties, at)
    at += properties.length
  }
  bytes.set(payload, at)
  return { bytes, idAt, expiryAt, expiresMs }
}

const noBytes = Buffer.alloc(0)
const topicBytesMax = 0xffff

/** Makes of messages what subscribers get. One for each broker. */
export class Packets {
  readonly #origins: Origins
  /** By version (5.0 or not) and quality of service. */
  readonly #forms: readonly (readonly Form<Template | undefined>[])[]
  readonly contentForm: Form<Content | undefined>

  constructor(origins: Origins) {
    this.#origins = origins
    this.contentForm = { make: passing => this.#contentOf(passing) }
    this.#forms = [false, true].map(is5 => [0, 1, 2].map(qos => this.#form(is5, qos)))
  }

  /** The same for all subscribers of a kind; undefined: it cannot be put into words of this protocol. */
  template(passing: Passing, version: number, qos: number): Template | undefined {
    return passing.as(this.#forms[version >= versions.mqtt5 ? 1 : 0]![qos]!)
  }

  #form(is5: boolean, qos: number): Form<Template | undefined> {
    return {
      make: passing => {
        const content = passing.as(this.contentForm)
        return content && encodePublish(content, is5, qos, passing.timestampMs)
      },
    }
  }

  #contentOf({ key, message, timestampMs }: Passing): Content | undefined {
    const topic = topicBytesOf(key)
    if (!topic) return undefined
    const { value, headers = [], expiresMs = -1 } = message
    const envelope = envelopeIn(headers)
    if (isOwn(envelope)) return own(topic, value, envelope, expiresMs)
    const qos = message.isTransient === true ? 0 : foreignQos
    const record = { key: bufferOf(message.key), value: bufferOf(value), timestampMs, headers: headers.map(asHeader) }
    return this.#foreign(topic, key, record, expiresMs, qos)
  }

  /** Of a message that was stored. */
  ofRecord(record: RecordView, key: string): Content | undefined {
    const topic = topicBytesOf(key)
    if (!topic) return undefined
    const { envelope, expiresMs, value, timestampMs } = record
    if (isOwn(envelope) && soundProperties(envelope)) return own(topic, value, envelope, expiresMs)
    const whole = { key: record.key, value, timestampMs, headers: record.headers() }
    return this.#foreign(topic, key, whole, expiresMs, foreignQos)
  }

  #foreign(
    topic: Buffer,
    key: string,
    record: Parameters<Origins['messageOf']>[0],
    stampedMs: number,
    qos: number,
  ): Content {
    const message = this.#origins.messageOf(record)
    const { payload, properties } = fromMessage(message, key)
    const expiresMs = stampedMs >= 0 ? stampedMs : (message.expirationMs ?? -1)
    return { topic, payload, properties, expiresMs, flags: qos << qosShift }
  }
}

/** What others have published is delivered with the quality that its subscriber asks for. */
const foreignQos = 2

function own(topic: Buffer, value: Uint8Array | null, envelope: Buffer, expiresMs: number): Content {
  const properties = envelope.subarray(envelopeHeadBytes)
  return { topic, payload: value ?? noBytes, properties, expiresMs, flags: envelope[2]! }
}

/** The last topic that was asked for: many messages have the same. */
let lastKey = ''
let lastTopic: Buffer | undefined

/** Undefined: no topic of this protocol is like that. */
function topicBytesOf(key: string): Buffer | undefined {
  if (key === lastKey) return lastTopic
  const topic = swapped(key)
  const bytes = isTopicName(topic) && !topic.includes('\0') ? Buffer.from(topic) : undefined
  lastKey = key
  lastTopic = bytes && bytes.length <= topicBytesMax ? bytes : undefined
  return lastTopic
}

const bufferOf = (bytes: Uint8Array | null | undefined): Buffer | null =>
  bytes === null || bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

const asHeader = ({ key, value }: { key: string; value: Uint8Array | null }): { key: string; value: Buffer | null } => {
  return { key, value: bufferOf(value) }
}

export const qosOf = ({ flags }: Content): number => (flags & flagBits.qos) >> qosShift
