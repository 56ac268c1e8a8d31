import assert from 'node:assert/strict'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import { DeliveryCounts } from './counts.ts'
import type { ConsumerId, Cursor } from './cursor.ts'
import { RecordReader, type ReadError } from './record-reader.ts'
import type { RecordView } from './record-view.ts'
import { Ring } from './ring.ts'
import {
  Subscription,
  type PullDone,
  type SubscribeOptions,
  type Subscriber,
  type SubscriptionHost,
} from './subscription.ts'

export interface DispatcherOptions {
  cursor: Cursor
  cell: QueueStreams
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  /** Messages that all consumers together may hold. */
  inFlightMax: number
  /** Messages that wait behind which somebody looks who does not want them. */
  passedOverMax: number
  /** Only one consumer at a time is given anything; the others stand by. */
  singleActive?: boolean
  /** Whether the message is not to be delivered any more. */
  isExpired?(record: RecordView): boolean
  /** Whether such a message may be dropped now; when it becomes true, `schedule` is called. */
  mayDrop?(): boolean
  /** A message no longer waits: it is given out, or about to be dropped. */
  left?(record: RecordView): void
  /** There is nothing to do at present: nobody to take anything, or nothing to take. */
  idle?(): void
  /** Somebody asks for a message. */
  asked?(): void
  /** The last consumer has gone, of its own accord. Called when all is done that comes of it. */
  deserted?(): void
  /** The stream could not be read at `offset`. It is tried again when there is something new to do. */
  unreadable(offset: number, error: ReadError): void
}

/** So many messages are given out before others have their turn. */
const messagesPerTurnMax = 256
/** So many in a row go to one consumer at the most, and fewer when all others would get less. */
const runMax = 32

/** By which the cursor knows who takes what nobody wants, to give it back at once. */
const passingName = '~passing'

/** Consumers of one priority that may take something, or could when they were last looked at. */
interface Level {
  priority: number
  waiting: Ring<Subscription>
  /** Of these, those that are over. */
  overCount: number
}

/** Someone who asks for one message now. */
interface Pull {
  subscription: Subscription
  done: PullDone
}

/**
 * Gives the messages of a cursor to its consumers: in the order of the stream, what was returned before what is ready; consumers of
 * higher priority first, those of one priority in turns. Volatile: after a restart the consumers come again.
 *
 * A consumer may want only some of them. What it does not want stays for the others, who see no difference; it looks behind what waits, which takes
 * two bits of memory for each message in the way, up to a number of them.
 *
 * It works only while there is something to give and someone to take it, and so much in one turn.
 */
export class Dispatcher implements SubscriptionHost {
  readonly cursor: Cursor
  readonly counts = new DeliveryCounts()
  readonly #options: DispatcherOptions
  readonly #reader: RecordReader
  readonly #subscriptions = new Map<ConsumerId, Subscription>()
  /** By descending priority. */
  readonly #levels: Level[] = []
  readonly #pulls = new Ring<Pull>()
  readonly #unwatch: (() => void)[]
  /** Those who do not want everything. */
  readonly #choosy = new Set<Subscription>()
  #passing: ConsumerId | undefined
  #isPassing = false
  /** Somebody may not look any further, until some of what is in the way is gone. */
  #isHeldUp = false
  #consumerCount = 0
  #active: Subscription | undefined
  #isScheduled = false
  #isRunning = false
  #isReading = false
  #isClosed = false

  constructor(options: DispatcherOptions) {
    const { cursor, cell } = options
    this.cursor = cursor
    this.#options = options
    this.#reader = new RecordReader(cell, cursor.stream)
    this.#unwatch = [
      cell.watch(cursor.stream, false, () => {
        this.#rouse()
        this.#turn()
      }),
      cursor.watch({
        returned: from => this.#cameBack(from),
        dropped: () => this.#fewer(),
        expired: (consumer, first, last) => {
          this.counts.all.returned += last - first + 1
          this.#subscriptions.get(consumer)?.freed()
        },
      }),
    ]
  }

  /** Those who may be given messages unasked. */
  get consumerCount(): number {
    return this.#consumerCount
  }

  /** Messages that consumers would take at once, unasked. */
  get room(): number {
    let room = 0
    for (const subscription of this.#subscriptions.values())
      if (subscription.isEligible && !subscription.looked) room += subscription.room
    return Math.min(room, Math.max(0, this.#options.inFlightMax - this.cursor.inFlightCount))
  }

  /** Subscriptions in line for messages, those that are over and have not been noticed included. */
  get lineLength(): number {
    return this.#levels.reduce((sum, { waiting }) => sum + waiting.length, 0)
  }

  get onlyFor(): Subscription | 'nobody' | undefined {
    return this.#options.singleActive ? (this.#active ?? 'nobody') : undefined
  }

  /**
   * A new consumer; undefined when another one is there for itself alone, or this one wants to be and is not the only one.
   */
  subscribe(options: SubscribeOptions, subscriber: Subscriber): Subscription | undefined {
    const present = [...this.#subscriptions.values()].filter(({ isPassive }) => !isPassive)
    if (!options.passive && (options.exclusive ? present.length > 0 : present.some(({ isExclusive }) => isExclusive)))
      return undefined
    const subscription = new Subscription(this, options, subscriber)
    this.#subscriptions.set(subscription.consumer, subscription)
    if (subscription.looked) this.#choosy.add(subscription)
    if (!subscription.isPassive) {
      this.#consumerCount++
      this.#elect()
      this.offer(subscription)
    }
    return subscription
  }

  /** The subscription may have room again. */
  offer(subscription: Subscription): void {
    if (subscription.isWaiting || !subscription.isEligible) return
    subscription.isWaiting = true
    this.#levelOf(subscription.priority).waiting.push(subscription)
    this.schedule()
  }

  /** One message for who asks, before all others; undefined when there is none now. `done` is called in a later turn or within this one. */
  pull(subscription: Subscription, done: PullDone): void {
    this.#options.asked?.()
    this.#pulls.push({ subscription, done })
    if (!this.#isRunning && !this.#isReading) this.#turn()
  }

  /** The subscription is over. For subscriptions alone. */
  forget(subscription: Subscription): void {
    if (subscription.isWaiting) this.#leaveLine(subscription.priority)
    if (this.#choosy.delete(subscription)) this.#passOn()
    if (this.#subscriptions.delete(subscription.consumer) && !subscription.isPassive) this.retired(subscription)
  }

  /** The subscription is no consumer any more. For subscriptions alone. */
  retired(subscription: Subscription): void {
    if (this.#active === subscription) {
      this.#active = undefined
      this.#elect()
    }
    if (--this.#consumerCount === 0) this.#options.deserted?.()
  }

  /** Someone may have something to do in a later turn. */
  schedule(): void {
    if (this.#isScheduled || this.#isRunning || this.#isClosed) return
    this.#isScheduled = true
    this.#options.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  later(run: () => void): void {
    this.#options.soon(run)
  }

  /** Tells all consumers that it is over. What they hold is for whoever removes the cursor, or for the next start. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const unwatch of this.#unwatch) unwatch()
    this.#reader.clear()
    for (let pull = this.#pulls.shift(); pull; pull = this.#pulls.shift()) pull.done(undefined, 0)
    for (const subscription of this.#subscriptions.values()) subscription.end()
    this.#subscriptions.clear()
    this.#choosy.clear()
    this.#consumerCount = 0
  }

  /** Something is available again. */
  #cameBack(from: number): void {
    if (this.#isPassing) return
    for (const { looked } of this.#choosy) looked?.back(from)
    this.#rouse()
    this.schedule()
  }

  /** There may be less in the way. */
  #fewer(): void {
    if (!this.#isHeldUp || this.cursor.returnedCount >= this.#options.passedOverMax) return
    this.#isHeldUp = false
    this.#rouse()
  }

  /** There may be something for those who found nothing that they want. */
  #rouse(): void {
    for (const subscription of this.#choosy) {
      if (!subscription.isSated) continue
      subscription.isSated = false
      this.offer(subscription)
    }
  }

  #turn(): void {
    if (this.#isRunning || this.#isReading || this.#isClosed) return
    this.#isRunning = true
    let left = messagesPerTurnMax
    let more = true
    while (left > 0 && more && !this.#isClosed) {
      const given = this.#step()
      more = given >= 0
      left -= Math.max(1, given)
    }
    this.#isRunning = false
    if (more) this.schedule()
    else if (!this.#isReading && !this.#isClosed) this.#options.idle?.()
  }

  /** Gives a few messages to one consumer. Returns how many; -1 when there is nothing to do for now. */
  #step(): number {
    const pull = this.#pull()
    const taker = pull?.subscription ?? this.#taker()
    if (!taker) return -1
    const { cursor } = this
    const end = this.#options.cell.bounds(cursor.stream)?.endOffset ?? 0
    const { looked } = taker
    const from = looked ? looked.next(cursor) : cursor.nextAvailable()
    if (from >= end) return this.#reachEnd(taker, pull)
    const found = this.#reader.find(from)
    if (found === 'unread') return this.#read(from) ? 0 : -1
    if (found === 'absent') {
      cursor.drop(from, from, 'gap')
      return 1
    }
    if (this.#options.isExpired?.(this.#reader.record) === true) {
      if (this.#options.mayDrop?.() === false) return looked ? this.#sate(taker, pull) : this.#findNothing(pull)
      this.#options.left?.(this.#reader.record)
      cursor.drop(from, from, 'expired')
      return 1
    }
    if (looked) return this.#choose(taker, from, end, pull)
    const ready = cursor.returnedCount + end - cursor.next
    const room = Math.min(runMax, taker.room, this.#options.inFlightMax - cursor.inFlightCount)
    const max = pull ? 1 : Math.max(1, Math.min(room, Math.floor(ready / this.#takerCount())))
    const count = this.#give(taker, max, from, Math.min(end, this.#reader.readTo), pull)
    if (!pull) this.#next(taker)
    return count
  }

  #reachEnd(taker: Subscription, pull: Pull | undefined): number {
    if (taker.looked) return this.#sate(taker, pull)
    // An idle queue has no memory for bodies.
    this.#reader.clear()
    return this.#findNothing(pull)
  }

  /** Gives a few messages to a consumer that wants them, or passes over some that it does not want. */
  #choose(taker: Subscription, from: number, end: number, pull: Pull | undefined): number {
    const { cursor } = this
    const isWanted = taker.options.wants?.(this.#reader.record) !== false
    const room = Math.min(runMax, taker.room, this.#options.inFlightMax - cursor.inFlightCount)
    const max = pull ? 1 : isWanted ? Math.max(1, room) : messagesPerTurnMax
    const last = this.#alike(taker, from, Math.min(end, this.#reader.readTo, from + max), isWanted)
    if (!isWanted) return this.#passOver(taker, from, last, pull)
    taker.looked?.at(last)
    const count = this.#give(taker, last - from + 1, from, last + 1, pull)
    if (!pull) this.#next(taker)
    return Math.max(1, count)
  }

  /** The last of the messages that follow each other from `from` on and are wanted like that one, or not. */
  #alike(taker: Subscription, from: number, to: number, isWanted: boolean): number {
    let last = from
    for (let next = from + 1; next < to; next++) {
      if (this.cursor.nextAvailable(next) !== next || this.#reader.find(next) !== 'found') break
      const { record } = this.#reader
      if (this.#options.isExpired?.(record) === true || (taker.options.wants?.(record) !== false) !== isWanted) break
      last = next
    }
    return last
  }

  /** What is ready can be taken in its order only: what is in the way is returned, as if it had never been given to anybody. */
  #passOver(taker: Subscription, from: number, to: number, pull: Pull | undefined): number {
    const { cursor } = this
    let first = from
    while (first <= to && cursor.stateOf(first) !== 'ready') first++
    const last = Math.min(to, first + this.#options.passedOverMax - cursor.returnedCount - 1)
    if (first <= to) {
      if (last < first) {
        this.#isHeldUp = true
        return this.#sate(taker, pull)
      }
      this.#isPassing = true
      this.#passing ??= cursor.join(passingName, 'session')
      cursor.acquire(this.#passing, { max: last - first + 1, from: first, to: last + 1 }, nothing)
      cursor.release(this.#passing, first, last, 'uncounted')
      this.#isPassing = false
    }
    taker.looked?.at(last)
    return last - from + 1
  }

  /** Nobody is left who would pass over anything. */
  #passOn(): void {
    if (this.#choosy.size > 0 || this.#passing === undefined) return
    this.cursor.leave(this.#passing)
    this.#passing = undefined
  }

  /** It has looked at everything, or as far as it may. */
  #sate(taker: Subscription, pull: Pull | undefined): number {
    if (pull) return this.#findNothing(pull)
    taker.isSated = true
    if (!this.#taker()) this.#reader.clear()
    return 0
  }

  /** There is nothing to give at present, and who has asked is told. */
  #findNothing(pull: Pull | undefined): number {
    if (!pull) return -1
    this.#pulls.shift()
    this.counts.all.pulledNothing++
    pull.done(undefined, 0)
    return 0
  }

  /** The first of those who ask that are still there. */
  #pull(): Pull | undefined {
    for (let first = this.#pulls.first; first; first = this.#pulls.first) {
      if (!first.subscription.isOver) return first
      this.#pulls.shift()
      first.done(undefined, 0)
    }
    return undefined
  }

  /** Whether there is something to do at once. */
  #read(from: number): boolean {
    const { cursor } = this
    let goesOn = false
    this.#isReading = true
    const isThere = this.#reader.read(from, cursor.stateOf(from) === 'ready', error => {
      this.#isReading = false
      goesOn = !this.#isClosed && this.#hasRead(from, error)
      if (goesOn) this.schedule()
    })
    if (isThere) this.#isReading = false
    return isThere || goesOn
  }

  /** Whether to go on after a read. */
  #hasRead(from: number, error: ReadError | undefined): boolean {
    const { cursor } = this
    if (error === undefined) return true
    if (error !== 'offset-out-of-range') {
      this.#options.unreadable(from, error)
      return false
    }
    // The stream's own retention was faster than the consumers.
    const start = this.#options.cell.bounds(cursor.stream)?.startOffset ?? from
    for (let at = cursor.nextAvailable(); at < start; at = cursor.nextAvailable()) this.#trimmed(at, start)
    return cursor.nextAvailable() > from
  }

  #trimmed(from: number, start: number): void {
    const { cursor } = this
    cursor.drop(from, from < cursor.next ? from : start - 1, 'trimmed')
  }

  /** Takes up to `max` messages of [from, to) for one consumer and delivers them. */
  #give(taker: Subscription, max: number, from: number, to: number, pull: Pull | undefined): number {
    const runs: [number, number, number][] = []
    const sink = { run: (first: number, last: number, count: number): void => void runs.push([first, last, count]) }
    const { leaseMs } = taker.options
    const count = taker.isSettled
      ? this.cursor.take({ max, from, to }, sink)
      : this.cursor.acquire(taker.consumer, { max, from, to, leaseMs }, sink)
    this.#fewer()
    for (const [first, last, deliveryCount] of runs) {
      for (let offset = first; offset <= last; offset++) {
        // It has gone while it was told of the messages before: these are returned already, or gone with it.
        if (taker.isOver && !taker.isSettled) return count
        if (!this.#isDeliverable(offset) || taker.isOver) continue
        taker.consumeCredit()
        this.counts.given(pull !== undefined, taker.isSettled, deliveryCount)
        if (pull) this.#tell(pull, deliveryCount)
        else taker.deliver(this.#reader.record, deliveryCount)
      }
    }
    return count
  }

  /** Who has asked goes on waiting when what was taken for it was too old. */
  #tell(pull: Pull, deliveryCount: number): void {
    this.#pulls.shift()
    pull.done(this.#reader.record, deliveryCount)
  }

  /** Whether the message is there and not too old; else it is settled. */
  #isDeliverable(offset: number): boolean {
    const found = this.#reader.find(offset)
    assert(found !== 'unread', 'what was taken has been read')
    const isThere = found === 'found'
    if (isThere) this.#options.left?.(this.#reader.record)
    if (isThere && this.#options.isExpired?.(this.#reader.record) !== true) return true
    this.cursor.drop(offset, offset, isThere ? 'expired' : 'gap')
    return false
  }

  /** The next consumer with room, of the highest priority that has one. */
  #taker(): Subscription | undefined {
    if (this.cursor.inFlightCount >= this.#options.inFlightMax) return undefined
    for (const level of this.#levels) {
      for (let { first } = level.waiting; first; { first } = level.waiting) {
        if (first.isEligible) return first
        this.#shift(level)
        first.isWaiting = false
      }
    }
    return undefined
  }

  /** The first one is not in line any more. */
  #shift(level: Level): void {
    if (level.waiting.shift()?.isOver) level.overCount--
  }

  /** One that is in line is over. Where nothing is given out nobody notices: those go together, when they are as many as the others. */
  #leaveLine(priority: number): void {
    const at = this.#levels.findIndex(level => level.priority === priority)
    const level = this.#levels[at]
    if (!level || ++level.overCount * 2 < level.waiting.length) return
    const { waiting } = level
    level.waiting = new Ring()
    level.overCount = 0
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      if (next.isOver) next.isWaiting = false
      else level.waiting.push(next)
    }
    if (level.waiting.length === 0) this.#levels.splice(at, 1)
  }

  #takerCount(): number {
    return this.#levels.find(({ waiting }) => waiting.length > 0)?.waiting.length ?? 1
  }

  /** It has had its turn: behind the others. */
  #next(taker: Subscription): void {
    const level = this.#levels.find(({ priority }) => priority === taker.priority)
    if (level?.waiting.first !== taker) return
    this.#shift(level)
    if (taker.isEligible) level.waiting.push(taker)
    else taker.isWaiting = false
  }

  #levelOf(priority: number): Level {
    const at = this.#levels.findIndex(level => level.priority <= priority)
    const found = this.#levels[at]
    if (found?.priority === priority) return found
    const level = { priority, waiting: new Ring<Subscription>(), overCount: 0 }
    this.#levels.splice(at < 0 ? this.#levels.length : at, 0, level)
    return level
  }

  /** Of several, only one may be active: the one of the highest priority that came first. */
  #elect(): void {
    if (!this.#options.singleActive || this.#active) return
    let best: Subscription | undefined
    for (const each of this.#subscriptions.values())
      if (!each.isPassive && each.priority > (best?.priority ?? -Infinity)) best = each
    if (!best) return
    this.#active = best
    best.activated()
    this.offer(best)
  }
}

const nothing = { run: (): void => {} }
