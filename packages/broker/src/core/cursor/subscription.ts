import type { DeliveryCounts } from './counts.ts'
import type { ConsumerId, Cursor, Tally } from './cursor.ts'
import type { RecordView } from './record-view.ts'
import { Looked } from './looked.ts'

export interface SubscribeOptions {
  /** By which the consumer is found in the cursor. */
  name?: string
  /** Higher ones are served first; 0 when absent. */
  priority?: number
  /** Messages that it may hold at a time; 0 or absent: no limit of its own. */
  prefetch?: number
  /** A limit that it shares with other subscriptions. */
  shared?: SharedPrefetch | undefined
  /** Messages that it may be given before `grant` allows more; absent: this is not counted. */
  credit?: number
  /** Nobody else may consume. */
  exclusive?: boolean
  /** Given out is acknowledged. */
  settled?: boolean
  /** Messages that are not settled in this time go back. */
  leaseMs?: number
  /** It is given nothing unasked, and does not count as a consumer: for `pull` alone. */
  passive?: boolean
  /** Whether it is to be given the message, which is valid only during the call; absent: all. The same message always gets the same answer. */
  wants?: (record: RecordView) => boolean
}

/** What a consumer is told. */
export interface Subscriber {
  /** `record` is valid only during the call. The message is held until it is settled through the subscription. */
  deliver(record: RecordView, deliveryCount: number): void
  /** It is the active one of those that stand by. */
  activated?(): void
  /** It is over, and was not asked for: the queue is gone. */
  ended?(): void
}

/**
 * Messages that several subscriptions, also of different cursors, may hold together; 0: no limit.
 *
 * Those that find no room wait for it in a row. When there is some, as many are offered as can have any; those behind them when these had
 * nothing to take, so that what somebody settles does not cost a look at all.
 */
export class SharedPrefetch {
  readonly tally: Tally = { count: 0 }
  /** In the order of their coming. */
  readonly #starved = new Set<Subscription>()
  #max: number
  #isLater = false

  constructor(max: number) {
    this.#max = max
  }

  get room(): number {
    return this.#max === 0 ? Infinity : this.#max - this.tally.count
  }

  set max(max: number) {
    this.#max = max
    this.freed()
  }

  /** Those who wait for room. */
  get rowLength(): number {
    return this.#starved.size
  }

  /** The subscription would take something if there were room. */
  starve(member: Subscription): void {
    this.#starved.add(member)
  }

  /** The subscription is over. */
  leave(member: Subscription): void {
    this.#starved.delete(member)
    this.freed()
  }

  /** There may be room for those who found none. */
  freed(): void {
    if (this.#starved.size === 0) return
    let offered: Subscription | undefined
    let left = this.room
    for (const member of this.#starved) {
      if (left-- <= 0) break
      this.#starved.delete(member)
      member.offer()
      offered = member
    }
    if (this.#starved.size === 0) return
    if (!offered || this.#isLater) return
    this.#isLater = true
    offered.later(() => {
      this.#isLater = false
      this.freed()
    })
  }
}

/** What a subscription needs of its dispatcher. */
export interface SubscriptionHost {
  readonly cursor: Cursor
  readonly counts: DeliveryCounts
  /** The only one that is given anything; undefined: all are. */
  readonly onlyFor: Subscription | 'nobody' | undefined
  offer(subscription: Subscription): void
  pull(subscription: Subscription, done: PullDone): void
  retired(subscription: Subscription): void
  forget(subscription: Subscription): void
  schedule(): void
  /** Calls `run` in a later turn, after what is waiting already. */
  later(run: () => void): void
}

export type PullDone = (record: RecordView | undefined, deliveryCount: number) => void

/** One consumer of a cursor, as long as it is there. */
export class Subscription {
  readonly consumer: ConsumerId
  readonly options: SubscribeOptions
  readonly priority: number
  readonly isExclusive: boolean
  readonly isSettled: boolean
  /** It is given nothing unasked. */
  isPassive: boolean
  /** In the ring of its priority. For the dispatcher. */
  isWaiting = false
  isOver = false
  isPaused = false
  /** There is nothing that it wants at present. */
  isSated = false
  /** Of those alone who do not want everything. */
  readonly looked: Looked | undefined
  readonly #dispatcher: SubscriptionHost
  readonly #subscriber: Subscriber
  #prefetch: number
  #credit: number | undefined

  constructor(dispatcher: SubscriptionHost, options: SubscribeOptions, subscriber: Subscriber) {
    this.options = options
    this.priority = options.priority ?? 0
    this.isExclusive = options.exclusive === true
    this.isSettled = options.settled === true
    this.isPassive = options.passive === true
    this.#dispatcher = dispatcher
    this.#subscriber = subscriber
    this.#prefetch = options.prefetch ?? 0
    this.#credit = options.credit
    this.looked = options.wants && new Looked()
    this.consumer = dispatcher.cursor.join(options.name ?? '', 'session')
    this.#tally(options.shared?.tally)
  }

  /** Messages that it holds. */
  get heldCount(): number {
    return this.#dispatcher.cursor.consumer(this.consumer)?.inFlightCount ?? 0
  }

  /** Messages that it may be given now. */
  get room(): number {
    const credit = this.#credit ?? Infinity
    const prefetch = this.#prefetch === 0 ? Infinity : this.#prefetch - this.heldCount
    const room = Math.min(credit, prefetch)
    const { shared } = this.options
    if (!shared || room <= 0) return room
    return Math.min(room, shared.room)
  }

  /** Of several that stand by, the one that is given messages; otherwise all are. */
  get isActive(): boolean {
    const { onlyFor } = this.#dispatcher
    return onlyFor === undefined || onlyFor === this
  }

  get isEligible(): boolean {
    if (this.isOver || this.isPaused || this.isPassive || this.isSated || !this.isActive) return false
    if (this.room > 0) return true
    const { shared } = this.options
    if (shared && shared.room <= 0) shared.starve(this)
    return false
  }

  /** Messages that may be given before more are granted; undefined: not counted. */
  get credit(): number | undefined {
    return this.#credit
  }

  set prefetch(prefetch: number) {
    this.#prefetch = prefetch
    this.offer()
  }

  /** Each returns how many messages of [first, last] it held. They go on with what there is for it in a later turn. */
  ack(first: number, last = first): number {
    const count = this.#dispatcher.cursor.ack(this.consumer, first, last)
    this.#dispatcher.counts.all.acked += count
    return this.#settled(count)
  }
  reject(first: number, last = first): number {
    return this.#settled(this.#dispatcher.cursor.reject(this.consumer, first, last))
  }
  release(first: number, last = first, how: 'counted' | 'uncounted' = 'counted'): number {
    const count = this.#dispatcher.cursor.release(this.consumer, first, last, how)
    this.#dispatcher.counts.all.returned += count
    return this.#settled(count)
  }
  extend(first: number, last: number, leaseMs: number): number {
    return this.#dispatcher.cursor.extend(this.consumer, first, last, leaseMs)
  }

  /** One message now, if there is one; before all others' deliveries. */
  pull(done: PullDone): void {
    this.#dispatcher.pull(this, done)
  }

  /** May be given `count` messages more. */
  grant(count: number): void {
    this.#credit = (this.#credit ?? 0) + count
    this.offer()
  }

  /** Nothing more is taken for it until `resume`; what is taken already is still delivered, a few messages at the most. */
  pause(): void {
    this.isPaused = true
  }
  resume(): void {
    this.isPaused = false
    this.offer()
  }

  /** It is given nothing more and is no consumer any more. What it holds stays its own, until it settles that or is cancelled. */
  retire(): void {
    if (this.isOver || this.isPassive) return
    this.isPassive = true
    this.#dispatcher.retired(this)
  }

  /** The consumer goes; what it holds is returned. */
  cancel(how: 'counted' | 'uncounted' = 'counted'): void {
    if (this.isOver) return
    this.isOver = true
    this.#dispatcher.counts.all.returned += this.heldCount
    this.#dispatcher.cursor.leave(this.consumer, how)
    this.options.shared?.leave(this)
    this.#dispatcher.forget(this)
  }

  // For the dispatcher and the shared limit.

  deliver(record: RecordView, deliveryCount: number): void {
    this.#subscriber.deliver(record, deliveryCount)
  }
  consumeCredit(): void {
    if (this.#credit !== undefined) this.#credit--
  }
  offer(): void {
    this.#dispatcher.offer(this)
  }
  freed(): void {
    this.options.shared?.freed()
    this.offer()
  }
  activated(): void {
    this.#subscriber.activated?.()
  }
  end(): void {
    this.isOver = true
    // Nobody can settle any more what it held.
    this.#tally(undefined)
    this.options.shared?.leave(this)
    this.#subscriber.ended?.()
  }

  /** For the shared limit. */
  later(run: () => void): void {
    this.#dispatcher.later(run)
  }

  #tally(tally: Tally | undefined): void {
    const consumer = this.#dispatcher.cursor.consumer(this.consumer)
    if (consumer) consumer.tally = tally
  }

  #settled(count: number): number {
    if (count === 0) return 0
    this.freed()
    // Others may have waited for room that all share.
    this.#dispatcher.schedule()
    return count
  }
}
