import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { RecordId } from './history.ts'
import { keyOf } from './list-history.ts'
import type { MqttLink } from './mqtt-client.ts'
import type { Shared } from './workload.ts'

/** A message that somebody publishes until it is answered. */
export interface Sent {
  readonly id: RecordId
  readonly topic: string
  readonly qos: number
  /** Undefined: there is no answer yet, or will never be. */
  isTaken: boolean | undefined
  /** It has come to somebody. */
  seen?(): void
  /** Now it may come behind newer ones. */
  mayBeLate?(): boolean
}

export const nameOf = ({ id, topic, qos }: Sent): string =>
  `message ${id.index} of publisher ${id.producer} to ${topic} with quality ${qos}`

/** A message as it comes. */
export interface Found {
  readonly packetId: number
  readonly qos: number
  readonly topic: string
}

/** Knows what a subscriber was sent, and judges that. */
export interface Receiver {
  readonly name: string
  /** What it has asked for. */
  readonly qos: number
  /** A connection is open, and subscribed. */
  connected?(link: MqttLink): void
  came(sent: Sent, found: Found, connection: number): void
  /** PUBACK was sent. */
  acknowledged?(packetId: number): void
  /** PUBREL has come. */
  releasing?(packetId: number): void
  /** PUBCOMP was sent. */
  released(packetId: number): void
}

/** What a subscriber has had of a message. */
interface Receipt {
  count: number
  /** On which of its connections it came last. */
  connection: number
}

/**
 * All that one subscriber, whose session outlives its connections, was sent.
 *
 * Holds: what was taken while it was subscribed comes, with the lower of both qualities: 1 at least once, and not twice on one connection; 2 exactly once; 0 at most once. The
 * messages that one publisher sends to one topic with one quality come in their order, but for those that come again.
 */
export class SubscriberHistory implements Receiver {
  readonly name: string
  readonly qos: number
  readonly #world: World
  readonly #wants: (topic: string) => boolean
  readonly #receipts = new Map<number, Receipt>()
  /** By publisher, topic and quality, the newest that came. */
  readonly #newest = new Map<string, number>()
  /** Messages of quality 2 that are the client's, by their identifiers, which the broker has not released. */
  readonly #held = new Map<number, Sent>()

  constructor(world: World, name: string, qos: number, wants: (topic: string) => boolean) {
    this.#world = world
    this.name = name
    this.qos = qos
    this.#wants = wants
  }

  get heldCount(): number {
    return this.#held.size
  }

  came(sent: Sent, found: Found, connection: number): void {
    const { id, topic, qos } = sent
    if (topic !== found.topic) this.#fail(`${nameOf(sent)} comes from ${found.topic}`)
    if (!this.#wants(topic)) this.#fail(`${nameOf(sent)} comes, and was not subscribed to`)
    if (found.qos !== Math.min(qos, this.qos)) this.#fail(`${nameOf(sent)} comes with quality ${found.qos}`)
    if (sent.isTaken === false) this.#fail(`${nameOf(sent)} was refused, and comes`)
    if (found.qos === 2) {
      const held = this.#held.get(found.packetId)
      if (held) {
        if (held !== sent) this.#fail(`${nameOf(sent)} has the identifier of ${nameOf(held)}, which is not released`)
        return
      }
      this.#held.set(found.packetId, sent)
    }
    this.#count(sent, found.qos, connection)
    sent.seen?.()
    const group = `${id.producer} ${topic} ${qos}`
    const newest = this.#newest.get(group) ?? -1
    if (this.#receipts.get(keyOf(id))!.count === 1 && id.index < newest && sent.mayBeLate?.() !== true)
      this.#fail(`${nameOf(sent)} comes for the first time after ${newest}`)
    this.#newest.set(group, Math.max(newest, id.index))
  }

  #count(sent: Sent, qos: number, connection: number): void {
    const key = keyOf(sent.id)
    const receipt = this.#receipts.get(key)
    if (!receipt) return void this.#receipts.set(key, { count: 1, connection })
    // Who is not to acknowledge is shown what nobody keeps before it is durable that it was taken.
    const isOnce = sent.qos !== 1 && qos === sent.qos
    if (isOnce) this.#fail(`${nameOf(sent)} comes a second time`)
    // What is published at least once may be taken twice, too.
    if (sent.qos === 2 && receipt.connection === connection) this.#fail(`${nameOf(sent)} comes twice on a connection`)
    receipt.count++
    receipt.connection = connection
  }

  released(packetId: number): void {
    this.#held.delete(packetId)
  }

  /** One of those that must have come by now, and has not. */
  missing(all: Iterable<Sent>): Sent | undefined {
    for (const sent of all) {
      const isSure = sent.isTaken === true && Math.min(sent.qos, this.qos) > 0 && this.#wants(sent.topic)
      if (isSure && !this.#receipts.has(keyOf(sent.id))) return sent
    }
    return undefined
  }

  #fail(message: string): void {
    this.#world.fail(`subscriber ${this.name}: ${message}`)
  }
}

/** A message that is to be the last one of its topic, or removes that. */
interface Attempt {
  readonly removes: boolean
  /** It ends by itself when it is older; Infinity: never. */
  readonly lengthMs: number
  readonly sentMs: number
  /** How often the broker's clock was set by then: what it says now is something else. */
  readonly clockSets: number
  /** When it was answered; Infinity: it was not. */
  toldMs: number
  isRefused: boolean
}

/** Somebody asks for the last message of a topic. */
export interface Asked {
  /** The newest that was answered by then. */
  readonly known: number
  readonly askedMs: number
}

/**
 * All that is known of the last message of a topic, to which one client publishes.
 *
 * Holds: who asks is shown the newest that was answered, or a newer one, until that has ended by the broker's clock, and not later.
 */
export class RetainedHistory {
  readonly topic: string
  readonly #shared: Pick<Shared, 'simulator' | 'clockSets'>
  /** In the order in which its publisher has sent them. */
  readonly #attempts: Attempt[] = []
  #known = -1

  constructor(shared: Pick<Shared, 'simulator' | 'clockSets'>, topic: string) {
    this.#shared = shared
    this.topic = topic
  }

  /** Returns its number. */
  sending(removes: boolean, lengthMs = Infinity): number {
    const { simulator, clockSets } = this.#shared
    const times = { sentMs: simulator.nowMs, toldMs: Infinity, lengthMs }
    return this.#attempts.push({ removes, isRefused: false, clockSets, ...times }) - 1
  }

  answered(number: number, isTaken: boolean): void {
    const attempt = this.#attempts[number]!
    attempt.isRefused = !isTaken
    attempt.toldMs = Math.min(this.#shared.simulator.nowMs, attempt.toldMs)
    if (isTaken) this.#known = Math.max(number, this.#known)
  }

  asking(): Asked {
    return { known: this.#known, askedMs: this.#shared.simulator.nowMs }
  }

  /** Who had asked was shown attempt `found`; -1: nothing. */
  found(found: number, { known, askedMs }: Asked): void {
    const { clockSets } = this.#shared
    if (found >= 0) {
      const attempt = this.#attempts[found]
      if (!attempt || attempt.removes || attempt.isRefused)
        return this.#fail(`${found} is there, and was refused or never sent`)
      if (found < known) this.#fail(`${found} is there, and ${known} was answered`)
      const lateMs = askedMs - attempt.toldMs - attempt.lengthMs
      if (lateMs > 1 && attempt.clockSets === clockSets) this.#fail(`${found} is there ${lateMs} ms after its time`)
      return
    }
    if (known < 0 || this.#attempts.slice(known).some(attempt => this.#mayEnd(attempt))) return
    this.#fail(`nothing is there, and ${known} was answered`)
  }

  /** Nothing may be there because of it. */
  #mayEnd({ removes, sentMs, lengthMs, clockSets }: Attempt): boolean {
    const { simulator } = this.#shared
    const isShort = lengthMs < Infinity && clockSets !== this.#shared.clockSets
    return removes || isShort || simulator.nowMs > sentMs + lengthMs - 2
  }

  #fail(message: string): void {
    this.#shared.simulator.fail(`the last message of ${this.topic}: ${message}`)
  }
}
