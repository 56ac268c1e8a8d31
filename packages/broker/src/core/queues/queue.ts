import type { AppendResult } from '../../cell/client.ts'
import { makeBatch, type NewRecord } from '../../storage/record-batch.ts'
import type { Cursor } from '../cursor/cursor.ts'
import { Dispatcher } from '../cursor/dispatcher.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { Subscription, SubscribeOptions, Subscriber } from '../cursor/subscription.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import { Expiry } from './expiry.ts'
import { queueConfig, type QueueConfig } from './queue-config.ts'
import { withStamp, type Stamp } from './stamp.ts'
import type { QueueDefinition, QueueOwner } from './table.ts'

/** What a queue needs of its surroundings. */
export interface QueueHost {
  readonly cell: QueueStreams
  readonly wheel: TimerWheel
  readonly inFlightMax: number
  nowMs(): number
  monotonicMs(): number
  soon(run: () => void): void
  /** The memory for messages that are not durable is used up. */
  isFull?(): boolean
  /** The last consumer of the queue has gone. */
  deserted(queue: Queue): void
  log(level: 'warn' | 'error', message: string): void
}

/** A message of a queue as its publisher hands it in: the broker stamps it. Its routing key is the record's key. */
export type QueueMessage = Omit<NewRecord, 'timestampMs'> & Partial<Stamp>

export type PublishResult = Omit<AppendResult, 'error'> & { error?: AppendResult['error'] | 'queue-full' }

/** A message that was looked at and not taken. Bytes are its own. */
export interface BrowsedMessage {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** All but the stamp. */
  readonly headers: readonly { key: string; value: Buffer | null }[]
  readonly stamp: Stamp
  readonly deliveryCount: number
  readonly isInFlight: boolean
}

/** The message as it is stored. */
function recordOf(message: QueueMessage, timestampMs: number): NewRecord {
  const { key = null, value } = message
  return { key, value, headers: withStamp(message.headers, message), timestampMs }
}

/** The stream is trimmed each time that so many more messages at its beginning are settled. */
const trimEvery = 4096
/** Looking at messages ends after so many bytes. */
const browsedBytesMax = 16 * 1024 * 1024

/**
 * A queue: a stream that messages are appended to, and a cursor that says who has taken which. A message leaves when it is settled.
 *
 * Verbs of consumers are those of their `Subscription`.
 */
export class Queue {
  readonly definition: QueueDefinition
  readonly config: QueueConfig
  readonly cursor: Cursor
  readonly #host: QueueHost
  readonly #dispatcher: Dispatcher
  readonly #expiry: Expiry | undefined
  readonly #unwatch: (() => void)[]
  #trimmedTo: number
  #isClosed = false

  constructor(definition: QueueDefinition, cursor: Cursor, host: QueueHost) {
    this.definition = definition
    this.cursor = cursor
    this.#host = host
    this.config = queueConfig(definition.config)
    this.#trimmedTo = cursor.floor
    cursor.deliveryLimit = this.config.deliveryLimit
    const { messageTtlMs: ttlMs, singleActiveConsumer: singleActive } = this.config
    const { cell, inFlightMax } = host
    const isExpired =
      ttlMs < 0 ? {} : { isExpired: (of: { timestampMs: number }) => of.timestampMs + ttlMs <= host.nowMs() }
    // Before the dispatcher: what is too much must not be given out first.
    this.#unwatch = [
      cell.watch(definition.stream, false, () => this.#shorten()),
      cursor.watch({ floorMoved: floor => this.#trim(floor), returned: () => host.soon(() => this.#shorten()) }),
    ]
    this.#dispatcher = new Dispatcher({
      cursor,
      cell,
      inFlightMax,
      singleActive,
      soon: run => host.soon(run),
      deserted: () => host.deserted(this),
      unreadable: (offset, error) => this.#unreadable(offset, error),
      ...isExpired,
    })
    if (ttlMs >= 0) this.#expiry = new Expiry(cursor, ttlMs, host)
    this.#shorten()
  }

  /** Whether it belongs to somebody else. */
  isLockedFor(who: QueueOwner | undefined): boolean {
    const { owner } = this.definition
    return owner !== undefined && owner !== who
  }

  get #end(): number {
    return this.#host.cell.bounds(this.definition.stream)?.endOffset ?? this.cursor.next
  }
  /** Messages that wait to be given out. */
  get readyCount(): number {
    return Math.max(0, this.#end - this.cursor.next) + this.cursor.returnedCount
  }
  get inFlightCount(): number {
    return this.cursor.inFlightCount
  }
  get consumerCount(): number {
    return this.#dispatcher.consumerCount
  }

  /** Appends the messages together, and calls `done` when they are durable, or at once with a refusal. There must be at least one. */
  publish(messages: readonly QueueMessage[], done: (result: PublishResult) => void): void {
    const { lengthMax, overflow } = this.config
    if (lengthMax >= 0 && overflow === 'reject-publish' && this.readyCount + messages.length > lengthMax) {
      return done({ error: 'queue-full', baseOffset: -1, appendTimeMs: -1, startOffset: this.cursor.floor })
    }
    if (this.#host.isFull?.() === true) {
      return done({ error: 'queue-full', baseOffset: -1, appendTimeMs: -1, startOffset: this.cursor.floor })
    }
    const timestampMs = this.#host.nowMs()
    const batch = makeBatch(messages.map(message => recordOf(message, timestampMs)))
    this.#host.cell.append(this.definition.stream, batch, done)
  }

  /** A consumer. Throws `BrokerError` `queue-in-use` when another one, or this one, wants to be alone. */
  subscribe(options: SubscribeOptions, subscriber: Subscriber): Subscription {
    const subscription = this.#dispatcher.subscribe(options, subscriber)
    if (subscription) return subscription
    throw new BrokerError(
      'queue-in-use',
      `${quote(this.definition.name)} has a consumer that is, or wants to be, the only one`,
    )
  }

  /** Drops all that waits; what consumers hold stays theirs. Returns how many messages that were. */
  purge(): number {
    return this.cursor.purge(this.#end)
  }

  /** Up to `max` messages that are not settled, from `from` on, without taking them; fewer when they are large. */
  async browse(from: number, max: number): Promise<BrowsedMessage[]> {
    const { cursor } = this
    const { name, stream } = this.definition
    const reader = new RecordReader(this.#host.cell, stream)
    const found: BrowsedMessage[] = []
    let bytes = 0
    for (const offset of this.#unsettled(from, max)) {
      if (reader.find(offset) === 'unread') {
        const error = await new Promise<ReadError | undefined>(resolve => {
          if (reader.read(offset, true, resolve)) resolve(undefined)
        })
        if (error === 'stream-not-found') throw new BrokerError('queue-not-found', quote(name))
        if (error === 'storage-corrupt') throw new BrokerError(error, quote(name))
      }
      // It may have been settled, or be gone, while others were read.
      const state = cursor.stateOf(offset)
      if (state === 'settled' || reader.find(offset) !== 'found') continue
      const { timestampMs, key, value } = reader.record
      const deliveryCount = cursor.deliveryCount(offset)
      const { stamp } = reader.record
      const headers = reader.record.headers()
      found.push({ offset, timestampMs, key, value, headers, stamp, deliveryCount, isInFlight: state === 'in-flight' })
      bytes += reader.record.end - reader.record.keyAt
      if (bytes >= browsedBytesMax) break
    }
    return found
  }

  /** The first `max` offsets from `from` on that are not settled. */
  #unsettled(from: number, max: number): number[] {
    const { cursor } = this
    const offsets: number[] = []
    for (const { first, last } of cursor.pending(Math.max(from, cursor.floor))) {
      for (let offset = first; offset <= last && offsets.length < max; offset++) offsets.push(offset)
      if (offsets.length >= max) break
    }
    const end = this.#end
    for (let offset = Math.max(from, cursor.next); offset < end && offsets.length < max; offset++) offsets.push(offset)
    return offsets
  }

  /** Consumers are told; nothing is given out any more. */
  close(): void {
    this.#isClosed = true
    for (const unwatch of this.#unwatch) unwatch()
    this.#expiry?.close()
    this.#dispatcher.close()
  }

  /** Drops the oldest of what waits when it is too much. */
  #shorten(): void {
    const { lengthMax, overflow } = this.config
    const { cursor } = this
    if (lengthMax < 0 || overflow !== 'drop-head' || this.#isClosed) return
    for (let excess = this.readyCount - lengthMax; excess > 0;) {
      const first = cursor.nextAvailable()
      // Of what was never given out, all that is too much at once.
      excess -= cursor.drop(first, first < cursor.next ? first : first + excess - 1, 'over-length')
    }
  }

  #trim(floor: number): void {
    // Memory is given back at once.
    if (this.definition.isKept && floor - this.#trimmedTo < trimEvery) return
    this.#trimmedTo = floor
    // When the cell closes before it is done, the next start does it.
    this.#host.cell.trim(this.definition.stream, floor).catch(() => {})
  }

  #unreadable(offset: number, error: ReadError): void {
    if (error === 'stream-not-found') return
    this.#host.log('error', `Queue ${quote(this.definition.name)} cannot go on at message ${offset}: ${error}`)
  }
}
