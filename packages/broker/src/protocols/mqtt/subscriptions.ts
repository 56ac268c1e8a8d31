import type { Broker } from '../../core/broker.ts'
import { BrokerError } from '../../core/errors.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Attachment, Sink } from '../../core/routing/sink.ts'
import type { SessionState } from '../../core/sessions/sessions.ts'
import { bindingOf, Filter, patternOf, sharedOf, swapped, type Shared } from './topics.ts'

/** What a client asks for with a filter. [MQTT 5.0, 3.8.3.1] */
export interface SubscriptionOptions {
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** 0: what is retained is sent; 1: when the subscription is new; 2: it is not. */
  readonly retainHandling: number
  /** 0: none. */
  readonly id: number
}

export interface ClientSubscription extends SubscriptionOptions {
  readonly filter: string
  readonly matcher: Filter
  readonly shared: Shared | undefined
}

/** What all subscriptions of a client together say of a topic. */
export interface Match {
  /** The greatest of those that match; -1: none does. */
  readonly qos: number
  readonly retainAsPublished: boolean
  readonly ids: readonly number[] | undefined
  /** The client does not want what it has published itself. */
  readonly noLocal: boolean
}

const noMatch: Match = { qos: -1, retainAsPublished: false, ids: undefined, noLocal: false }

/** Topics whose matches are remembered; more, and it begins anew. */
const rememberedMax = 1024
const rememberedLengthMax = 256
const storedVersion = 1

/** Options in the session's facts. Written to disk: a version byte, the options as SUBSCRIBE has them, and the identifier in 32 bits. */
export function encodeOptions({ qos, noLocal, retainAsPublished, retainHandling, id }: SubscriptionOptions): Buffer {
  const bytes = Buffer.alloc(6)
  bytes[0] = storedVersion
  bytes[1] = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4)
  bytes.writeUInt32BE(id, 2)
  return bytes
}

export function decodeOptions(bytes: Buffer): SubscriptionOptions {
  if (bytes[0] !== storedVersion) throw new Error('The options of a subscription were written by a newer broker')
  return readOptions(bytes[1] ?? 0, bytes.readUInt32BE(2))
}

export const readOptions = (bits: number, id: number): SubscriptionOptions => ({
  qos: bits & 3,
  noLocal: (bits & 4) !== 0,
  retainAsPublished: (bits & 8) !== 0,
  retainHandling: (bits >> 4) & 3,
  id,
})

export interface SubscriptionsHost {
  readonly broker: Broker
  readonly namespace: string
  readonly sink: Sink
  /** Undefined: nothing outlives the connection. */
  readonly state: SessionState | undefined
  /** Messages wait in it that are to reach the client when it comes back. It is made when there is anything to wait for. */
  readonly queueName: string
  /** The queue is there now. */
  queueMade(): void
}

/**
 * What one client subscribes to, without the shared subscriptions. Live messages come by the sink; a client that may come back has a
 * queue besides, to which those filters lead whose messages are to wait for it.
 */
export class Subscriptions {
  readonly #host: SubscriptionsHost
  readonly #byFilter = new Map<string, ClientSubscription>()
  #remembered: Map<string, Match> | undefined
  readonly #attachment: Attachment

  constructor(host: SubscriptionsHost) {
    this.#host = host
    this.#attachment = host.broker.router.attach(host.namespace, host.sink)
  }

  get count(): number {
    return this.#byFilter.size
  }

  all(): Iterable<ClientSubscription> {
    return this.#byFilter.values()
  }

  get(filter: string): ClientSubscription | undefined {
    return this.#byFilter.get(filter)
  }

  /** Those of the session as it was left. */
  restore(): void {
    const { state } = this.#host
    for (const [filter, bytes] of state?.subscriptions ?? []) {
      const found = subscriptionOf(filter, decodeOptions(bytes))
      this.#byFilter.set(filter, found)
      if (!found.shared) this.#attach(found)
    }
    if (this.#wanted().some(one => this.#waits(one))) this.#makeQueue()
  }

  /** Takes the place of one with the same filter. Rejects with `BrokerError`; decides before it first waits. */
  async add(filter: string, options: SubscriptionOptions): Promise<void> {
    const { broker, state } = this.#host
    const { sessionSubscriptionsMax } = broker.limits
    const before = this.#byFilter.get(filter)
    if (!before && this.#byFilter.size >= sessionSubscriptionsMax) {
      throw new BrokerError('limit-reached', `a client has at most ${sessionSubscriptionsMax} subscriptions`)
    }
    const found = subscriptionOf(filter, options)
    if (state) broker.sessions.subscribe(state, filter, encodeOptions(options))
    this.#remembered = undefined
    this.#byFilter.set(filter, found)
    if (found.shared) return
    this.#attach(found)
    if (this.#waits(found)) {
      this.#makeQueue()
      await this.#bindQueue(found)
    } else if (before && this.#waits(before)) this.#unbindQueue(before)
  }

  /** Undefined when there was none. */
  remove(filter: string): ClientSubscription | undefined {
    const { broker, state } = this.#host
    const found = this.#byFilter.get(filter)
    if (!found) return undefined
    if (state) broker.sessions.unsubscribe(state, filter)
    this.#remembered = undefined
    this.#byFilter.delete(filter)
    if (found.shared) return found
    const { key, pattern } = bindingOf(filter)
    if (!this.#wanted().some(one => isSameBinding(one.filter, filter)))
      this.#attachment.unbind(subjectExchange, key, pattern)
    if (this.#waits(found)) this.#unbindQueue(found)
    return found
  }

  /** By a topic's key. */
  match(key: string): Match {
    const known = this.#remembered?.get(key)
    if (known) return known
    const match = this.#match(swapped(key))
    if (key.length <= rememberedLengthMax) {
      if (!this.#remembered || this.#remembered.size >= rememberedMax) this.#remembered = new Map()
      this.#remembered.set(key, match)
    }
    return match
  }

  #match(topic: string): Match {
    let qos = -1
    let retainAsPublished = false
    let noLocal = true
    const ids: number[] = []
    for (const one of this.#byFilter.values()) {
      if (one.shared || !one.matcher.matches(topic)) continue
      qos = Math.max(qos, one.qos)
      retainAsPublished ||= one.retainAsPublished
      noLocal &&= one.noLocal
      if (one.id > 0) ids.push(one.id)
    }
    return qos < 0 ? noMatch : { qos, retainAsPublished, noLocal, ids: ids.length > 0 ? ids : undefined }
  }

  /** The connection is over. */
  detach(): void {
    this.#attachment.detach()
  }

  #wanted(): ClientSubscription[] {
    return [...this.#byFilter.values()].filter(({ shared }) => !shared)
  }

  /** Whether its messages wait for the client while that is away. */
  #waits({ qos, shared }: ClientSubscription): boolean {
    return this.#host.state !== undefined && qos > 0 && !shared
  }

  #attach({ filter }: ClientSubscription): void {
    const { key, pattern } = bindingOf(filter)
    this.#attachment.bind(subjectExchange, key, pattern)
  }

  #makeQueue(): void {
    const { broker, namespace, queueName, queueMade } = this.#host
    if (broker.queues.get(namespace, queueName)) return queueMade.call(this.#host)
    const { sessionMessagesMax } = broker.limits
    const config = new Map([
      ['persistent.only', 'true'],
      // A client that may hold a message is told how it ends. [MQTT 5.0, 3.3.2.3.3]
      ['delivered.expire', 'false'],
      ['length.max', String(sessionMessagesMax)],
      ['overflow', 'drop-head'],
    ])
    broker.queues.make(namespace, queueName, config)
    for (const one of this.#wanted()) if (this.#waits(one)) this.#bindQueue(one).catch(ignoreRefusal)
    queueMade.call(this.#host)
  }

  #bindQueue({ filter }: ClientSubscription): Promise<void> {
    const { broker, namespace, queueName } = this.#host
    return bindSubject(broker, namespace, queueName, patternOf(filter))
  }

  #unbindQueue(gone: ClientSubscription): void {
    const key = patternOf(gone.filter)
    if (this.#wanted().some(one => this.#waits(one) && patternOf(one.filter) === key)) return
    const { broker, namespace, queueName } = this.#host
    const binding = { source: subjectExchange, kind: 'queue', destination: queueName, key } as const
    broker.router.unbind(namespace, binding).catch(ignoreRefusal)
  }
}

/** Leads what matches to the queue. Decides within the call, and rejects with `BrokerError`. */
export const bindSubject = ({ router }: Broker, namespace: string, queue: string, key: string): Promise<void> =>
  router.bind(namespace, { source: subjectExchange, kind: 'queue', destination: queue, key })

/** The queue is gone, or the cell has ended. */
export function ignoreRefusal(error: unknown): void {
  if (!(error instanceof BrokerError)) throw error
}

function subscriptionOf(filter: string, options: SubscriptionOptions): ClientSubscription {
  const shared = sharedOf(filter)
  const own = shared === 'invalid' ? undefined : shared
  return { ...options, filter, shared: own, matcher: new Filter(own?.filter ?? filter) }
}

function isSameBinding(one: string, other: string): boolean {
  const [a, b] = [bindingOf(one), bindingOf(other)]
  return a.key === b.key && a.pattern === b.pattern
}
