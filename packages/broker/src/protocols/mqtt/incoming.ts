import { isUtf8 } from 'node:buffer'
import { keptCopy, Reader } from '@dragoman/wire'
import { Ring } from '../../core/cursor/ring.ts'
import type { Broker } from '../../core/broker.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import { envelopeHeader } from '../../core/message.ts'
import type { Destination } from '../../core/routing/place.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Posted } from '../../core/routing/publisher.ts'
import type { SessionState } from '../../core/sessions/sessions.ts'
import { malformed, PacketError, reasonOfPublish, violation } from './errors.ts'
import type { Packet } from './framing.ts'
import { envelopeOf, flagBits, type OwnMessage } from './mapping.ts'
import { publishProperties, types, versions } from './messages.ts'
import { propertyIds, readProperties, readVarint } from './properties.ts'
import { reasons, type Reason } from './reasons.ts'
import type { Statistics } from './statistics.ts'
import { isTopicName, swapped } from './topics.ts'

export interface IncomingHost {
  readonly broker: Broker
  readonly namespace: string
  readonly version: number
  readonly rights: NamespaceAccess
  readonly state: SessionState | undefined
  readonly statistics: Statistics
  /** Whether the client does not want to have what it publishes under this key; and the queue that is not to get it. */
  isNotForItself(key: string): boolean
  readonly queueName: string
  nowMs(): number
  send(bytes: Buffer): void
  /** The message could not be taken, and the client's version has no words for that. */
  refuse(reason: Reason): void
}

/** A topic as it came last: many messages have the same. */
interface Topic {
  bytes: Buffer
  key: string
  keyBytes: Buffer
  isAllowed: boolean
}

/** An acknowledgement that waits until what it promises is durable. */
interface Ack {
  readonly seq: number
  readonly type: number
  readonly id: number
  readonly reason: number
}

/** What a message is published with besides topic and payload. */
interface Options {
  expiresMs: number
  properties: Buffer
}

type Decided = Pick<Posted, 'seq' | 'error' | 'isRouted'>

const noBytes = Buffer.alloc(0)
const noTopic: Topic = { bytes: noBytes, key: '', keyBytes: noBytes, isAllowed: false }
/** Messages that a client of 5.0 may have sent without an end of their hand-shakes. */
export const receiveMax = 2048
/** Aliases that a client may have. */
export const aliasMax = 100
const statusPrefix = '$SYS'

type Headers = NonNullable<OwnMessage['headers']>
const headersOf = (flags: number, properties: Uint8Array): Headers => [
  { key: envelopeHeader, value: envelopeOf(flags, properties) },
]
/** Of messages without properties. */
const plainHeaders = Array.from({ length: 8 }, (_, flags) => headersOf(flags, noBytes))
const plainOptions: Options = { expiresMs: -1, properties: noBytes }

/** Takes what one client publishes, and acknowledges it. [MQTT 5.0, 3.3, 4.3] */
export class Incoming {
  readonly #host: IncomingHost
  #aliases: Map<number, Topic> | undefined
  /** Of a client whose session ends with its connection: numbers that it may send again. */
  #received: Set<number> | undefined
  readonly #acks = new Ring<Ack>()
  #topic = noTopic
  /** The newest block that an acknowledgement waits for. */
  #seq = -1
  #isOver = false
  /** Messages that wait for PUBACK. */
  #unacknowledged = 0

  constructor(host: IncomingHost) {
    this.#host = host
  }

  get unacknowledgedCount(): number {
    return this.#acks.length
  }

  /** The connection is over: nobody is told any more. */
  end(): void {
    this.#isOver = true
  }

  publish({ first, bytes, at: from, end }: Packet): void {
    const { version, statistics } = this.#host
    const qos = (first >> 1) & 3
    if (qos === 3) throw malformed('There is no quality of service 3')
    if (qos === 0 && first & duplicateBit) throw malformed('What is not acknowledged cannot come again')
    let at = from + 2
    const topicBytes = end - from < 2 ? Infinity : (bytes[from]! << 8) | bytes[from + 1]!
    const topicEnd = at + topicBytes
    const idEnd = qos > 0 ? topicEnd + 2 : topicEnd
    if (idEnd > end) throw malformed('The packet ends before its topic does')
    const topicAt = at
    at = idEnd
    const id = qos > 0 ? (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]! : 0
    if (qos > 0 && id === 0) throw violation('A packet identifier cannot be 0')
    let options = plainOptions
    let alias = 0
    if (version >= versions.mqtt5) {
      if (at >= end) throw malformed('The packet ends before its properties do')
      if (bytes[at] === 0) at++
      else {
        const reader = new Reader(bytes, at, end)
        const size = readVarint(reader)
        if (size > reader.remaining) throw malformed('The packet ends before its properties do')
        at = reader.at + size
        ;[options, alias] = this.#options(reader, at, bytes.subarray(at, end))
      }
    }
    const topic = this.#topicOf(bytes, topicAt, topicEnd, alias)
    statistics.received++
    statistics.receivedBytes += end - from
    const payload = bytes.subarray(at, end)
    const isRetained = (first & 1) !== 0
    if (qos === 0) this.#publishOnce(topic, payload, options, isRetained)
    else if (qos === 1) this.#publishAcknowledged(topic, payload, options, isRetained, id)
    else this.#publishExactly(topic, payload, options, isRetained, id)
  }

  #publishOnce(topic: Topic, payload: Buffer, options: Options, isRetained: boolean): void {
    if (topic.isAllowed) this.#post(topic, payload, options, 0, isRetained)
  }

  #publishAcknowledged(topic: Topic, payload: Buffer, options: Options, isRetained: boolean, id: number): void {
    this.#checkQuota()
    if (!topic.isAllowed) return this.#refuse(types.puback, id, reasons.notAuthorized)
    const { seq, error, isRouted } = this.#post(topic, payload, options, 1, isRetained)
    if (error !== undefined) return this.#refuse(types.puback, id, reasonOfPublish(error))
    this.#acknowledge(types.puback, id, seq, isRouted ? reasons.success : reasons.noMatchingSubscribers)
  }

  /** Posted when it comes first; its number is kept until the client says that it does not send it again. [MQTT 5.0, 4.3.3] */
  #publishExactly(topic: Topic, payload: Buffer, options: Options, isRetained: boolean, id: number): void {
    const { broker, state } = this.#host
    if ((state?.received ?? this.#received)?.has(id) === true)
      return this.#acknowledge(types.pubrec, id, -1, reasons.success)
    this.#checkQuota()
    if (!topic.isAllowed) return this.#refuse(types.pubrec, id, reasons.notAuthorized)
    let posted: Decided = { seq: -1, error: undefined, isRouted: false }
    if (state) {
      let seq = -1
      const note = (): number => (seq = broker.sessions.received(state, id))
      broker.router.atomic(() => {
        posted = { ...this.#post(topic, payload, options, 2, isRetained, note) }
        if (posted.error === undefined && seq < 0) note()
        else if (posted.error !== undefined && seq >= 0) broker.sessions.forget(state, id)
      })
      posted = { ...posted, seq: Math.max(seq, posted.seq) }
    } else posted = this.#post(topic, payload, options, 2, isRetained)
    const { error, seq, isRouted } = posted
    if (error !== undefined) return this.#refuse(types.pubrec, id, reasonOfPublish(error))
    if (!state) (this.#received ??= new Set()).add(id)
    this.#acknowledge(types.pubrec, id, seq, isRouted ? reasons.success : reasons.noMatchingSubscribers)
  }

  #checkQuota(): void {
    const { version, state } = this.#host
    if (
      version < versions.mqtt5 ||
      this.#unacknowledged + ((state?.received ?? this.#received)?.size ?? 0) < receiveMax
    )
      return
    throw new PacketError(reasons.receiveMaximum, `At most ${receiveMax} messages may be on their way`)
  }

  /** PUBREL. */
  release(id: number): void {
    const { state, broker } = this.#host
    const isKnown = state ? state.received.has(id) : this.#received?.delete(id) === true
    const seq = isKnown && state ? broker.sessions.forget(state, id) : -1
    // Those of 3.1.1 are not told: they would not understand.
    this.#acknowledge(types.pubcomp, id, seq, isKnown ? reasons.success : reasons.packetIdNotFound)
  }

  /** `note` is called when nothing else keeps the message from being seen twice: it notes that it has come. */
  #post(
    { key, keyBytes }: Topic,
    payload: Buffer,
    { expiresMs, properties }: Options,
    qos: number,
    isRetained: boolean,
    note?: () => number,
  ): Decided {
    const { broker, namespace } = this.#host
    const flags = (qos << 1) | (isRetained ? flagBits.retain : 0)
    const { router } = broker
    const found = router.route(namespace, subjectExchange, key) ?? nowhere
    const destinations = this.#host.isNotForItself(key) ? found.filter(one => !this.#isOwn(one)) : found
    const message: OwnMessage = {
      key: keyBytes,
      value: payload,
      headers: properties.length === 0 ? plainHeaders[flags]! : headersOf(flags, properties),
      exchange: subjectExchange,
      isTransient: qos === 0,
      expiresMs,
      shownAfter: note && destinations[0]?.kind === 'sink' ? note() : -1,
      publisher: this,
    }
    return isRetained
      ? this.#postRetained(destinations, key, message)
      : withoutGone(router.postTo(destinations, key, message))
  }

  #postRetained(destinations: readonly Destination[], key: string, message: OwnMessage): Decided {
    const { broker, namespace } = this.#host
    const { router, retained } = broker
    let result: Decided = { seq: -1, error: undefined, isRouted: false }
    const isCleared = message.value?.length === 0
    if (!isCleared && broker.cell.isFull) return { ...result, error: 'storage-full' }
    if (!isCleared && !retained.mayKeep(namespace, key)) return { ...result, error: 'limit-reached' }
    router.atomic(() => {
      const { seq, error, isRouted } = withoutGone(router.postTo(destinations, key, message))
      // What is refused changes nothing.
      if (error !== undefined) return void (result = { seq, error, isRouted })
      const kept = isCleared ? retained.remove(namespace, key) : retained.keep(namespace, key, message)
      if (typeof kept !== 'number') return void (result = { seq: -1, error: kept, isRouted: false })
      result = { seq: Math.max(kept, seq), error, isRouted: isRouted || !isCleared }
    })
    return result
  }

  #isOwn({ kind, name }: Destination): boolean {
    return kind === 'queue' && name === this.#host.queueName
  }

  #options(reader: Reader, end: number, payload: Buffer): [Options, number] {
    const { source, at: start } = reader
    // What is for one moment, or for one connection, is left out.
    const parts: Buffer[] = []
    let from = start
    const found = readProperties(reader, end, allowed, (id, first, last) => {
      if (id !== propertyIds.messageExpiry && id !== propertyIds.topicAlias) return
      parts.push(source.subarray(from, first))
      from = last
    })
    parts.push(source.subarray(from, end))
    const { messageExpiry, topicAlias, payloadFormat, responseTopic } = found
    if (topicAlias !== undefined && (topicAlias === 0 || topicAlias > aliasMax)) {
      throw new PacketError(reasons.aliasInvalid, `Topic aliases go from 1 to ${aliasMax}`)
    }
    if (payloadFormat === 1 && !isUtf8(payload)) {
      throw new PacketError(reasons.payloadInvalid, 'The payload is said to be text in UTF-8, but is not')
    }
    if (responseTopic !== undefined && !isTopicName(responseTopic)) throw violation('The response topic is no topic')
    const expiresMs = messageExpiry === undefined ? -1 : this.#host.nowMs() + messageExpiry * 1000
    const properties = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    return [{ expiresMs, properties }, topicAlias ?? 0]
  }

  #topicOf(bytes: Buffer, from: number, to: number, alias: number): Topic {
    if (from === to) {
      const known = alias > 0 ? this.#aliases?.get(alias) : undefined
      if (known) return this.#allowed(known)
      if (alias > 0) throw violation(`The topic alias ${alias} is not known`)
      throw new PacketError(reasons.topicInvalid, 'A topic has at least one character')
    }
    const last = this.#topic
    if (last.bytes.length !== to - from || last.bytes.compare(bytes, from, to) !== 0)
      this.#topic = readTopic(bytes, from, to)
    if (alias > 0) (this.#aliases ??= new Map()).set(alias, this.#topic)
    return this.#allowed(this.#topic)
  }

  #allowed(topic: Topic): Topic {
    const { rights } = this.#host
    topic.isAllowed =
      !topic.key.startsWith(statusPrefix) &&
      rights.may('write', subjectExchange, 'exchange') &&
      rights.mayUseKey('write', subjectExchange, topic.key)
    return topic
  }

  /** 3.1.1 has no words for it: what is not allowed is taken and forgotten, what there is no room for ends the connection. */
  #refuse(type: number, id: number, reason: Reason): void {
    if (this.#host.version >= versions.mqtt5) return this.#acknowledge(type, id, -1, reason)
    if (reason !== reasons.notAuthorized) return this.#host.refuse(reason)
    if (type === types.pubrec) (this.#received ??= new Set()).add(id)
    this.#acknowledge(type, id, -1, reasons.success)
  }

  /** In the order in which the messages came, each when it is durable. */
  #acknowledge(type: number, id: number, seq: number, reason: number): void {
    if (seq < 0 && this.#acks.length === 0) return this.#tell(type, id, reason)
    this.#acks.push({ seq, type, id, reason })
    if (type === types.puback) this.#unacknowledged++
    const wanted = Math.max(seq, this.#seq)
    if (wanted === this.#seq && this.#acks.length > 1) return
    this.#seq = wanted
    this.#host.broker.router.whenDurable(wanted, this.#durable, wanted)
  }

  readonly #durable = (seq: number): void => {
    if (this.#isOver) return
    for (let first = this.#acks.first; first && first.seq <= seq; first = this.#acks.first) {
      this.#acks.shift()
      if (first.type === types.puback) this.#unacknowledged--
      this.#tell(first.type, first.id, first.reason)
    }
  }

  #tell(type: number, id: number, reason: number): void {
    this.#host.send(encodeAck(type, id, this.#host.version >= versions.mqtt5 ? reason : 0))
  }
}

/** A queue that is gone has all that it ever will: the others are waited for. */
const withoutGone = (posted: Posted): Decided =>
  posted.error === 'stream-not-found' ? { ...posted, error: undefined } : posted

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
export function encodeAck(type: number, id: number, reason: number): Buffer {
  const bytes = Buffer.allocUnsafe(reason === 0 ? 4 : 5)
  bytes[0] = (type << 4) | (type === types.pubrel ? 2 : 0)
  bytes[1] = bytes.length - 2
  bytes[2] = id >>> 8
  bytes[3] = id & 0xff
  if (reason !== 0) bytes[4] = reason
  return bytes
}

const duplicateBit = 8
const nowhere: readonly Destination[] = []
/** A client has no identifiers of others' subscriptions. */
const allowed = new Set([...publishProperties.allowed].filter(id => id !== propertyIds.subscriptionIds))

function readTopic(bytes: Buffer, from: number, to: number): Topic {
  const own = keptCopy(bytes.subarray(from, to))
  if (!isUtf8(own) || own.includes(0)) throw malformed('Expected a topic in UTF-8 without U+0000')
  const topic = own.toString()
  if (!isTopicName(topic)) throw new PacketError(reasons.topicInvalid, 'A topic that is published to has no wildcards')
  const key = swapped(topic)
  return { bytes: own, key, keyBytes: keptCopy(Buffer.from(key)), isAllowed: false }
}
