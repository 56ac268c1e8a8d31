import { addNewcomer, keptCopy, type Keeper } from '@dragoman/wire'
import { envelopeHeader, type Header } from '../../core/message.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Connection } from './connection.ts'
import { parseDestination, type Destination } from './destinations.ts'
import { refusedMessage, StompError } from './errors.ts'
import { headerLine, shown, type Headers } from './headers.ts'
import { envelopeOf, renamed } from './mapping.ts'
import { argumentsOf, makeQueue } from './queue-options.ts'
import { demand, demandKey } from './rights.ts'
import { schedule, scheduleOf, type Schedule } from './scheduling.ts'

/** Destinations whose meaning is remembered. */
const targetsMax = 1000
const priorityMax = 255
/** The longest time to live: as many milliseconds as 32 bits count. */
const ttlMsMax = 0xffff_ffff

const emptyEnvelope = keptCopy(envelopeOf(''))

/** Where a message goes. */
interface Target {
  readonly destination: string
  readonly exchange: string
  readonly key: string
  readonly keyBytes: Buffer | null
  readonly keys: readonly string[]
  /** A queue that is made when it is not there. */
  readonly isMade: boolean
}

/** A message that was read from a frame; its body may lie in the bytes that are read next. */
export interface Outgoing {
  readonly target: Target
  readonly message: QueueMessage
  /** From when it is sent; -1: it has none. */
  readonly ttlMs: number
  readonly schedule: Schedule | undefined
  /** How the queue is to be made, if it is not there. */
  readonly wanted: readonly Header[]
}

/** What the connection has that is not the publisher's own affair. */
export interface PublishingHost {
  /** The name of the connection's own queue, or key of its subject, which is made. */
  temporary(of: 'queue' | 'topic', name: string): string
  /** Answers are to come to the connection's own queue of that name: the address where others send them. */
  answersTo(destination: string): string
}

/** Takes the messages that a client sends. */
export class Publishing implements Keeper {
  readonly #connection: Connection
  readonly #host: PublishingHost
  readonly #targets = new Map<string, Target>()
  /** Of the last message: the next one mostly has the same. */
  #envelope: Buffer = emptyEnvelope
  #ownHeaders = [{ key: envelopeHeader, value: this.#envelope }]
  /** Of the envelopes there have been. */
  #envelopeNumber = 0

  /** The headers of the last message; none when the next one has to be read all the same. */
  #read: readonly string[] = noLines

  // Of the frame that is being read, or was read last.
  #destination: string | undefined
  #key: string | undefined
  #priority = 0
  #expiresMs = -1
  #ttlMs = -1
  #isSpecial = false
  /** Answers are to come to a place that may have to be made. */
  #isAsking = false

  constructor(connection: Connection, host: PublishingHost) {
    this.#connection = connection
    this.#host = host
  }

  /** Reads a SEND. Throws what there is to say against it. */
  read(headers: Headers, body: Buffer): Outgoing {
    if (!isSame(headers.lines, this.#read)) this.#readAll(headers)
    const destination = this.#destination
    if (destination === undefined) throw new StompError('missing_header', 'SEND needs the header destination')
    const target = this.#targetOf(destination)
    const plan = this.#isSpecial ? scheduleOf(headers, this.#delays(target)) : undefined
    const message: QueueMessage = {
      // What was routed by a key has that one.
      key: this.#key === undefined || target.exchange !== '' ? target.keyBytes : Buffer.from(this.#key),
      value: body,
      headers: this.#ownHeaders,
      exchange: target.exchange,
      expiresMs: this.#expiresMs,
      priority: this.#priority,
    }
    const wanted = target.isMade && !this.#isThere(target) ? argumentsOf(headers) : noArguments
    return { target, message, ttlMs: this.#ttlMs, schedule: plan, wanted }
  }

  #readAll(headers: Headers): void {
    this.#read = noLines
    this.#destination = this.#key = undefined
    this.#priority = 0
    this.#expiresMs = this.#ttlMs = -1
    this.#isSpecial = this.#isAsking = false
    this.#envelope = envelopeOf(this.#linesOf(headers))
    this.#ownHeaders = [{ key: envelopeHeader, value: this.#envelope }]
    if (!this.#isAsking) this.#read = headers.lines
    addNewcomer(this, ++this.#envelopeNumber)
  }

  own(number: number): void {
    if (number !== this.#envelopeNumber) return
    this.#envelope = keptCopy(this.#envelope)
    this.#ownHeaders = [{ key: envelopeHeader, value: this.#envelope }]
  }

  /** Makes the queue that the message goes to, if it is not there. What comes next waits for what is returned. */
  prepare({ target, wanted }: Outgoing): Promise<unknown> | undefined {
    if (!target.isMade || this.#isThere(target)) return undefined
    return makeQueue(this.#connection, target.key, { ...anything, arguments: wanted })
  }

  /** Sends a message where it belongs. Returns the block that makes it safe (-1: it is), or a promise of that. Throws when it is refused. */
  send({ target, message, ttlMs, schedule: plan }: Outgoing): number | Promise<number> {
    const { broker, namespace, context } = this.#connection
    const { destination, exchange, key } = target
    const toSend = ttlMs < 0 ? message : { ...message, expiresMs: context.clock.nowMs() + ttlMs }
    if (plan) return schedule(this.#connection, { namespace, exchange, key, message: toSend }, plan, destination)
    const { router } = broker
    const destinations = router.lookUp(namespace, exchange, target.keys, noHeaders)
    const { seq, error } = router.postTo(destinations, key, toSend)
    // A queue that is gone has all that it ever will.
    if (error !== undefined && error !== 'stream-not-found') throw refusedMessage(error, destination)
    return seq
  }

  /** What the message is delivered with: all but what is for the broker alone. */
  #linesOf(headers: Headers): string {
    const isOld = headers.version === '1.0'
    let lines = ''
    for (const line of headers.lines) {
      const at = line.indexOf(':')
      const name = isOld ? headers.nameOf(line) : line.slice(0, at)
      if (name === 'content-length' || name === 'receipt' || name === 'transaction') continue
      const other = this.#note(name, line, headers)
      if (other !== undefined || isOld)
        lines += headerLine(other ? other[0] : name, other ? other[1] : headers.valueOf(line))
      else lines += line.includes('\r') ? `${line.replaceAll('\r', '\\r')}\n` : `${line}\n`
    }
    return lines
  }

  /** Takes what the broker must know of a header; returns the header that takes its place, if another one does. */
  #note(name: string, line: string, headers: Headers): [string, string] | undefined {
    switch (name) {
      case 'destination':
        this.#destination ??= headers.valueOf(line)
        return undefined
      case 'key':
        this.#key ??= headers.valueOf(line)
        return undefined
      case 'priority':
        this.#priority = Math.min(priorityMax, wholeNumber(name, headers.valueOf(line)))
        return undefined
      case 'expires': {
        const atMs = wholeNumber(name, headers.valueOf(line))
        if (atMs > 0) this.#expiresMs = atMs
        return undefined
      }
      case 'expiration':
        this.#ttlMs = Math.min(ttlMsMax, wholeNumber(name, headers.valueOf(line)))
        return undefined
      case 'reply-to': {
        const address = headers.valueOf(line)
        if (!address.startsWith('/temp-')) return undefined
        this.#isAsking = true
        return [name, this.#host.answersTo(address)]
      }
      case 'message-id':
      case 'subscription':
      case 'ack':
      case 'redelivered':
        return [renamed[name] ?? name, headers.valueOf(line)]
      default:
        if (name.startsWith('AMQ_SCHEDULED_') || name === 'x-delay') this.#isSpecial = true
        return undefined
    }
  }

  #targetOf(text: string): Target {
    const known = this.#targets.get(text)
    const target = known ?? this.#resolve(text, parseDestination(text))
    const { exchange, key } = target
    if (known) this.#check(known)
    demand(this.#connection, 'write', 'exchange', exchange)
    demandKey(this.#connection, 'write', exchange, key)
    if (known) return known
    if (this.#targets.size >= targetsMax) this.#targets.clear()
    this.#targets.set(text, target)
    return target
  }

  #resolve(text: string, destination: Destination): Target {
    const [exchange, key, isMade] = this.#placeOf(destination)
    const keyBytes = key === '' ? null : keptCopy(Buffer.from(key))
    const target = { destination: text, exchange, key, keyBytes, keys: [key], isMade }
    this.#check(target)
    return target
  }

  /** Throws when nothing can be sent there. */
  #check(target: Target): void {
    const { exchange, key, isMade } = target
    const { broker, namespace } = this.#connection
    const definition = broker.router.get(namespace, exchange)
    if (!definition) throw new StompError('not_found', `There is no exchange ${shown(exchange)}`)
    if (definition.internal) {
      throw new StompError('access_refused', `Nobody may send to the internal exchange ${shown(exchange)}`)
    }
    if (exchange !== '' || isMade || this.#isThere(target)) return
    throw new StompError('not_found', `There is no queue ${shown(key)}`)
  }

  #isThere({ exchange, keys }: Target): boolean {
    const { broker, namespace } = this.#connection
    return broker.router.lookUp(namespace, exchange, keys, noHeaders).length > 0
  }

  /** Whether `x-delay` means anything there. */
  #delays({ exchange }: Target): boolean {
    const { broker, namespace } = this.#connection
    return broker.router.get(namespace, exchange)?.kind === 'delayed'
  }

  #placeOf(destination: Destination): [exchange: string, key: string, isMade: boolean] {
    switch (destination.kind) {
      case 'queue':
        return ['', destination.name, destination.isMade]
      case 'exchange':
        return [destination.exchange, destination.key ?? '', false]
      case 'temporary': {
        const name = this.#host.temporary(destination.of, destination.name)
        return destination.of === 'queue' ? ['', name, false] : [subjectExchange, name, false]
      }
    }
  }
}

const noArguments: readonly Header[] = []
const noLines: readonly string[] = []
/** What differs from message to message, and is no part of it. */
const passing = ['receipt:', 'content-length:', 'transaction:']

/** Whether the messages of two frames have the same headers. */
function isSame(lines: readonly string[], others: readonly string[]): boolean {
  if (lines.length !== others.length) return false
  for (let at = 0; at < lines.length; at++) {
    const [line, other] = [lines[at] ?? '', others[at] ?? '']
    if (line !== other && !passing.some(name => line.startsWith(name) && other.startsWith(name))) return false
  }
  return lines.length > 0
}
/** Nothing is said of how a queue is to be. */
const anything = { isDurable: undefined, autoDelete: undefined, exclusive: undefined }
const noHeaders = (): readonly never[] => []

function wholeNumber(name: string, value: string): number {
  if (/^\d{1,16}$/.test(value)) return Number(value)
  throw new StompError('invalid_header', `${name} takes a whole number, not ${shown(value)}`)
}
