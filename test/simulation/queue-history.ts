import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { RecordId } from './history.ts'
import type { Delivery } from './queue-port.ts'
import type { Shared } from './workload.ts'

export const keyOf = ({ producer, index }: RecordId): number => producer * 1_000_000 + index

/** One publish, as its publisher knows it. */
export interface Publish {
  readonly id: RecordId
  readonly exchange: string
  readonly key: string
  readonly priority: number
  readonly expires: boolean
  readonly askedMs: number
  /** Infinity: it was not answered. */
  answeredMs: number
  /** Queues and topics that have it if any has. */
  certain: ReadonlySet<string>
  /** Those that may have it; undefined: any. */
  possible: ReadonlySet<string> | undefined
  /** Whether they have it; undefined: nobody knows, but it is all of them or none. */
  isTaken: boolean | undefined
  /** Where it was seen. */
  readonly seenIn: Set<string>
}

export const nameOf = ({ id: { producer, index } }: Pick<Publish, 'id'>): string =>
  `message ${index} of publisher ${producer}`

/** What a consumer believes that the broker keeps for it: it ends when the consumer does. */
export class ConsumerHold {
  isOver = false
  readonly copies = new Map<number, Copy>()
  /** The newest of what was delivered to it for the first time: when it was sent, and by publisher which one it was. */
  latestAskedMs = -Infinity
  readonly newest = new Map<number, number>()
  /** Messages that are wrong if this consumer, and the others, were there when they came. */
  readonly doubts: { afterMs: number; doubt: Doubt }[] = []
}

interface Doubt {
  message: string
  /** Those of whom it is not known that they were there. */
  left: Set<ConsumerHold>
}

/** A message in one queue. */
export interface Copy {
  readonly publish: Publish
  readonly queue: QueueHistory
  holder: ConsumerHold | undefined
  deliveries: number
  /** When it was last delivered, and in which life of the broker. */
  deliveredMs: number
  deliveredIn: number
  /** When it was told that it is settled; Infinity: never. */
  settledMs: number
  /** It may have left the queue: settled without an answer, purged, expired, … */
  mayBeGone: boolean
  /** It may have been acknowledged, which dead letters are not. */
  mayBeAcked: boolean
  /** When it was told that it is; Infinity: never. */
  ackedMs: number
}

/** What the checks of queues need of who knows all of them. */
export interface QueueWorld {
  readonly shared: Shared
  readonly queues: ReadonlyMap<string, QueueHistory>
  readonly publishes: ReadonlyMap<number, Publish>
  /** Of `routedTopic`. */
  readonly topicId: string
  /** Nothing is under way: now it is known where messages can be whose publishes were not answered. */
  settleLost(): void
  take(queue: QueueHistory, hold: ConsumerHold, delivery: Delivery): Copy | undefined
}

export const routedTopic = 'routed'

/** What a queue may do with messages besides giving them to consumers. */
export interface QueueTraits {
  /** It gives out messages in the order in which they were published; `priorities`: those of the same priority. */
  readonly order: 'published' | 'priorities' | 'none'
  /** It may drop messages on its own. */
  readonly drops: boolean
  /** It may refuse what others take. */
  readonly refuses: boolean
  /** It is there from the beginning to the end. */
  readonly isLasting: boolean
  /** The only way here is from this queue, by being dropped there. */
  readonly isHeirOf?: QueueHistory
}

/**
 * All that publishers and consumers were told of one queue.
 *
 * Holds: what was confirmed is there until somebody has settled it, once, and not again after that was answered. What one consumer
 * holds is given to nobody else. Messages come in the order in which they were published, but for those that come again, and these
 * are marked.
 */
export class QueueHistory {
  readonly name: string
  readonly traits: QueueTraits
  /** Where what it drops goes. */
  deadLetters: QueueHistory | undefined
  readonly #world: World
  readonly copies = new Map<number, Copy>()
  /** Of all consumers that are there, or may be. */
  readonly #holds = new Set<ConsumerHold>()
  /** When a consumer of it last went, perhaps with messages that were on their way to it. */
  goneMs = -Infinity

  constructor(world: World, name: string, traits: QueueTraits) {
    this.#world = world
    this.name = name
    this.traits = traits
  }

  copyOf(publish: Publish): Copy {
    const key = keyOf(publish.id)
    let copy = this.copies.get(key)
    if (!copy) {
      copy = {
        ...{ publish, queue: this, holder: undefined, deliveries: 0, deliveredMs: -Infinity, deliveredIn: -1 },
        ...{ settledMs: Infinity, mayBeGone: publish.expires, mayBeAcked: false, ackedMs: Infinity },
      }
      this.copies.set(key, copy)
    }
    return copy
  }

  /** Somebody begins to consume. */
  consuming(hold: ConsumerHold): void {
    this.#holds.add(hold)
  }

  /** `isDurable(ms, life)`: whether all that was done in that life of the broker by then must have outlived it. */
  delivered(
    hold: ConsumerHold,
    publish: Publish,
    redelivered: boolean,
    { nowMs, life, isDurable }: { nowMs: number; life: number; isDurable(ms: number, life: number): boolean },
  ): Copy {
    publish.seenIn.add(this.name)
    const copy = this.copyOf(publish)
    const what = `${nameOf(publish)} in ${this.name}`
    const doubt = (message: string, ...others: ConsumerHold[]): void => {
      const all = { message: `${what} ${message}`, left: new Set([hold, ...others]) }
      for (const each of all.left) each.doubts.push({ afterMs: nowMs, doubt: all })
    }
    if (copy.settledMs < nowMs) doubt('was settled, and is delivered again')
    if (copy.holder && !copy.holder.isOver) {
      if (copy.holder === hold) doubt('is delivered to a consumer that holds it')
      else doubt('is delivered to two consumers', copy.holder)
    }
    if (
      !redelivered &&
      copy.deliveries > 0 &&
      (copy.deliveredIn === life || isDurable(copy.deliveredMs, copy.deliveredIn))
    )
      doubt(`was delivered at ${copy.deliveredMs.toFixed(0)}, and is not marked so`)
    // One that has just gone, and does not know it yet, may have had it.
    if (redelivered && copy.deliveries === 0 && this.goneMs < publish.askedMs)
      doubt('is marked as delivered before, and was not', ...this.#holds)
    if (!redelivered) this.#checkOrder(hold, copy, doubt)
    copy.holder?.copies.delete(keyOf(publish.id))
    copy.holder = hold
    copy.deliveries++
    copy.deliveredMs = nowMs
    copy.deliveredIn = life
    hold.copies.set(keyOf(publish.id), copy)
    return copy
  }

  #checkOrder(hold: ConsumerHold, { publish }: Copy, doubt: (message: string) => void): void {
    if (this.traits.order !== 'published') return
    const { producer, index } = publish.id
    const newest = hold.newest.get(producer) ?? -1
    if (index < newest) doubt(`comes for the first time after the publisher's ${newest}`)
    if (publish.answeredMs < hold.latestAskedMs)
      doubt('comes for the first time after one that was sent when it was confirmed')
    hold.newest.set(producer, Math.max(index, newest))
    hold.latestAskedMs = Math.max(publish.askedMs, hold.latestAskedMs)
  }

  /** The consumer was used with success: it was there up to the request. */
  used(hold: ConsumerHold, askedMs: number): void {
    hold.doubts.splice(0).forEach(({ afterMs, doubt }) => {
      if (afterMs > askedMs) return void hold.doubts.push({ afterMs, doubt })
      doubt.left.delete(hold)
      if (doubt.left.size === 0) this.#world.fail(doubt.message)
    })
  }

  /** A consumer says what becomes of what it holds: it is not its holder any more. */
  settling(hold: ConsumerHold, copies: readonly Copy[], how: 'ack' | 'requeue' | 'reject'): void {
    for (const copy of copies) {
      hold.copies.delete(keyOf(copy.publish.id))
      if (copy.holder === hold) copy.holder = undefined
      if (how !== 'requeue' || this.traits.drops) copy.mayBeGone = true
      if (how === 'ack') copy.mayBeAcked = true
    }
  }

  settled(copies: readonly Copy[], how: 'ack' | 'requeue' | 'reject', nowMs: number): void {
    if (how === 'requeue') return
    for (const copy of copies) {
      copy.settledMs = Math.min(copy.settledMs, nowMs)
      if (how === 'ack') copy.ackedMs = Math.min(copy.ackedMs, nowMs)
    }
  }

  /** Up to `goneMs` the broker may have given it something that nobody will ever see. */
  over(hold: ConsumerHold, goneMs: number): void {
    hold.isOver = true
    this.#holds.delete(hold)
    this.goneMs = Math.max(goneMs, this.goneMs)
    for (const copy of hold.copies.values()) {
      if (copy.holder === hold) copy.holder = undefined
      if (this.traits.drops) copy.mayBeGone = true
    }
    hold.copies.clear()
    hold.doubts.length = 0
  }

  /** All that is there may go, or has gone: what was published before `askedMs` is `gone` then. */
  emptied(nowMs: number, isGone: (copy: Copy) => boolean): void {
    for (const copy of this.copies.values()) {
      copy.mayBeGone = true
      if (isGone(copy)) copy.settledMs = Math.min(copy.settledMs, nowMs)
    }
  }
}
