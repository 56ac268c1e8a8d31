import type { Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { RecordId } from './history.ts'
import { keyOf } from './list-history.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const names = ['c/0', 'c/1', 'd']
/** What is subscribed to, and whether it is a pattern. */
const subjects: readonly (readonly [string, boolean])[] = [...names.map(name => [name, false] as const), ['c/*', true]]
const publishedMax = 4_000

interface Published {
  readonly id: RecordId
  readonly channel: string
  readonly askedMs: number
  /** When it was answered; Infinity: not yet. */
  toldMs: number
  isLost: boolean
}

interface Subscription {
  readonly matches: (channel: string) => boolean
  /** When it was answered. */
  readonly sinceMs: number
  readonly seen: Set<number>
  /** By publisher, the newest that came. */
  readonly newest: Map<number, number>
}

/**
 * Publishers and subscribers of channels.
 *
 * Holds: who is subscribed, and stays connected, is told all that is published, once, and what one publisher publishes in its order; who is not, nothing.
 */
export class Channels implements Workload {
  readonly shared: Shared
  readonly published: Published[] = []
  readonly byKey = new Map<number, Published>()
  #nextIndex = 0

  constructor(shared: Shared) {
    this.shared = shared
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    const pauses = { shortMs: 10, longMs: 200, isMuch: () => this.published.length > publishedMax }
    for (let number = random.between(1, 3); number > 0; number--)
      tasks.push(repeat(this.shared, `speaker-${number}`, pauses, client => this.#publish(client, number)))
    for (let number = random.between(1, 3); number > 0; number--)
      tasks.push(new Subscriber(this, `listener-${number}`).run())
    await Promise.all(tasks)
  }

  async #publish(client: RespClient, number: number): Promise<void> {
    const { random } = this.shared.simulator
    // What an old connection has sent may come late: each is a publisher of its own.
    const producer = number * 10_000 + client.connection
    const some = Array.from({ length: random.chance(0.3) ? random.between(2, 20) : 1 }, () => this.#make(producer))
    const told = await client.askAll(some.map(({ id, channel }) => ['PUBLISH', channel, valueOf(id)]))
    for (const [at, one] of some.entries()) {
      const { answer, untilMs } = told[at]!
      if (typeof answer === 'number') one.toldMs = untilMs
      else one.isLost = true
    }
  }

  #make(producer: number): Published {
    const { simulator } = this.shared
    const id = { producer, index: this.#nextIndex++ }
    const one = {
      ...{ id, channel: simulator.random.pick(names), askedMs: simulator.nowMs, toldMs: Infinity, isLost: false },
    }
    this.published.push(one)
    this.byKey.set(keyOf(id), one)
    return one
  }
}

/** One connection after the other, each of which is subscribed anew. */
class Subscriber {
  readonly #channels: Channels
  readonly #name: string
  readonly #client: RespClient
  readonly #version: number
  #connection = -1
  readonly #subscriptions = new Map<string, Subscription>()
  /** All before this was looked at. */
  #at = 0

  constructor(channels: Channels, name: string) {
    const { shared } = channels
    this.#channels = channels
    this.#name = name
    this.#client = new RespClient(shared, name)
    this.#version = shared.simulator.random.pick([2, 3])
  }

  async run(): Promise<void> {
    const { shared } = this.#channels
    const { random } = shared.simulator
    while (!shared.isEnding) {
      if (this.#connection !== this.#client.connection) await this.#begin()
      else if (random.chance(0.1)) await this.#change()
      else await this.#look()
      if (random.chance(0.005)) this.#client.drop()
      await shared.simulator.sleep(random.float() * (random.chance(0.1) ? 200 : 20))
    }
    this.#client.drop()
  }

  async #begin(): Promise<void> {
    this.#subscriptions.clear()
    const { connection } = this.#client
    const { answer } = await this.#client.ask('HELLO', this.#version)
    if (Array.isArray(answer) && connection === this.#client.connection) this.#connection = connection
  }

  async #change(): Promise<void> {
    const { simulator } = this.#channels.shared
    const [subject, isPattern] = simulator.random.pick(subjects)
    const isOn = this.#subscriptions.has(subject)
    const command = `${isPattern ? 'P' : ''}${isOn ? 'UNSUBSCRIBE' : 'SUBSCRIBE'}`
    const { connection } = this.#client
    // What comes before the answer is taken for what comes with the subscription.
    const start = { matches: matcherOf(subject, isPattern), seen: new Set<number>(), newest: new Map<number, number>() }
    if (!isOn) this.#subscriptions.set(subject, { ...start, sinceMs: Infinity })
    const { answer } = await this.#client.ask(command, subject)
    if (!Array.isArray(answer) || connection !== this.#client.connection) return
    this.#take()
    const found = this.#subscriptions.get(subject)
    if (isOn) this.#subscriptions.delete(subject)
    else if (found) this.#subscriptions.set(subject, { ...found, sinceMs: simulator.nowMs })
  }

  /** What was published before this is asked, has come when it is answered. */
  async #look(): Promise<void> {
    const { simulator } = this.#channels.shared
    const { connection } = this.#client
    const askedMs = simulator.nowMs
    const { answer } = await this.#client.ask('PING')
    if (answer === undefined || answer instanceof Error || connection !== this.#client.connection) return
    this.#take()
    const { published } = this.#channels
    for (; this.#at < published.length; this.#at++) {
      const one = published[this.#at]!
      if (one.isLost) continue
      if (one.toldMs >= askedMs) break
      for (const [subject, { matches, sinceMs, seen }] of this.#subscriptions) {
        const isDue = sinceMs < one.askedMs && matches(one.channel)
        if (isDue && !seen.has(keyOf(one.id)))
          this.#fail(`${nameOf(one)} was published, and did not come by ${subject}`)
      }
    }
  }

  #take(): void {
    for (const push of this.#client.takePushes()) this.#came(push)
  }

  #came(push: readonly Answer[]): void {
    const [kind = '', ...rest] = push.map(part => (part instanceof Uint8Array ? part : String(part)))
    const [subject, channel, value] = String(kind) === 'pmessage' ? rest : [rest[0], ...rest]
    const id = idOf(0, Buffer.from(value as Uint8Array))
    const one = this.#channels.byKey.get(keyOf(id))
    if (!one) return this.#fail(`${id.producer}/${id.index} comes, which nobody has published`)
    if (one.channel !== String(channel)) return this.#fail(`${nameOf(one)} comes from ${String(channel)}`)
    const subscription = this.#subscriptions.get(String(subject))
    if (!subscription) return this.#fail(`${nameOf(one)} comes by ${String(subject)}, and was not subscribed to`)
    if (!subscription.matches(one.channel)) this.#fail(`${nameOf(one)} comes by ${String(subject)}`)
    const newest = subscription.newest.get(id.producer) ?? -1
    if (id.index <= newest) this.#fail(`${nameOf(one)} comes by ${String(subject)} after ${newest}`)
    subscription.newest.set(id.producer, id.index)
    subscription.seen.add(keyOf(id))
    this.#channels.shared.operations++
  }

  #fail(message: string): void {
    this.#channels.shared.simulator.fail(`${this.#name}: ${message}`)
  }
}

const matcherOf = (subject: string, isPattern: boolean): ((channel: string) => boolean) => {
  const start = subject.slice(0, -1)
  return isPattern ? channel => channel.startsWith(start) : channel => channel === subject
}

const nameOf = ({ id: { producer, index }, channel }: Published): string =>
  `message ${index} of ${producer} to ${channel}`
