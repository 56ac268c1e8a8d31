import type { Ledger } from '../../cell/machine.ts'
import type { ConsumerId, Cursor, CursorConsumer, DropReason } from '../cursor/cursor.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import { Ring } from '../cursor/ring.ts'
import { quote } from '../names.ts'
import type { Destination } from '../routing/place.ts'
import { noTimer, type TimerTarget, type TimerWheel } from '../timers/wheel.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import { deathOfDrop, dropOfDeath, dyingOf, isCycle, letterOf, type Dying } from './deaths.ts'
import type { QueueConfig } from './queue-config.ts'
import type { QueueMessage } from './message.ts'
import { deathReasons, wholeStamp, type Death, type DeathReason } from './stamp.ts'

/** Where messages go that are published again. */
export interface Republishing {
  /** Each place that the exchange leads to by any of the message's keys, once; none when there is no such exchange. */
  destinations(namespace: string, exchange: string, message: QueueMessage, timestampMs: number): readonly Destination[]
  /** Why a destination would not take the message, now or at all; undefined: it takes it. */
  refusal(destination: Destination, message: QueueMessage): 'later' | 'never' | undefined
  /** Appends within this call, to the block that is open. False: it was refused. */
  append(destination: Destination, message: QueueMessage): boolean
}

export interface DeadLettersHost {
  readonly cell: QueueStreams
  readonly ledger: Pick<Ledger, 'atomic' | 'whenDurable'>
  readonly wheel: TimerWheel
  /** Undefined until the router is there. */
  republishing(): Republishing | undefined
  nowMs(): number
  monotonicMs(): number
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
}

export interface DeadLettersOptions {
  namespace: string
  /** By which histories tell of it. */
  name: string
  cursor: Cursor
  config(): Pick<QueueConfig, 'deadLetterExchange' | 'deadLetterKey'>
  host: DeadLettersHost
  /** There is room for messages again. */
  eased(): void
}

/** Messages that are brought away together; then others have their turn. */
const messagesPerTurnMax = 512
const bytesPerTurnMax = 512 * 1024
/** So many turns may be waiting for the disk: messages are not read faster than they can be written. */
const turnsMax = 16
/** Of what could as well stay in the queue, so many messages may be waiting here. */
const waitingMax = 8 * messagesPerTurnMax
/** So many are brought away within one call when their queue is about to go. */
const hurriedMax = 16_384
/** What the wheel tells apart. */
const idleReference = 1
/** When nothing has come for so long, no memory for bodies is kept. */
const idleMs = 1000
/** What was refused is tried again after this. */
const retryMs = 1000

/** By this name the consumer is found again that holds what was dropped for the reason. Written to disk: never change. */
const heirName = (reason: DeathReason): string => `~dead:${reason}`

/** For which reason a consumer is an heir, if it is one: consumers that clients have named come and go with their sessions. */
const reasonOf = ({ name, kind }: CursorConsumer): DeathReason | undefined =>
  kind === 'lasting' ? deathReasons.find(reason => heirName(reason) === name) : undefined

/** Whether an earlier start has left anything to bring away. */
export function hasHeirs(cursor: Cursor): boolean {
  for (const consumer of cursor.consumers()) {
    if (consumer.inFlightCount > 0 && reasonOf(consumer) !== undefined) return true
  }
  return false
}

/** A run of messages that are dead, in the hands of the heir for their reason. */
interface Dead {
  first: number
  last: number
  readonly heir: ConsumerId
  readonly reason: DeathReason
}

/**
 * Brings what a queue drops to where its dead letters go.
 *
 *   ready, in flight or returned --dropped--> in the hands of an heir --brought away--> settled, and appended to its targets
 *
 * Both steps are facts, and the second is one block: a crash leaves the message here or there, never nowhere and never twice. An heir
 * is a lasting consumer of the cursor, one for each reason, so that a new start goes on where the last one ended. What no target takes at
 * present stays with the heir; what leads nowhere is settled.
 */
export class DeadLetters implements TimerTarget {
  readonly #options: DeadLettersOptions
  readonly #cursor: Cursor
  readonly #reader: RecordReader
  readonly #heirs = new Map<DeathReason, ConsumerId>()
  readonly #waiting = new Ring<Dead>()
  readonly #unwatch: () => void
  #timer = noTimer
  #idleTimer = noTimer
  #isScheduled = false
  #isReading = false
  #isClosed = false
  #isRefused = false
  /** Who has the message already that is tried again because another place did not take it. */
  readonly #reached = new Set<Destination>()
  /** The block of what was brought away last. */
  #seq = -1
  /** Those who wait until all is brought away. */
  readonly #hurried: (() => void)[] = []
  /** Turns that are not durable yet. */
  #turnCount = 0
  heldCount = 0
  /** Messages that arrived somewhere, since the start. */
  brought = 0
  /** Targets that a message did not go to because it had been there before, since the start. */
  cycled = 0

  constructor(options: DeadLettersOptions) {
    const { cursor, host } = options
    this.#options = options
    this.#cursor = cursor
    this.#reader = new RecordReader(host.cell, cursor.stream)
    this.#inherit()
    cursor.heir = reason => this.#heirOf(reason)
    this.#unwatch = cursor.watch({ inherited: (first, last, reason) => this.#add(first, last, reason) })
    this.wake()
  }

  /** How many messages may be dropped now of which nobody asks that they go at once. */
  get room(): number {
    if (this.#options.config().deadLetterExchange === undefined) return Infinity
    // Who waits for what is here does not wait for more.
    return this.#hurried.length > 0 ? 0 : Math.max(0, waitingMax - this.heldCount)
  }

  /** A message that was not let in is published to where dead letters go, if that takes it. */
  refused(message: QueueMessage): void {
    const { host } = this.#options
    const { key = null, value, headers = [] } = message
    const timestampMs = host.nowMs()
    const letter = this.#letter({ key, value, headers, timestampMs, stamp: wholeStamp(message) }, 'maxlen')
    const to = host.republishing()
    if (!letter || !to) return
    const targets = this.#targets(letter, 'maxlen', timestampMs, to)
    if (targets === 'later') return
    let isTaken = false
    for (const target of targets) isTaken = to.append(target, letter) || isTaken
    if (isTaken) this.brought++
  }

  /**
   * The queue is about to go: what is in memory is brought away within this call. Undefined when that was all; else resolves when the rest has been read and
   * brought away too, or is refused.
   */
  hurry(): Promise<void> | undefined {
    const to = this.#options.host.republishing()
    if (!to) return undefined
    for (let left = hurriedMax; left > 0 && !this.#isReading && !this.#isHalted; left--) {
      const dead = this.#waiting.first
      if (!dead || this.#bringAway(dead, to) < 0) break
    }
    return this.#isHalted ? undefined : new Promise(resolve => this.#hurried.push(resolve))
  }

  /** There is nothing more to do, or nothing that could be done now. */
  get #isHalted(): boolean {
    return this.#waiting.length === 0 || this.#timer !== noTimer || this.#isClosed
  }

  #tellHurried(): void {
    if (this.#hurried.length === 0) return
    for (const resolve of this.#hurried.splice(0)) resolve()
    // If the queue stays after all.
    this.#options.host.soon(() => this.#options.eased())
  }

  isHeir(consumer: ConsumerId | undefined): boolean {
    for (const heir of this.#heirs.values()) if (heir === consumer) return true
    return false
  }

  close(): void {
    this.#isClosed = true
    this.#tellHurried()
    this.#unwatch()
    this.#cursor.heir = undefined
    const { wheel } = this.#options.host
    wheel.cancel(this.#timer)
    wheel.cancel(this.#idleTimer)
    this.#reader.clear()
  }

  /** Time to try again what was refused, or to give memory back. For the wheel alone. */
  due(reference: number): void {
    if (reference === idleReference) {
      this.#idleTimer = noTimer
      if (this.#waiting.length === 0) this.#reader.clear()
      return
    }
    this.#timer = noTimer
    this.wake()
  }

  #heirOf(drop: DropReason): ConsumerId | undefined {
    const reason = deathOfDrop(drop)
    if (reason === undefined || this.#options.config().deadLetterExchange === undefined) return undefined
    let heir = this.#heirs.get(reason)
    if (heir === undefined) this.#heirs.set(reason, (heir = this.#cursor.join(heirName(reason), 'lasting')))
    return heir
  }

  /** What an earlier start has left. */
  #inherit(): void {
    const cursor = this.#cursor
    const reasons = new Map<ConsumerId, DeathReason>()
    for (const consumer of cursor.consumers()) {
      const reason = reasonOf(consumer)
      if (reason === undefined) continue
      this.#heirs.set(reason, consumer.id)
      if (consumer.inFlightCount > 0) reasons.set(consumer.id, reason)
    }
    if (reasons.size === 0) return
    for (const { first, last, consumer: heir } of cursor.pending()) {
      const reason = reasons.get(heir)
      if (reason !== undefined) this.#push({ first, last, heir, reason })
    }
  }

  #add(first: number, last: number, drop: DropReason): void {
    const reason = deathOfDrop(drop)
    const heir = reason && this.#heirs.get(reason)
    if (reason === undefined || heir === undefined) return
    this.#push({ first, last, heir, reason })
    this.wake()
  }

  #push(dead: Dead): void {
    this.#waiting.push(dead)
    this.heldCount += dead.last - dead.first + 1
  }

  get #mayWork(): boolean {
    return !this.#isClosed && !this.#isReading && this.#timer === noTimer && this.#turnCount < turnsMax
  }

  /** There may be something to do in a later turn. */
  wake(): void {
    if (this.#isScheduled || !this.#mayWork || this.#waiting.length === 0) return
    this.#isScheduled = true
    this.#options.host.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  #turn(): void {
    const { host, eased } = this.#options
    const to = host.republishing()
    if (!this.#mayWork || !to) return
    const before = this.heldCount
    let bytes = 0
    let count = 0
    for (let dead = this.#waiting.first; dead; dead = this.#waiting.first) {
      if (count++ === messagesPerTurnMax || bytes >= bytesPerTurnMax) break
      const found = this.#bringAway(dead, to)
      if (found < 0) break
      bytes += found
    }
    if (this.heldCount < before) this.#await()
    if (this.heldCount < before) eased()
    if (this.#isHalted) this.#tellHurried()
    if (this.#waiting.length > 0) this.wake()
    else if (this.#idleTimer === noTimer) {
      this.#idleTimer = host.wheel.at(host.monotonicMs() + idleMs, this, idleReference)
    }
  }

  /** What this turn has done is on its way to the disk. */
  #await(): void {
    this.#turnCount++
    const seq = Math.max(this.#seq, this.#cursor.seq)
    this.#options.host.ledger.whenDurable(seq, () => this.#durable(), undefined)
  }

  #durable(): void {
    if (this.#turnCount-- === turnsMax) this.wake()
  }

  /** The first message of a run. Returns its bytes; -1: it has to be read, or to wait. */
  #bringAway(dead: Dead, to: Republishing): number {
    const { first, heir, reason } = dead
    const cursor = this.#cursor
    if (cursor.holder(first) !== heir) return this.#done(dead)
    const found = this.#reader.find(first)
    if (found === 'unread') return this.#read(first) ? 0 : -1
    if (found === 'absent') {
      cursor.discard(heir, first, first, 'gap')
      return this.#done(dead)
    }
    const { record } = this.#reader
    const bytes = record.end - record.keyAt
    const letter = this.#letter(dyingOf(record), reason)
    if (!letter) {
      cursor.discard(heir, first, first, dropOfDeath[reason])
      return this.#done(dead)
    }
    const targets = this.#targets(letter, reason, record.timestampMs, to)
    if (targets === 'later' || !this.#publish(dead, letter, targets, to)) return this.#refused()
    this.#isRefused = false
    this.#done(dead)
    return bytes
  }

  /** As the message is published again; undefined when it is not. */
  #letter(of: Dying, reason: DeathReason): QueueMessage | undefined {
    const { name, config, host } = this.#options
    const { deadLetterExchange: exchange, deadLetterKey: key } = config()
    if (exchange === undefined) return undefined
    return letterOf(of, { queue: name, reason, nowMs: host.nowMs(), exchange, key })
  }

  /** `later`: one of them does not take it now. */
  #targets(
    letter: QueueMessage,
    reason: DeathReason,
    timestampMs: number,
    to: Republishing,
  ): readonly Destination[] | 'later' {
    const { namespace } = this.#options
    const { exchange = '', deaths = [] } = letter
    const targets: Destination[] = []
    for (const destination of to.destinations(namespace, exchange, letter, timestampMs)) {
      // What somebody has rejected may come back: that does not go round by itself.
      if (reason !== 'rejected' && destination.kind === 'queue' && isCycle(destination.name, deaths)) {
        this.#tellCycle(destination.name, deaths)
        continue
      }
      const refusal = to.refusal(destination, letter)
      if (refusal === 'later') return refusal
      if (refusal === undefined) targets.push(destination)
    }
    return targets
  }

  /** In one block: to all targets that do not have it, and out of the queue. False: one of them has refused it, and it stays. */
  #publish(
    { first, heir, reason }: Dead,
    letter: QueueMessage,
    targets: readonly Destination[],
    to: Republishing,
  ): boolean {
    let isTaken = true
    this.#seq = this.#options.host.ledger.atomic(() => {
      for (const target of targets) isTaken &&= this.#reach(target, letter, to)
      if (isTaken) this.#cursor.discard(heir, first, first, dropOfDeath[reason])
    })
    if (isTaken && targets.length > 0) this.brought++
    return isTaken
  }

  /** What is not durable takes messages while the disk is full: when it has one, the others may not yet. */
  #reach(target: Destination, letter: QueueMessage, to: Republishing): boolean {
    if (this.#reached.has(target)) return true
    const isTaken = to.append(target, letter)
    if (isTaken) this.#reached.add(target)
    return isTaken
  }

  #tellCycle(target: string, deaths: readonly Death[]): void {
    if (this.cycled++ > 0) return
    const way = deaths.map(({ queue }) => quote(queue)).toReversed()
    const detail = `dead letters go round from ${way.join(' to ')} to ${quote(target)}, and nobody rejects them on the way`
    this.#options.host.log('warn', `A message was dropped: ${detail}. This is told once`)
  }

  /** The first message of the run is no longer here. */
  #done(dead: Dead): number {
    this.heldCount--
    this.#reached.clear()
    if (dead.first++ === dead.last) this.#waiting.shift()
    return 0
  }

  #refused(): number {
    const { host, name } = this.#options
    this.#timer = host.wheel.at(host.monotonicMs() + retryMs, this)
    if (!this.#isRefused)
      host.log('warn', `Dead letters of ${quote(name)} wait: where they go takes no messages at present`)
    this.#isRefused = true
    return -1
  }

  /** Whether it is there at once. */
  #read(offset: number): boolean {
    this.#isReading = true
    const isThere = this.#reader.read(offset, true, error => {
      this.#isReading = false
      if (this.#isClosed) return
      if (error !== undefined) this.#unreadable(offset, error)
      this.wake()
    })
    if (isThere) this.#isReading = false
    return isThere
  }

  #unreadable(offset: number, error: ReadError): void {
    const { host, name } = this.#options
    if (error === 'stream-not-found') return this.close()
    const dead = this.#waiting.first
    if (error === 'offset-out-of-range' && dead?.first === offset) {
      // Somebody has trimmed the stream: there is nothing to bring away.
      this.#cursor.discard(dead.heir, offset, offset, 'trimmed')
      this.#done(dead)
      return
    }
    host.log('error', `The dead letter ${offset} of ${quote(name)} cannot be read: ${error}`)
    if (this.#timer === noTimer) this.#timer = host.wheel.at(host.monotonicMs() + retryMs, this)
  }
}
