import type { Cursor, DropReason } from '../cursor/cursor.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { DeadLetters, hasHeirs, type DeadLettersHost } from './dead-letters.ts'
import { Expiry } from './expiry.ts'
import type { Gate } from './gate.ts'
import { Overflow } from './overflow.ts'
import type { QueueConfig } from './queue-config.ts'
import type { QueueMessage } from './message.ts'
import { ReadyBytes, type Stretch } from './ready-bytes.ts'
import type { QueueDefinition } from './table.ts'

export interface UpkeepHost extends DeadLettersHost {
  /** The memory for messages that are not durable is used up. */
  isFull?(): boolean
  /** Through which those go who read what is stored. */
  readonly gate: Gate
}

interface UpkeepOptions {
  definition: QueueDefinition
  cursor: Cursor
  host: UpkeepHost
  config(): QueueConfig
  /** Offsets of all that may wait at present, ascending. */
  present(): readonly Stretch[]
  /** Messages that consumers would take at once. */
  takerRoom(): number
  /** Somebody takes messages to bring them elsewhere. */
  isMoving(): boolean
  /** Messages that wait can be given out or dropped again. */
  eased(): void
}

/** After a start, the heads of queues are looked at one after the other. */
const firstLookMs = 1000
/** Queues look one after the other. */
const lookApartMs = 100
/** What was stored before this start is read to know its bytes when it is no more than this. */
const countedBytesMax = 64 * 1024 * 1024

/** What a queue does by itself: what waits too long, or is too much, leaves it, and goes where dead letters go. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #bytes: ReadyBytes
  readonly #expiry: Expiry
  readonly #overflow: Overflow
  readonly #unwatch: () => void
  #deadLetters: DeadLetters | undefined
  /** From here on no message has a time to live of its own. */
  #expiringTo: number
  /** Consumers are offered what has come. */
  #isServing = false
  /** Messages that came, and those that were refused, since the start. */
  publishedCount = 0
  refusedCount = 0
  /** Messages that left without an acknowledgement since the start. */
  readonly dropped = new Map<DropReason, number>()

  constructor(options: UpkeepOptions) {
    const { cursor, host, definition, present } = options
    this.#options = options
    const { cell } = host
    const soon = (run: () => void): void => host.soon(run)
    const room = (): number => this.room
    const left = (record: RecordView): void => this.left(record)
    // What an earlier start has left may be anything.
    this.#expiringTo = this.#end
    this.#bytes = new ReadyBytes({
      cursor,
      cell,
      present,
      soon,
      gate: host.gate,
      counted: () => this.#overflow.look(),
    })
    this.#overflow = new Overflow({ cursor, cell, soon, room, left, isOver: gone => this.#isOver(gone) })
    this.#expiry = new Expiry({ cursor, host, room, left, leftMs: record => this.#leftMs(record) })
    this.#unwatch = cursor.watch({
      dropped: (first, last, reason) => this.#dropped(last - first + 1, reason),
      inherited: (_first, _last, reason) => this.#moved(reason),
    })
    this.configured()
    if (cursor.nextAvailable() < this.#end) this.#expiry.look(firstLookMs + (definition.stream % 64) * lookApartMs)
  }

  /** Its settings may be others. */
  configured(): void {
    const { cursor, host, config, definition } = this.#options
    const { deadLetterExchange, deliveryLimit, messageTtlMs, bytesMax } = config()
    cursor.deliveryLimit = deliveryLimit
    if (!this.#deadLetters && (deadLetterExchange !== undefined || hasHeirs(cursor))) {
      const { namespace, name } = definition
      this.#deadLetters = new DeadLetters({ namespace, name, cursor, config, host, eased: () => this.#eased() })
    }
    this.#deadLetters?.wake()
    if (bytesMax >= 0) this.#bytes.count()
    this.#overflow.look()
    if (messageTtlMs >= 0) this.#expiry.changed()
  }

  /** Messages that were dropped and are on their way to where dead letters go. */
  get dyingCount(): number {
    return this.#deadLetters?.heldCount ?? 0
  }

  /** Messages that wait to be given out. */
  get readyCount(): number {
    const { cursor } = this.#options
    return Math.max(0, this.#end - cursor.next) + cursor.returnedCount
  }

  /** Bytes of the bodies of messages that wait, durable or not: exact, or estimated while they are counted or too many to be read again. */
  get readyBytes(): number {
    const { cursor, host } = this.#options
    if (this.readyCount + this.comingCount === 0) return this.#emptied()
    if (!this.#bytes.isExact && host.cell.sizeBytes(cursor.stream) <= countedBytesMax) this.#bytes.count()
    return this.#bytes.bytes
  }

  /** Nothing waits: whatever the figure was, it is 0. But what is being moved is subtracted only when it is where it goes. */
  #emptied(): 0 {
    if (!this.#options.isMoving()) this.#bytes.purged()
    return 0
  }

  /** How many messages may be dropped now. */
  get room(): number {
    return this.#deadLetters?.room ?? Infinity
  }

  /** Whether so many more messages, of so many bytes together, would be refused because there are too many. */
  refuses(count: number, bytes: number): boolean {
    const { host, config, takerRoom } = this.#options
    const { lengthMax, bytesMax, overflow } = config()
    if (host.isFull?.() === true) return true
    if (overflow === 'drop-head') return false
    // What is not durable yet counts, too.
    const present = this.readyCount + this.comingCount
    const isTooLong = lengthMax >= 0 && present + count > lengthMax
    const presentBytes = this.#bytes.bytes
    const isTooLarge = bytesMax >= 0 && presentBytes + bytes > bytesMax
    if (!isTooLong && !isTooLarge) return false
    // What somebody takes at once does not wait: of bytes, as large a share as of messages.
    const waiting = Math.max(0, present - takerRoom())
    const waitingBytes = present === 0 ? 0 : (presentBytes * waiting) / present
    return (isTooLong && waiting + count > lengthMax) || (isTooLarge && waitingBytes + bytes > bytesMax)
  }

  /** Messages were refused because there are too many. */
  refused(messages: readonly QueueMessage[]): 'queue-full' {
    this.refusedCount += messages.length
    if (this.#options.config().overflow === 'reject-publish-dlx') {
      for (const message of messages) this.#deadLetters?.refused(message)
    }
    return 'queue-full'
  }

  /** A message has been appended, durable or not. */
  came({ value, expiresMs = -1 }: QueueMessage): void {
    this.publishedCount++
    this.#bytes.added(value?.length ?? 0)
    if (expiresMs >= 0) this.#expiringTo = this.#end + this.comingCount
  }

  /** Something more can be given out; to be called before it is. */
  grown(): void {
    this.#isServing = true
  }

  /** A message no longer waits: it is given out, or dropped. */
  left(record: RecordView): void {
    this.#bytes.left(record)
  }

  /** Messages of so many bytes, of which `offset` is the first, were taken past all consumers. */
  picked(offset: number, bytes: number): void {
    this.#bytes.picked(offset, bytes)
  }

  returned(): void {
    this.#options.host.soon(() => this.#overflow.look())
    this.#lookForExpired()
  }

  /** Consumers have what they can take, and the rest waits. */
  served(): void {
    this.#isServing = false
    if (this.readyCount + this.comingCount === 0) this.#emptied()
    this.#overflow.look()
    this.#lookForExpired()
  }

  /** The queue is about to go: dead letters are brought away now. Undefined: they are; else it takes a while. */
  hurry(): Promise<void> | undefined {
    return this.dyingCount > 0 ? this.#deadLetters?.hurry() : undefined
  }

  /** All that waited is gone. */
  purged(): void {
    this.#bytes.purged()
  }

  isHeir(consumer: number | undefined): boolean {
    return this.#deadLetters?.isHeir(consumer) ?? false
  }

  isExpired(record: RecordView): boolean {
    if (this.#options.config().messageTtlMs < 0 && record.offset >= this.#expiringTo) return false
    const leftMs = this.#leftMs(record)
    if (leftMs > 0) return false
    // What may not wait at all is delivered to who is there when it comes.
    const mayWaitMs = leftMs + this.#options.host.nowMs() - record.timestampMs
    return mayWaitMs > 0 || !this.#isServing
  }

  close(): void {
    this.#unwatch()
    this.#deadLetters?.close()
    this.#expiry.close()
    this.#overflow.close()
    this.#bytes.close()
  }

  /** Messages that arrived where dead letters go, and those that had come round to where they had been. */
  get deadLetterCounts(): { readonly brought: number; readonly cycled: number } {
    return this.#deadLetters ?? nothing
  }

  get #end(): number {
    const { cursor, host } = this.#options
    return host.cell.bounds(cursor.stream)?.endOffset ?? cursor.next
  }
  /** Messages that were taken and are not durable yet. */
  get comingCount(): number {
    const { cursor, host } = this.#options
    return host.cell.unsettled(cursor.stream)
  }

  /** There is room for dead letters again. */
  #eased(): void {
    this.#overflow.look()
    if (this.#expires()) this.#expiry.goOn()
    this.#options.eased()
  }

  #dropped(count: number, reason: DropReason): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count)
    this.#moved(reason)
  }

  /** There may be another head. */
  #moved(reason: DropReason): void {
    if (reason !== 'expired') this.#lookForExpired()
  }

  /** What is estimated is no reason to drop anything. */
  #isOver(goneCount: number): boolean {
    const { lengthMax, bytesMax, overflow } = this.#options.config()
    if (overflow !== 'drop-head') return false
    if (lengthMax >= 0 && this.readyCount - goneCount > lengthMax) return true
    return bytesMax >= 0 && this.#bytes.isExact && this.#bytes.bytes > bytesMax
  }

  #lookForExpired(): void {
    if (this.#expires()) this.#expiry.look()
  }

  /** Whether the head may be too old one day. */
  #expires(): boolean {
    const head = this.#options.cursor.nextAvailable()
    return head < this.#end && (this.#options.config().messageTtlMs >= 0 || head < this.#expiringTo)
  }

  /** Milliseconds that the message may still wait. */
  #leftMs({ offset, timestampMs, expiresMs }: RecordView): number {
    const { messageTtlMs, deliveredExpire } = this.#options.config()
    if (!deliveredExpire && this.#wasGiven(offset)) return Infinity
    const own = expiresMs < 0 ? Infinity : expiresMs
    const common = messageTtlMs < 0 ? Infinity : timestampMs + messageTtlMs
    return Math.min(own, common) - this.#options.host.nowMs()
  }

  /** Somebody was given the message before he who may have it now. */
  #wasGiven(offset: number): boolean {
    const { cursor } = this.#options
    return cursor.deliveryCount(offset) > (cursor.stateOf(offset) === 'in-flight' ? 1 : 0)
  }
}

const nothing = { brought: 0, cycled: 0 }
