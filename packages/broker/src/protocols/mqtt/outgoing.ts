import type { Subscription } from '../../core/cursor/subscription.ts'
import { Ring } from '../../core/cursor/ring.ts'
import type { Limits } from '../../core/limits.ts'
import type { Outbox } from '../protocol.ts'
import { keep, secondsLeft, type Content, type Template } from './packets.ts'
import { failureFrom, reasons } from './reasons.ts'
import type { Statistics } from './statistics.ts'

/** Where a message lies that is on its way to a client, when it lies anywhere but in memory. */
export interface Source {
  readonly subscription: Subscription
  readonly offset: number
  /** The identifier that it must have, by which the client knows it when it comes again; 0: any. */
  readonly id: number
  /** It may have been sent before. */
  readonly isAgain: boolean
  /** Another message had the identifier before it. */
  readonly isReused: boolean
}

/** A message with an acknowledgement to come. */
interface Entry {
  template: Template | undefined
  readonly bytes: number
  readonly qos: number
  readonly source: Source | undefined
  state: 'sent' | 'released'
  /** The block with which it is remembered that the client has taken it. */
  seq: number
}

/** Who remembers what must survive the connection. */
export interface Memory {
  /** The client has taken the message of this number; `settle` is part of it. Returns the block that makes it durable. */
  taken(id: number, settle: () => void): number
  completed(id: number): void
}

export interface OutgoingHost {
  readonly outbox: Outbox
  readonly limits: Pick<Limits, 'subscriberBytesMax' | 'subscriberMessagesMax' | 'subscriberOverflow'>
  readonly statistics: Statistics
  /** Messages that the client takes without having acknowledged others. */
  readonly inFlightMax: number
  /** Larger packets are not sent. */
  readonly packetBytesMax: number
  /** Identifiers from here on are for messages that need not have a certain one. */
  readonly firstId: number
  /** Undefined: nothing is remembered. */
  readonly memory: Memory | undefined
  /** The client may hold identifiers that were free for any message, of messages that another client was given then. */
  readonly mayHoldOld: boolean
  nowMs(): number
  whenDurable(seq: number, run: () => void): void
  release(id: number, reason: number): void
}

/** Identifiers have 16 bits and are never 0. */
export const idMax = 0xffff
/** Above this, acknowledged messages wait in their queues rather than in the socket. */
const highBytes = 512 * 1024
/** What a packet has besides topic, properties and payload, and several subscription identifiers. */
const headBytesMax = 128
/** A larger packet is sent in its parts, not as a copy. */
const copiedBytesMax = 4096

/**
 * What is on its way to one client: the window of what it has not acknowledged, and in a row behind it what finds no room there.
 *
 * Invariant: `#inFlight` holds each identifier from its PUBLISH until PUBACK, or PUBCOMP.
 */
export class Outgoing {
  readonly #host: OutgoingHost
  readonly #inFlight = new Map<number, Entry>()
  readonly #waiting = new Ring<Entry>()
  #waitingBytes = 0
  #nextId: number
  /** Identifiers for any message of which the client holds nothing old. */
  readonly #cleared = new Set<number>()
  #isFull = false
  #isOver = false
  readonly #subscriptions = new Set<Subscription>()

  constructor(host: OutgoingHost) {
    this.#host = host
    this.#nextId = host.firstId
  }

  get inFlightCount(): number {
    return this.#inFlight.size
  }

  get waitingCount(): number {
    return this.#waiting.length
  }

  /** A queue that is consumed from: it rests while the client takes no bytes. */
  consume(subscription: Subscription): void {
    this.#subscriptions.add(subscription)
    if (this.#isFull) subscription.pause()
  }

  consumeNoMore(subscription: Subscription): void {
    this.#subscriptions.delete(subscription)
  }

  /** Whether such a message would leave at once, and for certain. */
  sendsNow({ payload, properties, topic, expiresMs }: Content, qos: number): boolean {
    const { packetBytesMax, outbox, limits, inFlightMax } = this.#host
    if (expiresMs >= 0 || payload.length + properties.length + topic.length + headBytesMax > packetBytesMax)
      return false
    if (qos === 0) return outbox.queuedBytes <= limits.subscriberBytesMax
    return this.#waiting.length === 0 && !this.#isFull && this.#inFlight.size < inFlightMax
  }

  /** A message without acknowledgement. It is dropped when the client is too slow. */
  sendOnce({ bytes, expiryAt, expiresMs }: Template): void {
    const { outbox, limits, statistics, packetBytesMax } = this.#host
    if (bytes.length > packetBytesMax || outbox.queuedBytes > limits.subscriberBytesMax) {
      statistics.dropped.count++
      return
    }
    if (expiryAt >= 0 && expiresMs <= this.#host.nowMs()) return
    statistics.sent++
    statistics.sentBytes += bytes.length
    outbox.write([bytes])
  }

  /** A message that is to be acknowledged. */
  offer(template: Template, qos: number, source?: Source): void {
    const { packetBytesMax, limits, statistics } = this.#host
    const bytes = template.bytes.length
    if (bytes > packetBytesMax) {
      statistics.dropped.count++
      source?.subscription.ack(source.offset)
      return
    }
    const entry: Entry = { template, bytes, qos, source, state: 'sent', seq: -1 }
    if (this.#waiting.length === 0 && this.#hasRoom(entry)) return this.#send(entry)
    // What lies in a queue is bounded by what its consumer may hold.
    if (!source && !this.#makeRoom(bytes, limits)) return
    keep(template)
    this.#waiting.push(entry)
    this.#waitingBytes += bytes
  }

  /** Whether it can wait; what there is no room for is dropped. */
  #makeRoom(bytes: number, limits: OutgoingHost['limits']): boolean {
    const { subscriberMessagesMax, subscriberBytesMax, subscriberOverflow } = limits
    const isOver = (): boolean =>
      this.#waiting.length >= subscriberMessagesMax || this.#waitingBytes + bytes > subscriberBytesMax
    while (isOver()) {
      this.#host.statistics.dropped.count++
      const oldest = subscriberOverflow === 'drop-oldest' ? this.#waiting.shift() : undefined
      if (!oldest) return false
      this.#waitingBytes -= oldest.bytes
      oldest.source?.subscription.release(oldest.source.offset)
    }
    return true
  }

  /** Of an earlier connection: the client has taken it, and is told once more. */
  resume(id: number): void {
    this.#inFlight.set(id, { template: undefined, bytes: 0, qos: 2, source: undefined, state: 'released', seq: -1 })
    this.#host.release(id, reasons.success)
  }

  /** A message that will not be sent again, and that the client may have: it is told that it can forget the identifier. */
  withdraw(source: Source, qos: number): void {
    const { subscription, offset, id, isAgain } = source
    if (qos < 2 || !isAgain || id === 0 || this.#inFlight.has(id)) return void subscription.ack(offset)
    this.#inFlight.set(id, { template: undefined, bytes: 0, qos, source, state: 'sent', seq: -1 })
    this.received(id, reasons.success)
  }

  /** PUBACK. False: there is no such message. */
  acknowledged(id: number): boolean {
    const entry = this.#inFlight.get(id)
    if (!entry || entry.qos !== 1) return false
    this.#inFlight.delete(id)
    entry.source?.subscription.ack(entry.source.offset)
    this.#goOn()
    return true
  }

  /** PUBREC: the message is the client's now, or it has refused it. */
  received(id: number, reason: number): void {
    const { memory, release, whenDurable } = this.#host
    const entry = this.#inFlight.get(id)
    if (!entry || entry.qos !== 2) return release(id, reasons.packetIdNotFound)
    if (reason >= failureFrom) {
      this.#inFlight.delete(id)
      entry.source?.subscription.ack(entry.source.offset)
      return this.#goOn()
    }
    if (entry.state === 'released') return whenDurable(entry.seq, () => release(id, reasons.success))
    entry.state = 'released'
    entry.template = undefined
    if (!memory) {
      entry.source?.subscription.ack(entry.source.offset)
      return release(id, reasons.success)
    }
    // First that it is taken: a message that comes again under another number would be another message.
    entry.seq = memory.taken(id, () => entry.source?.subscription.ack(entry.source.offset))
    whenDurable(entry.seq, () => release(id, reasons.success))
  }

  /** PUBCOMP. */
  completed(id: number): void {
    const entry = this.#inFlight.get(id)
    if (!entry || entry.qos !== 2 || entry.state !== 'released') return
    this.#inFlight.delete(id)
    this.#host.memory?.completed(id)
    this.#goOn()
  }

  /** The connection is over. What lies in queues goes back there with its consumers. */
  end(): void {
    this.#isOver = true
    this.#subscriptions.clear()
  }

  #goOn(): void {
    for (let first = this.#waiting.first; first && this.#hasRoom(first); first = this.#waiting.first) {
      this.#waiting.shift()
      this.#waitingBytes -= first.bytes
      this.#send(first)
    }
  }

  #hasRoom({ source }: Entry): boolean {
    return this.#inFlight.size < this.#host.inFlightMax && !this.#isFull && !this.#inFlight.has(source?.id ?? 0)
  }

  #send(entry: Entry): void {
    const { template, source, qos } = entry
    if (!template) return
    const { outbox, statistics } = this.#host
    const { expiresMs, expiryAt, idAt, bytes } = template
    const nowMs = expiresMs >= 0 ? this.#host.nowMs() : 0
    if (expiresMs >= 0 && expiresMs <= nowMs) {
      if (source) this.withdraw(source, qos)
      return
    }
    const isAgain = source?.isAgain === true
    const hasOwnId = source !== undefined && source.id > 0
    const id = hasOwnId ? source.id : this.#freeId()
    // What comes again may be what the client holds.
    if (qos === 2 && (hasOwnId ? source.isReused && !isAgain : true)) this.#clear(id)
    this.#inFlight.set(id, entry)
    statistics.sent++
    statistics.sentBytes += bytes.length
    const first = bytes[0]! | (isAgain ? duplicateBit : 0) | (qos << 1)
    if (bytes.length <= copiedBytesMax || expiryAt >= 0 || isAgain) {
      const copy = Buffer.from(bytes)
      copy[0] = first
      copy[idAt] = id >>> 8
      copy[idAt + 1] = id & 0xff
      if (expiryAt >= 0) copy.writeUInt32BE(secondsLeft(expiresMs, nowMs), expiryAt)
      outbox.write([copy])
    } else outbox.write([bytes.subarray(0, idAt), Buffer.of(id >>> 8, id & 0xff), bytes.subarray(idAt + 2)])
    // Large ones are not kept: if they come again, it is from where they lie.
    entry.template = undefined
    if (outbox.queuedBytes > highBytes && !this.#isFull) this.#rest()
  }

  /** Until the client has taken what it was sent. */
  #rest(): void {
    this.#isFull = true
    for (const subscription of this.#subscriptions) subscription.pause()
    this.#host.outbox.write([], () => {
      this.#isFull = false
      if (this.#isOver) return
      for (const subscription of this.#subscriptions) subscription.resume()
      this.#goOn()
    })
  }

  /** A client that holds a message of this identifier would take another one for the same, and drop it. [MQTT 5.0, 4.3.3] */
  #clear(id: number): void {
    if (!this.#host.mayHoldOld || this.#cleared.has(id)) return
    this.#cleared.add(id)
    this.#host.release(id, reasons.success)
  }

  /** One of a few more than are in use at a time: each of them may have to be cleared. */
  #freeId(): number {
    const { firstId, inFlightMax } = this.#host
    const lastId = Math.min(idMax, firstId + inFlightMax)
    for (;;) {
      const id = this.#nextId
      this.#nextId = id >= lastId ? firstId : id + 1
      if (!this.#inFlight.has(id)) return id
    }
  }
}

const duplicateBit = 8
