import type { Broker } from '../../core/broker.ts'
import type { RecordView } from '../../core/cursor/record-view.ts'
import { envelopeIn } from '../../core/message.ts'
import { noStamp, type Death, type Stamp } from '../../core/queues/stamp.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Form, Passing } from '../../core/routing/sink.ts'
import { perBroker } from '../per-broker.ts'
import type { Connection } from './connection.ts'
import { publishedTo } from './destinations.ts'
import { headerLine, rewritten, type Version } from './headers.ts'
import { envelopeHeadBytes, fromMessage, isOwn, linesOf } from './mapping.ts'

const backslash = 0x5c
const noBytes = Buffer.alloc(0)
const lengthName = Buffer.from('content-length:')
const redeliveredLine = Buffer.from('redelivered:true\n')
const ackName = Buffer.from('ack:')

/** Whatever lies in topics could have been written by who knows how; mostly the lines are those of the message before. */
let lastSound: Buffer = noBytes

/** The headers that a message is delivered with, but for those of the delivery; `destination` is where it was consumed from. The bytes are lent. */
export function linesFor(
  { broker, context, version }: Pick<Connection, 'broker' | 'context' | 'version'>,
  record: RecordView,
  destination: string,
): Buffer {
  const { envelope } = record
  const lines = envelope && isOwn(envelope) ? ownLines(envelope, version) : undefined
  const { stamp } = record
  if (lines) return stamp.deaths.length === 0 ? lines : Buffer.concat([lines, deathLines(stamp, version)])
  const { key, value, timestampMs } = record
  const message = broker.origins.messageOf({ key, value, timestampMs, headers: record.headers() })
  const routed = foreignLines(message, stamp, key, destination, context.clock.nowMs())
  return Buffer.concat([Buffer.from(rewritten(routed, version)), deathLines(stamp, version)])
}

/** Undefined when they are no lines. */
function ownLines(envelope: Buffer, version: Version): Buffer | undefined {
  if (!envelope.equals(lastSound)) {
    if (linesOf(envelope) === undefined) return undefined
    lastSound = Buffer.from(envelope)
  }
  const lines = envelope.subarray(envelopeHeadBytes)
  if (version === '1.2' || !lines.includes(backslash)) return lines
  return Buffer.from(rewritten(lines.toString(), version))
}

function foreignLines(
  message: ReturnType<Broker['origins']['messageOf']>,
  { exchange, expiresMs, priority }: Pick<Stamp, 'exchange' | 'expiresMs' | 'priority'>,
  key: Uint8Array | null,
  destination: string,
  nowMs: number,
): string {
  if (expiresMs >= 0) message.expirationMs ??= expiresMs
  if (message.priority === 0) message.priority = priority
  const keyText = key === null ? '' : Buffer.from(key).toString()
  const published = publishedTo(exchange, keyText)
  // The name of a queue, or a subject, is nothing to tell as a key: the destination says it.
  if (exchange === subjectExchange || (exchange === '' && destination.endsWith(`/${keyText}`))) message.key = null
  return fromMessage(message, published ?? destination, nowMs)
}

/** What is told of a message that was dead-lettered. */
function deathLines({ deaths }: Stamp, version: Version): Buffer {
  const [last] = deaths
  if (!last) return noBytes
  const first = deaths.find(({ isFirst }) => isFirst) ?? last
  const lines = (prefix: string, { reason, queue, exchange }: Death): string =>
    Object.entries({ reason, queue, exchange })
      .map(([name, value]) => headerLine(`${prefix}${name}`, value, version))
      .join('')
  const count = deaths.reduce((sum, death) => sum + death.count, 0)
  return Buffer.from(
    `${lines('x-first-death-', first)}${lines('x-last-death-', last)}${headerLine('x-death-count', String(count))}`,
  )
}

/** A message on its way to a subscription. */
export interface Delivery {
  /** `MESSAGE`, the subscription, and the id of the message up to its number. */
  readonly prefix: Buffer
  readonly number: number
  /** What the client acknowledges, up to the number; undefined: there is nothing that it could acknowledge, or it does so by the id. */
  readonly ackPrefix: Buffer | undefined
  readonly isRedelivered: boolean
  /** Lines of further headers. */
  readonly more: string
}

/** Writes a MESSAGE. Lines and body are copied. `taken` is called when the system has taken all that was sent until then. */
export function writeMessage(
  connection: Connection,
  { prefix, number, ackPrefix, isRedelivered, more }: Delivery,
  lines: Buffer,
  body: Buffer,
  taken: (() => void) | undefined,
): void {
  const digits = String(number)
  const length = String(body.length)
  const ackBytes = ackPrefix ? ackName.length + ackPrefix.length + digits.length + 1 : 0
  const flagBytes = isRedelivered ? redeliveredLine.length : 0
  const moreBytes = more === '' ? 0 : Buffer.byteLength(more)
  const size =
    prefix.length +
    digits.length +
    1 +
    ackBytes +
    flagBytes +
    moreBytes +
    lines.length +
    lengthName.length +
    length.length +
    2
  const frame = Buffer.allocUnsafe(size + body.length + 1)
  let at = prefix.copy(frame, 0)
  at = putLine(frame, at, digits)
  if (ackPrefix) {
    at += ackName.copy(frame, at)
    at += ackPrefix.copy(frame, at)
    at = putLine(frame, at, digits)
  }
  if (isRedelivered) at += redeliveredLine.copy(frame, at)
  if (moreBytes > 0) at += frame.write(more, at)
  at += lines.copy(frame, at)
  at += lengthName.copy(frame, at)
  at = putLine(frame, at, length)
  frame[at++] = lineFeed
  at += body.copy(frame, at)
  frame[at] = 0
  connection.write([frame], taken)
}

const lineFeed = 0x0a

/** Digits are few: a call for them would take longer. */
function putLine(frame: Buffer, from: number, digits: string): number {
  let at = from
  for (let index = 0; index < digits.length; index++) frame[at++] = digits.charCodeAt(index)
  frame[at] = lineFeed
  return at + 1
}

/** All of a MESSAGE behind the subscription, the same for all live subscriptions of one version. */
class LiveForm implements Form<Buffer> {
  readonly #broker: Broker
  readonly #version: Version
  readonly #prefix: string
  #count = 0

  constructor(broker: Broker, version: Version) {
    this.#broker = broker
    this.#version = version
    this.#prefix = `message-id:live-${broker.cell.epoch}-${version}-`
  }

  make(passing: Passing): Buffer {
    const { message } = passing
    const body = message.value ?? noBytes
    const lines = passingLines(this.#broker, passing, this.#version)
    const id = `${this.#prefix}${++this.#count}\n`
    return Buffer.concat([Buffer.from(id), lines, Buffer.from(`content-length:${body.length}\n\n`), body, noBytes0])
  }
}

const noBytes0 = Buffer.alloc(1)

/** The forms of live messages, by version. */
export const liveForms = perBroker((broker): Readonly<Record<Version, Form<Buffer>>> => ({
  '1.0': new LiveForm(broker, '1.0'),
  '1.1': new LiveForm(broker, '1.1'),
  '1.2': new LiveForm(broker, '1.2'),
}))

export function passingLines(broker: Broker, passing: Passing, version: Version): Buffer {
  const { message, key, timestampMs } = passing
  const envelope = envelopeIn(message.headers ?? [])
  if (envelope && isOwn(envelope)) {
    const lines = ownLines(bufferOf(envelope), version)
    if (lines) return lines
  }
  const headers = (message.headers ?? []).map(header => ({
    key: header.key,
    value: header.value && bufferOf(header.value),
  }))
  const record = {
    key: message.key ? bufferOf(message.key) : null,
    value: message.value && bufferOf(message.value),
    timestampMs,
    headers,
  }
  const { exchange = '', expiresMs = noStamp.expiresMs, priority = noStamp.priority } = message
  const found = broker.origins.messageOf(record)
  const text = foreignLines(found, { exchange, expiresMs, priority }, Buffer.from(key), '', timestampMs)
  return Buffer.from(rewritten(text, version))
}

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
