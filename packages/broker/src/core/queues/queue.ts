import type { AppendResult } from '../../cell/client.ts'
import { bodyOf, type RecordBody } from '../../storage/batch-builder.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import type { Cursor, DropReason } from '../cursor/cursor.ts'
import { Dispatcher } from '../cursor/dispatcher.ts'
import type { DeliveryStatistics } from '../cursor/counts.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { Subscription, SubscribeOptions, Subscriber } from '../cursor/subscription.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import { browse, everything, read, type Browsed, type BrowsedMessage, type MessageFilter } from './browse.ts'
import { dropOne, Move, type MoveOptions } from './move.ts'
import type { Stretch } from './ready-bytes.ts'
import { recordOf, type QueueMessage } from './message.ts'
import { queueConfig, type QueueConfig } from './queue-config.ts'
import type { QueueLanes } from './lanes/queue-lanes.ts'
import type { QueueDefinition, QueueOwner } from './table.ts'
import { Idleness } from './idleness.ts'
import { Upkeep, type UpkeepHost } from './upkeep.ts'

/** What a queue needs of its surroundings. */
export interface QueueHost extends UpkeepHost {
  readonly inFlightMax: number
  readonly passedOverMax: number
  /** Its own settings with those that policies add. */
  settingsOf(definition: QueueDefinition): ReadonlyMap<string, string>
  /** The last consumer of the queue has gone. */
  deserted(queue: Queue): void
  /** Nobody has used the queue for as long as it stays then. */
  unused(queue: Queue): void
}

export type { QueueMessage } from './message.ts'

export type PublishResult = Omit<AppendResult, 'error'> & { error?: AppendResult['error'] | 'queue-full' }

/** What has become of the messages of a queue since the broker started. */
export interface QueueStatistics extends DeliveryStatistics {
  readonly published: number
  /** Refused because there were too many. */
  readonly refused: number
  /** Left without an acknowledgement, dead-lettered or not. */
  readonly dropped: ReadonlyMap<DropReason, number>
  /** Of those: arrived where dead letters go. */
  readonly deadLettered: number
}

/** The stream is trimmed each time that so many more messages at its beginning are settled. */
const trimEvery = 4096

/**
 * A queue: a stream that messages are appended to, and a cursor that says who has taken which. A message leaves when it is settled.
 *
 * Verbs of consumers are those of their `Subscription`.
 */
export class Queue {
  readonly definition: QueueDefinition
  readonly cursor: Cursor
  readonly #host: QueueHost
  readonly #lanes: QueueLanes | undefined
  readonly #dispatcher: Dispatcher
  readonly #upkeep: Upkeep
  readonly #idleness: Idleness
  readonly #unwatch: (() => void)[]
  #config: QueueConfig
  #trimmedTo: number
  #move: Move | undefined

  constructor(definition: QueueDefinition, cursor: Cursor, host: QueueHost, lanes?: QueueLanes) {
    this.definition = definition
    this.cursor = cursor
    this.#host = host
    this.#lanes = lanes
    this.#config = queueConfig(host.settingsOf(definition))
    this.#trimmedTo = cursor.floor
    cursor.deliveryLimit = this.#config.deliveryLimit
    const { singleActiveConsumer: singleActive } = this.#config
    const { cell, inFlightMax, passedOverMax } = host
    this.#upkeep = new Upkeep({
      definition,
      cursor,
      host,
      config: () => this.#config,
      present: () => this.#present(),
      takerRoom: () => this.#dispatcher.room,
      isMoving: () => this.#move?.isOver === false,
      eased: () => this.#dispatcher.schedule(),
    })
    const upkeep = this.#upkeep
    // Before the dispatcher, which serves what has come.
    this.#unwatch = [
      cell.watch(definition.stream, false, () => upkeep.grown()),
      cursor.watch({ floorMoved: floor => this.#trim(floor), returned: () => upkeep.returned() }),
    ]
    this.#dispatcher = new Dispatcher({
      cursor,
      cell,
      inFlightMax,
      passedOverMax,
      singleActive,
      soon: run => host.soon(run),
      deserted: () => {
        this.used()
        host.deserted(this)
      },
      unreadable: (offset, error) => this.#unreadable(offset, error),
      isExpired: record => upkeep.isExpired(record),
      mayDrop: () => upkeep.room > 0,
      left: record => upkeep.left(record),
      idle: () => upkeep.served(),
      asked: () => this.used(),
    })
    const { wheel } = host
    this.#idleness = new Idleness({
      wheel,
      monotonicMs: () => host.monotonicMs(),
      expiresMs: () => this.#config.expiresMs,
      isUsed: () => this.consumerCount > 0,
      over: () => host.unused(this),
    })
    this.#idleness.configured()
  }

  /** Whether it belongs to somebody else. */
  isLockedFor(who: QueueOwner | undefined): boolean {
    const { owner } = this.definition
    return owner !== undefined && owner !== who
  }

  get #end(): number {
    return this.#host.cell.bounds(this.definition.stream)?.endOffset ?? this.cursor.next
  }
  /** Messages that ever came, and are durable if the queue is. */
  get appendedCount(): number {
    return this.#lanes?.cursor.appendedCount ?? this.#end
  }
  /** Messages that wait to be given out. */
  get readyCount(): number {
    return this.#upkeep.readyCount
  }
  /** Messages that will wait as soon as they are durable. */
  get comingCount(): number {
    return this.#upkeep.comingCount
  }
  /**
   * Bytes of their bodies, those that are not durable yet included. What was there before the broker started is counted when this is first
   * asked for, and estimated until then, or for good when it is very much.
   */
  get readyBytes(): number {
    return this.#upkeep.readyBytes
  }
  /** Messages that consumers hold. */
  get inFlightCount(): number {
    return this.cursor.inFlightCount - this.dyingCount
  }
  /** Bytes of the bodies of what is in flight. */
  get inFlightBytes(): number {
    return this.cursor.heldBytes
  }
  /** Messages that were dropped and are on their way to where dead letters go. */
  get dyingCount(): number {
    return this.#upkeep.dyingCount
  }
  get statistics(): QueueStatistics {
    const { publishedCount: published, refusedCount: refused, dropped } = this.#upkeep
    const { brought: deadLettered } = this.#upkeep.deadLetterCounts
    return { ...this.#dispatcher.counts.all, published, refused, dropped, deadLettered }
  }
  get consumerCount(): number {
    return this.#dispatcher.consumerCount
  }

  /** As it was declared, and as policies have it at present. */
  get config(): QueueConfig {
    return this.#config
  }

  /** Its settings, or where dead letters go, may be others. */
  configured(): void {
    this.#config = queueConfig(this.#host.settingsOf(this.definition))
    this.#upkeep.configured()
    this.#idleness.configured()
  }

  /** Somebody asks for the queue by its name, or for one of its messages: it stays as long again as it does when nobody uses it. */
  used(): void {
    this.#idleness.used()
  }

  /** Whether one more message of so many bytes would be refused because there are too many. */
  refuses(bytes: number): boolean {
    return this.#upkeep.refuses(1, bytes)
  }

  /** Appends the messages together, and calls `done` when they are durable, or at once with a refusal. There must be at least one. */
  publish(messages: readonly QueueMessage[], done: (result: PublishResult) => void): void {
    const error = this.#refusal(messages)
    if (error) return done({ error, baseOffset: -1, appendTimeMs: -1, startOffset: this.cursor.floor })
    const timestampMs = this.#host.nowMs()
    if (this.#lanes) return this.#publishByPriority(messages, timestampMs, done)
    const batch = makeBatch(messages.map(message => recordOf(message, timestampMs)))
    let isTaken = true
    this.#host.cell.append(this.definition.stream, batch, result => {
      if (result.error) isTaken = false
      done(result)
    })
    if (isTaken) for (const message of messages) this.#upkeep.came(message)
  }

  /**
   * Appends one message, whose record `body` is. Returns the number of the block that makes it durable (-1: it need not be), or
   * why it is refused. It is decided before this returns; those that come before the block is written become one batch.
   */
  post(body: RecordBody, message: QueueMessage): number | NonNullable<PublishResult['error']> {
    if (message.isTransient === true && this.#config.persistentOnly) return -1
    return this.refuses(message.value?.length ?? 0) ? this.#upkeep.refused([message]) : this.#gather(body, message)
  }

  #gather(body: RecordBody, message: QueueMessage): ReturnType<Queue['post']> {
    const taken = this.#gatherIn(body, message)
    if (typeof taken === 'number') this.#upkeep.came(message)
    return taken
  }

  #gatherIn(body: RecordBody, { priority = 0 }: QueueMessage): ReturnType<Queue['post']> {
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

  /** Why the messages are not taken. */
  #refusal(messages: readonly QueueMessage[]): 'queue-full' | undefined {
    const bytes = messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    return this.#upkeep.refuses(messages.length, bytes) ? this.#upkeep.refused(messages) : undefined
  }

  /** A consumer. Throws `BrokerError` `queue-in-use` when another one, or this one, wants to be alone. */
  subscribe(options: SubscribeOptions, subscriber: Subscriber): Subscription {
    this.used()
    const subscription = this.#dispatcher.subscribe(options, subscriber)
    if (subscription) return subscription
    throw new BrokerError(
      'queue-in-use',
      `${quote(this.definition.name)} has a consumer that is, or wants to be, the only one`,
    )
  }

  /** Where its messages are; its own stream holds all of them unless it has priorities. */
  get streams(): QueueHost['cell'] {
    return this.#host.cell
  }
  /** Its messages are kept apart by their priorities. */
  get hasPriorities(): boolean {
    return this.#lanes !== undefined
  }
  /** One past the last message that was taken, durable or not. */
  get takenEnd(): number {
    return this.#host.cell.takenEnd(this.definition.stream)
  }

  /** Takes what waits of [first, last] out of the queue, wherever it lies and durable or not, as if it had been acknowledged. */
  pick(first: number, last: number, bytes: number): number {
    const count = this.cursor.pick(first, last)
    if (count > 0) this.#upkeep.picked(first, bytes)
    return count
  }

  /** Drops all that waits, durable or not; what consumers hold stays theirs. Returns how many messages that were. */
  purge(): number {
    const count = this.cursor.purge(this.takenEnd)
    this.#upkeep.purged()
    return count
  }

  /**
   * Up to `max` messages from `from` on that are not settled, without taking them; fewer when they are large. With a filter, those that are
   * wanted; fewer, too, when they are far between: `search` tells where to go on.
   */
  async browse(from: number, max: number, filter: MessageFilter = everything): Promise<BrowsedMessage[]> {
    return (await this.search(from, max, filter)).messages
  }

  search(from: number, max: number, filter: MessageFilter): Promise<Browsed> {
    const { cursor } = this
    const soon = (run: () => void): void => this.#host.soon(run)
    const isHeir = (consumer: number | undefined): boolean => this.#upkeep.isHeir(consumer)
    const unsettled = (first: number, count: number): readonly number[] => this.#unsettled(first, count)
    const { name } = this.definition
    return browse({ name, cursor, cell: this.#host.cell, unsettled, isHeir, soon }, from, max, filter)
  }

  /**
   * Brings messages that wait elsewhere, in later turns. Throws `BrokerError` `queue-in-use` when that is being done already, and
   * `request-invalid` when they would go where they are.
   */
  move(options: MoveOptions): Move {
    const { namespace, name } = this.definition
    if (this.#move?.isOver === false)
      throw new BrokerError('queue-in-use', `messages of ${quote(name)} are being moved`)
    if (typeof options.to === 'object' && options.to.queue === name) {
      throw new BrokerError('request-invalid', `messages of ${quote(name)} cannot be moved to where they are`)
    }
    const { cursor } = this
    const left = (record: RecordView): void => this.#upkeep.left(record)
    const present = this.#present()
    const total = this.readyCount
    const move = new Move({ ...options, namespace, name, cursor, host: this.#host, total, present, left })
    this.#move = move
    return move
  }

  /** How far messages are moved, or were moved the last time; undefined: nobody has asked for it. */
  get moving(): Move | undefined {
    return this.#move
  }

  /**
   * Drops one message that waits. False: it is not there, or somebody holds it. Rejects with `BrokerError` `limit-reached` when too many
   * that nobody has had wait before it.
   */
  async drop(offset: number): Promise<boolean> {
    const { cursor } = this
    const reader = new RecordReader(this.#host.cell, cursor.stream)
    if (cursor.stateOf(offset) === 'settled' || !this.#present().some(({ from, to }) => offset >= from && offset < to))
      return false
    await read(reader, offset, this.definition.name)
    if (reader.find(offset) !== 'found') return false
    return dropOne(cursor, reader.record, record => this.#upkeep.left(record))
  }

  /** Offsets of all that may wait at present. */
  #present(): readonly Stretch[] {
    return this.#lanes?.cursor.present() ?? [{ from: this.cursor.floor, to: this.#end }]
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

  /** The queue is about to go: dead letters are brought away now. Undefined: they are; else it takes a while. */
  hurry(): Promise<void> | undefined {
    return this.#upkeep.hurry()
  }

  /** Consumers are told; nothing is given out any more. */
  close(): void {
    for (const unwatch of this.#unwatch) unwatch()
    this.#move?.gone()
    this.#upkeep.close()
    this.#idleness.close()
    this.#dispatcher.close()
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
