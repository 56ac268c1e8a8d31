import type { AppendResult } from '../../cell/client.ts'
import { bodyOf, type RecordBody } from '../../storage/batch-builder.ts'
import { makeBatch, type NewRecord } from '../../storage/record-batch.ts'
import type { Cursor } from '../cursor/cursor.ts'
import { Dispatcher } from '../cursor/dispatcher.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { Subscription, SubscribeOptions, Subscriber } from '../cursor/subscription.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import { tickMs } from '../timers/wheel.ts'
import { DeadLetters, hasHeirs, type DeadLettersHost } from './dead-letters.ts'
import { Expiry } from './expiry.ts'
import { queueConfig, type QueueConfig } from './queue-config.ts'
import { withStamp, type Stamp } from './stamp.ts'
import type { QueueLanes } from './lanes/queue-lanes.ts'
import type { QueueDefinition, QueueOwner } from './table.ts'

/** What a queue needs of its surroundings. */
export interface QueueHost extends DeadLettersHost {
  readonly inFlightMax: number
  /** The memory for messages that are not durable is used up. */
  isFull?(): boolean
  /** The last consumer of the queue has gone. */
  deserted(queue: Queue): void
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
export function recordOf(message: QueueMessage, timestampMs: number): NewRecord {
  const { key = null, value } = message
  return { key, value, headers: withStamp(message.headers, message), timestampMs }
}

/** The stream is trimmed each time that so many more messages at its beginning are settled. */
const trimEvery = 4096
/** After a start, the heads of queues are looked at one after the other. */
const firstLookMs = 1000
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
  readonly #lanes: QueueLanes | undefined
  readonly #dispatcher: Dispatcher
  readonly #expiry: Expiry
  #deadLetters: DeadLetters | undefined
  readonly #unwatch: (() => void)[]
  #trimmedTo: number
  /** From here on no message has a time to live of its own. */
  #expiringTo: number
  /** Messages below were there when the consumers had been served. */
  #offeredTo = 0
  #isClosed = false

  constructor(definition: QueueDefinition, cursor: Cursor, host: QueueHost, lanes?: QueueLanes) {
    this.definition = definition
    this.cursor = cursor
    this.#host = host
    this.#lanes = lanes
    this.config = queueConfig(definition.config)
    this.#trimmedTo = cursor.floor
    cursor.deliveryLimit = this.config.deliveryLimit
    const { singleActiveConsumer: singleActive } = this.config
    const { cell, inFlightMax } = host
    // What an earlier start has left may be anything.
    this.#expiringTo = this.#end
    // Before the dispatcher: what is too much must not be given out first.
    this.#unwatch = [
      cell.watch(definition.stream, false, () => this.#shorten()),
      cursor.watch({ floorMoved: floor => this.#trim(floor), returned: () => this.#returned() }),
    ]
    this.#dispatcher = new Dispatcher({
      cursor,
      cell,
      inFlightMax,
      singleActive,
      soon: run => host.soon(run),
      deserted: () => host.deserted(this),
      unreadable: (offset, error) => this.#unreadable(offset, error),
      isExpired: record => this.#isExpired(record),
      mayDrop: () => this.#room() > 0,
      idle: () => this.#served(),
    })
    this.#expiry = new Expiry({
      cursor,
      host,
      leftMs: record => this.#leftMs(record),
      room: () => this.#room(),
    })
    this.configured()
    if (this.#end > cursor.nextAvailable()) this.#expiry.look(firstLookMs + (definition.stream % 64) * tickMs)
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
  /** Messages that consumers hold. */
  get inFlightCount(): number {
    return this.cursor.inFlightCount - this.dyingCount
  }
  /** Messages that were dropped and are on their way to where dead letters go. */
  get dyingCount(): number {
    return this.#deadLetters?.heldCount ?? 0
  }
  get consumerCount(): number {
    return this.#dispatcher.consumerCount
  }

  /** Its settings may be others. */
  configured(): void {
    const { cursor } = this
    cursor.deliveryLimit = this.config.deliveryLimit
    if (!this.#deadLetters && (this.config.deadLetterExchange !== undefined || hasHeirs(cursor))) {
      const { namespace, name } = this.definition
      const config = (): QueueConfig => this.config
      this.#deadLetters = new DeadLetters({
        namespace,
        name,
        cursor,
        config,
        host: this.#host,
        eased: () => this.#eased(),
      })
    }
    this.#deadLetters?.wake()
    this.#shorten()
    if (this.config.messageTtlMs >= 0) this.#expiry.look()
  }

  /** Whether the messages would be refused because there are too many. */
  refuses(messages: readonly QueueMessage[]): boolean {
    const { lengthMax, overflow } = this.config
    if (this.#host.isFull?.() === true) return true
    if (lengthMax < 0 || overflow === 'drop-head') return false
    // What is not durable yet counts, too.
    return this.#takenCount + messages.length > lengthMax
  }

  /** Appends the messages together, and calls `done` when they are durable, or at once with a refusal. There must be at least one. */
  publish(messages: readonly QueueMessage[], done: (result: PublishResult) => void): void {
    const error = this.#refusal(messages)
    if (error) return done({ error, baseOffset: -1, appendTimeMs: -1, startOffset: this.cursor.floor })
    const timestampMs = this.#host.nowMs()
    if (this.#lanes) return this.#publishByPriority(messages, timestampMs, done)
    const batch = makeBatch(messages.map(message => recordOf(message, timestampMs)))
    this.#host.cell.append(this.definition.stream, batch, done)
  }

  /**
   * Appends one message, whose record `body` is. Returns the number of the block that makes it durable (-1: it need not be), or
   * why it is refused. It is decided before this returns; those that come before the block is written become one batch.
   */
  post(body: RecordBody, message: QueueMessage): number | NonNullable<PublishResult['error']> {
    return this.#refusal([message]) ?? this.#gather(body, message)
  }

  #gather(body: RecordBody, { priority = 0 }: QueueMessage): ReturnType<Queue['post']> {
    const { cell } = this.#host
    if (!this.#lanes) return cell.gather(this.definition.stream, body)
    try {
      return cell.gather(this.#lanes.streamFor(priority), body)
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'storage-full') return error.code
      throw error
    }
  }

  #publishByPriority(
    messages: readonly QueueMessage[],
    timestampMs: number,
    done: (result: PublishResult) => void,
  ): void {
    const { ledger } = this.#host
    const result: PublishResult = { baseOffset: -1, appendTimeMs: -1, startOffset: -1 }
    let seq = -1
    ledger.atomic(() => {
      for (const message of messages) {
        const taken = this.#gather(bodyOf(recordOf(message, timestampMs)), message)
        if (typeof taken === 'number') seq = Math.max(seq, taken)
        else result.error ??= taken
      }
    })
    ledger.whenDurable(seq, done, result)
  }

  /** Why the messages are not taken. When they are, what must be known of them is noted. */
  #refusal(messages: readonly QueueMessage[]): 'queue-full' | undefined {
    if (this.refuses(messages)) {
      if (this.config.overflow !== 'reject-publish-dlx') return 'queue-full'
      for (const message of messages) this.#deadLetters?.refused(message)
      return 'queue-full'
    }
    for (const { expiresMs = -1 } of messages) {
      if (expiresMs >= 0) this.#expiringTo = this.#takenEnd + messages.length
    }
    return undefined
  }

  /** Behind all that was taken, durable or not. */
  get #takenEnd(): number {
    return this.#end + this.#host.cell.unsettled(this.definition.stream)
  }
  get #takenCount(): number {
    return this.readyCount + this.#host.cell.unsettled(this.definition.stream)
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

  /** Drops all that waits, durable or not; what consumers hold stays theirs. Returns how many messages that were. */
  purge(): number {
    return this.cursor.purge(this.#takenEnd)
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
    if (this.#lanes) return this.#lanes.cursor.unsettled(from, max)
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
    this.#deadLetters?.close()
    this.#expiry.close()
    this.#dispatcher.close()
  }

  /** How many messages may be dropped now. */
  #room(): number {
    return this.#deadLetters?.room ?? Infinity
  }

  /** There is room for dead letters again. */
  #eased(): void {
    this.#shorten()
    this.#dispatcher.schedule()
    this.#expiry.look()
  }

  #returned(): void {
    this.#host.soon(() => this.#shorten())
    this.#lookForExpired()
  }

  /** Consumers have what they can take, and the rest waits. */
  #served(): void {
    this.#offeredTo = this.#end
    this.#lookForExpired()
  }

  #lookForExpired(): void {
    const head = this.cursor.nextAvailable()
    if (this.config.messageTtlMs < 0 && head >= this.#expiringTo) return
    if (head < this.#end) this.#expiry.look()
  }

  /** Milliseconds that the message may still wait. */
  #leftMs({ timestampMs, expiresMs }: RecordView): number {
    const { messageTtlMs } = this.config
    const own = expiresMs < 0 ? Infinity : expiresMs
    const common = messageTtlMs < 0 ? Infinity : timestampMs + messageTtlMs
    return Math.min(own, common) - this.#host.nowMs()
  }

  #isExpired(record: RecordView): boolean {
    if (this.config.messageTtlMs < 0 && record.offset >= this.#expiringTo) return false
    const leftMs = this.#leftMs(record)
    if (leftMs > 0) return false
    // What may not wait at all is delivered to who is there when it comes.
    const mayWaitMs = leftMs + this.#host.nowMs() - record.timestampMs
    return mayWaitMs > 0 || record.offset < this.#offeredTo
  }

  /** Drops the oldest of what waits when it is too much. */
  #shorten(): void {
    const { lengthMax, overflow } = this.config
    const { cursor } = this
    if (lengthMax < 0 || overflow !== 'drop-head' || this.#isClosed) return
    for (let excess = Math.min(this.readyCount - lengthMax, this.#room()); excess > 0;) {
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
