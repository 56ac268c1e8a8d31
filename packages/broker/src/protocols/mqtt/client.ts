import type { Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import { SharedPrefetch, type Subscription } from '../../core/cursor/subscription.ts'
import type { RecordView } from '../../core/cursor/record-view.ts'
import { BrokerError } from '../../core/errors.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Passing, Sink } from '../../core/routing/sink.ts'
import type { SessionState } from '../../core/sessions/sessions.ts'
import type { Outbox, SessionContext } from '../protocol.ts'
import { Aliases } from './aliases.ts'
import { reasonOfRefusal, violation } from './errors.ts'
import { encodeAck, Incoming } from './incoming.ts'
import { flagBits, type OwnMessage } from './mapping.ts'
import { suback, subscribe, types, unsuback, unsubscribe, versions } from './messages.ts'
import { Outgoing, type Source } from './outgoing.ts'
import { encodePublish, Packets, qosOf, type Content } from './packets.ts'
import { perBroker } from '../per-broker.ts'
import { failureFrom, reasons, type Reason } from './reasons.ts'
import { Retaining } from './retaining.ts'
import { Shares, type ShareMember } from './shares.ts'
import { Statistics } from './statistics.ts'
import { Status } from './status.ts'
import {
  readOptions,
  Subscriptions,
  type ClientSubscription,
  type Match,
  type SubscriptionOptions,
} from './subscriptions.ts'
import { isFilter, sharedOf, swapped } from './topics.ts'

/** What both sides know of each other when the connection is open. */
export interface Agreed {
  readonly namespace: string
  readonly clientId: string
  readonly user: string
  readonly version: number
  readonly rights: NamespaceAccess
  /** Undefined: the session ends with the connection. */
  readonly state: SessionState | undefined
  /** The client had this session before. */
  readonly isPresent: boolean
  readonly queueName: string
  readonly inFlightMax: number
  readonly packetBytesMax: number
  readonly topicAliasMax: number
  /** Reasons are to be told in words, too. */
  readonly wantsReasons: boolean
}

export interface ClientHost {
  readonly broker: Broker
  readonly outbox: Outbox
  readonly context: SessionContext
  send(bytes: Buffer): void
  /** Something cannot be taken: the connection ends. */
  fail(reason: Reason): void
  /** Requests taken and not answered have become more or fewer. */
  pending(change: number): void
}

const packetsOf = perBroker(({ origins }: Broker) => new Packets(origins))
const qosMax = 2

/** Identifiers of messages in the client's queue follow from their offsets; all others are greater. */
const queueIds = 32_767

/**
 * A client whose connection is open: what it publishes, what it subscribes to, and what it is sent.
 *
 * Messages that need not wait for it come by a sink. Those that must lie in its queue, and keep their identifiers whatever happens: these follow
 * from their offsets there.
 */
export class Client implements Sink {
  readonly agreed: Agreed
  readonly #host: ClientHost
  readonly #statistics: Statistics
  readonly #packets: Packets
  readonly #subscriptions: Subscriptions
  readonly #incoming: Incoming
  readonly #outgoing: Outgoing
  // Made when they are needed: most of the many clients only publish.
  #retaining: Retaining | undefined
  #member: ShareMember | undefined
  readonly #prefetch: SharedPrefetch
  readonly #shares: Shares
  readonly #status: Status
  readonly #aliases: Aliases | undefined
  #queue: Subscription | undefined
  #hasNoLocal = false
  #isOver = false

  constructor(host: ClientHost, agreed: Agreed) {
    const { broker, outbox, context } = host
    const { namespace, state, version, rights, queueName, inFlightMax, packetBytesMax, topicAliasMax } = agreed
    this.#host = host
    this.agreed = agreed
    this.#statistics = Statistics.of(broker)
    this.#packets = packetsOf(broker)
    this.#prefetch = new SharedPrefetch(inFlightMax)
    this.#shares = Shares.of(broker)
    this.#status = Status.of(broker)
    if (topicAliasMax > 0) this.#aliases = new Aliases(topicAliasMax)
    const nowMs = (): number => context.clock.nowMs()
    this.#subscriptions = new Subscriptions({
      broker,
      namespace,
      sink: this,
      state,
      queueName,
      queueMade: () => this.#consume(),
    })
    this.#incoming = new Incoming({
      broker,
      namespace,
      version,
      rights,
      state,
      queueName,
      statistics: this.#statistics,
      isNotForItself: key => this.#hasNoLocal && this.#subscriptions.match(key).noLocal,
      nowMs,
      send: bytes => host.send(bytes),
      refuse: reason => host.fail(reason),
    })
    this.#outgoing = new Outgoing({
      outbox,
      limits: broker.limits,
      statistics: this.#statistics,
      inFlightMax,
      packetBytesMax,
      firstId: state ? queueIds + 1 : 1,
      mayHoldOld: agreed.isPresent,
      memory: state && {
        taken: (id, settle) =>
          broker.router.atomic(() => {
            broker.sessions.taken(state, id)
            settle()
          }),
        completed: id => void broker.sessions.completed(state, id),
      },
      nowMs,
      whenDurable: (seq, run) => broker.router.whenDurable(seq, () => this.#isOver || run(), undefined),
      release: (id, reason) => host.send(encodeAck(types.pubrel, id, version >= versions.mqtt5 ? reason : 0)),
    })
  }

  get #retained(): Retaining {
    const { broker, outbox } = this.#host
    return (this.#retaining ??= new Retaining({
      broker,
      namespace: this.agreed.namespace,
      isSlow: () => outbox.queuedBytes > broker.limits.subscriberBytesMax / 4,
      whenTaken: run => outbox.write([], run),
      deliver: (record, key, subscription) => this.#deliverRetained(record, key, subscription),
    }))
  }

  get #sharing(): ShareMember {
    return (this.#member ??= this.#asMember())
  }

  get unacknowledgedCount(): number {
    return this.#incoming.unacknowledgedCount
  }

  get inFlightCount(): number {
    return this.#outgoing.inFlightCount
  }

  get incoming(): Incoming {
    return this.#incoming
  }

  get outgoing(): Outgoing {
    return this.#outgoing
  }

  /** The connection is open: what the session was left with goes on. */
  begin(): void {
    const { state } = this.agreed
    for (const id of state?.taken ?? []) this.#outgoing.resume(id)
    this.#subscriptions.restore()
    for (const one of this.#subscriptions.all()) {
      this.#count(one, 1)
      this.#noticed(one)
      if (one.shared) this.#share(one).catch(() => {})
      else this.#status.subscribe(this, one.filter, text => this.#deliverStatus(text))
    }
  }

  /** The connection is over; the session may not be. */
  end(): void {
    this.#isOver = true
    this.#incoming.end()
    this.#outgoing.end()
    this.#subscriptions.detach()
    this.#retaining?.end()
    this.#status.unsubscribe(this)
    const { namespace, state } = this.agreed
    for (const one of this.#subscriptions.all()) {
      this.#count(one, -1)
      if (one.shared) this.#shares.leave(namespace, one.filter, one.shared, this.#sharing, state === undefined)
    }
    this.#queue?.cancel()
  }

  // Subscribing

  subscribe(body: Reader, flags: number): void {
    const { version } = this.agreed
    const { packetId, properties, wanted } = subscribe.readBody(body, version, flags)
    if (packetId === 0) throw violation('A packet identifier cannot be 0')
    if (wanted.length === 0) throw violation('SUBSCRIBE names no topic')
    const ids = properties.subscriptionIds ?? []
    if (ids.length > 1) throw violation('A subscription has one identifier')
    const [id = 0] = ids
    for (const { filter, options } of wanted) checkOptions(options, version, filter)
    const results = wanted.map(({ filter, options }) => {
      return this.#subscribe(filter, readOptions(version >= versions.mqtt5 ? options : options & 3, id))
    })
    this.#answer(results, found => {
      const given = found.map(({ reason }) => (version === versions.mqtt5 ? reason : Math.min(reason, failureFrom)))
      this.#host.send(suback.encode({ packetId, properties: {}, reasons: given }, version))
      for (const { after } of found) after?.()
    })
  }

  async #subscribe(filter: string, options: SubscriptionOptions): Promise<Subscribed> {
    const { rights } = this.agreed
    const shared = sharedOf(filter)
    if (shared === 'invalid' || !isFilter(filter)) return { reason: reasons.filterInvalid }
    const meant = shared?.filter ?? filter
    if (!mayRead(rights, meant)) return { reason: reasons.notAuthorized }
    const isNew = this.#subscriptions.get(filter) === undefined
    try {
      await this.#add(filter, options, isNew)
    } catch (error) {
      this.#remove(filter)
      return { reason: reasonOfRefusal(error) }
    }
    const found = this.#subscriptions.get(filter)
    const sendsRetained = !shared && (options.retainHandling === 0 || (options.retainHandling === 1 && isNew))
    return {
      reason: options.qos as Reason,
      ...(found && sendsRetained && { after: () => this.#isOver || this.#retained.send(found, meant) }),
    }
  }

  async #add(filter: string, options: SubscriptionOptions, isNew: boolean): Promise<void> {
    const bound = this.#subscriptions.add(filter, options)
    const found = this.#subscriptions.get(filter)
    if (!found) return bound
    if (isNew) this.#count(found, 1)
    this.#noticed(found)
    if (!found.shared) this.#status.subscribe(this, filter, text => this.#deliverStatus(text))
    const shared = found.shared ? this.#share(found) : undefined
    await bound
    await shared
  }

  unsubscribe(body: Reader, flags: number): void {
    const { version } = this.agreed
    const { packetId, filters } = unsubscribe.readBody(body, version, flags)
    if (packetId === 0) throw violation('A packet identifier cannot be 0')
    if (filters.length === 0) throw violation('UNSUBSCRIBE names no topic')
    const given = filters.map(filter => (this.#remove(filter) ? reasons.success : reasons.noSubscriptionExisted))
    this.#answer([], () => this.#host.send(unsuback.encode({ packetId, properties: {}, reasons: given }, version)))
  }

  #remove(filter: string): ClientSubscription | undefined {
    const { namespace } = this.agreed
    const found = this.#subscriptions.remove(filter)
    if (!found) return undefined
    this.#count(found, -1)
    this.#status.unsubscribe(this, filter)
    if (found.shared) this.#shares.leave(namespace, filter, found.shared, this.#sharing, true)
    return found
  }

  /** When all of it is durable. */
  #answer<T>(results: readonly Promise<T>[], then: (found: T[]) => void): void {
    const { broker, pending } = this.#host
    const answer = (found: T[]): void => {
      const send = (): void => {
        pending.call(this.#host, -1)
        if (!this.#isOver) then(found)
      }
      if (this.agreed.state) broker.sessions.whenSettled(send)
      else send()
    }
    pending.call(this.#host, 1)
    if (results.length === 0) return answer([])
    Promise.all(results).then(answer, (error: unknown) => {
      pending.call(this.#host, -1)
      this.#fault(error)
    })
  }

  #fault(error: unknown): void {
    if (this.#isOver) return
    if (error instanceof BrokerError) return this.#host.fail(reasonOfRefusal(error))
    this.#host.context.log('error', 'A subscription failed', { error: String(error) })
    this.#host.fail(reasons.unspecified)
  }

  #share({ shared }: ClientSubscription): Promise<void> {
    const { namespace } = this.agreed
    return shared ? this.#shares.join(namespace, shared, this.#sharing) : Promise.resolve()
  }

  #noticed({ noLocal }: ClientSubscription): void {
    this.#hasNoLocal ||= noLocal
  }

  #count({ shared }: ClientSubscription, change: number): void {
    this.#statistics.subscriptions += change
    if (shared) this.#statistics.sharedSubscriptions += change
  }

  // Delivering

  /** A message as it passes. */
  take(passing: Passing): void {
    const { key, message } = passing
    const match = this.#subscriptions.match(key)
    const { qos } = match
    if (qos < 0) return
    const { state, version } = this.agreed
    // It lies in the client's queue.
    if (state && qos > 0 && message.isTransient !== true) return
    if (match.noLocal && (message as OwnMessage).publisher === this.#incoming) return
    const content = passing.as(this.#packets.contentForm)
    if (!content) return void this.#statistics.dropped.count++
    const given = Math.min(qos, qosOf(content))
    if (this.#isPlain(match, content)) {
      const template = this.#packets.template(passing, version, given)
      if (!template) return
      if (given === 0) this.#outgoing.sendOnce(template)
      else this.#outgoing.offer(template, given)
    } else this.#send(content, given, match, match.retainAsPublished && isRetained(content))
  }

  /** Nothing is said to this client that is not said to others. */
  #isPlain({ ids, retainAsPublished }: Match, content: Content): boolean {
    return ids === undefined && this.#aliases === undefined && !(retainAsPublished && isRetained(content))
  }

  #send(content: Content, qos: number, { ids }: Pick<Match, 'ids'>, retained: boolean, from?: Source): void {
    const { version } = this.agreed
    const is5 = version >= versions.mqtt5
    // What waits may be overtaken by what builds on the alias, or be dropped: only what goes at once has one.
    const alias = this.#aliases && this.#outgoing.sendsNow(content, qos) ? this.#aliases.of(content.topic) : undefined
    const extras = {
      isRetained: retained,
      subscriptionIds: is5 ? ids : undefined,
      alias: alias?.number ?? 0,
      isAliasKnown: alias?.isKnown ?? false,
    }
    const template = encodePublish(content, is5, qos, this.#host.context.clock.nowMs(), extras)
    if (qos > 0) return this.#outgoing.offer(template, qos, from)
    this.#outgoing.sendOnce(template)
    from?.subscription.ack(from.offset)
  }

  /** Messages that have waited for the client, and those that may have to. */
  #consume(): void {
    const { broker } = this.#host
    const { namespace, queueName, inFlightMax } = this.agreed
    const queue = broker.queues.get(namespace, queueName)
    if (!queue || (this.#queue && !this.#queue.isOver)) return
    const subscription = queue.subscribe(
      { shared: this.#prefetch, prefetch: Math.min(inFlightMax, queueIds) },
      {
        deliver: (record, count) => this.#deliver(record, count),
        ended: () => this.#outgoing.consumeNoMore(subscription),
      },
    )
    this.#queue = subscription
    this.#outgoing.consume(subscription)
  }

  #deliver(record: RecordView, deliveryCount: number): void {
    const subscription = this.#queue
    if (!subscription) return
    const { offset } = record
    const key = record.key?.toString() ?? ''
    const match = this.#subscriptions.match(key)
    const id = (offset % queueIds) + 1
    const from = { subscription, offset, id, isAgain: deliveryCount > 1, isReused: offset >= queueIds }
    const content = match.qos < 0 && !from.isAgain ? undefined : this.#packets.ofRecord(record, key)
    if (!content) return void subscription.ack(offset)
    if (match.qos < 0) return this.#outgoing.withdraw(from, qosOf(content))
    const isCopy = (content.flags & flagBits.isRetainedCopy) !== 0
    const retained = isCopy || (match.retainAsPublished && isRetained(content))
    this.#send(content, Math.min(match.qos, qosOf(content)), match, retained, from)
  }

  /** What is retained of a topic, to one who has subscribed to it just now. */
  #deliverRetained(record: RecordView, key: string, subscription: ClientSubscription): void {
    const content = this.#packets.ofRecord(record, key)
    if (!content) return
    const qos = Math.min(subscription.qos, qosOf(content))
    const { state, namespace, queueName } = this.agreed
    const queue = state && qos > 0 ? this.#host.broker.queues.get(namespace, queueName) : undefined
    if (queue && this.#retained.copyTo(queue, content, key)) return
    this.#send(content, qos, { ids: subscription.id > 0 ? [subscription.id] : undefined }, true)
  }

  #deliverStatus({ topic, payload }: { topic: string; payload: string }): void {
    const content = {
      topic: Buffer.from(topic),
      payload: Buffer.from(payload),
      properties: Buffer.alloc(0),
      expiresMs: -1,
      flags: flagBits.retain,
    }
    const match = this.#subscriptions.match(swapped(topic))
    if (match.qos >= 0) this.#send(content, 0, match, false)
  }

  #asMember(): ShareMember {
    return {
      isLasting: this.agreed.state !== undefined,
      prefetch: this.#prefetch,
      deliver: (record, count, subscription) => this.#deliverShared(record, count, subscription),
      take: passing => {
        const content = passing.as(this.#packets.contentForm)
        if (content) this.#send(content, 0, { ids: undefined }, false)
      },
      consuming: subscription => this.#outgoing.consume(subscription),
      ended: subscription => this.#outgoing.consumeNoMore(subscription),
    }
  }

  #deliverShared(record: RecordView, deliveryCount: number, subscription: Subscription): void {
    const { offset } = record
    const key = record.key?.toString() ?? ''
    const content = this.#packets.ofRecord(record, key)
    const topic = swapped(key)
    let qos = -1
    let retainAsPublished = false
    const ids: number[] = []
    for (const one of this.#subscriptions.all()) {
      if (!one.shared || !one.matcher.matches(topic)) continue
      qos = Math.max(qos, one.qos)
      retainAsPublished ||= one.retainAsPublished
      if (one.id > 0) ids.push(one.id)
    }
    if (!content || qos < 0) return void subscription.ack(offset)
    const from = { subscription, offset, id: 0, isAgain: false, isReused: false }
    const given = Math.min(qos, qosOf(content))
    void deliveryCount
    this.#send(
      content,
      given,
      { ids: ids.length > 0 ? ids : undefined },
      retainAsPublished && isRetained(content),
      from,
    )
  }
}

interface Subscribed {
  readonly reason: Reason
  /** What follows when it is told. */
  readonly after?: () => unknown
}

const isRetained = ({ flags }: Content): boolean => (flags & flagBits.retain) !== 0

/** Of a filter's subject. */
const mayRead = (rights: NamespaceAccess, filter: string): boolean =>
  rights.may('read', subjectExchange, 'exchange') && rights.mayUseKey('read', subjectExchange, swapped(filter))

function checkOptions(options: number, version: number, filter: string): void {
  const reserved = version >= versions.mqtt5 ? 0xc0 : 0xfc
  if ((options & 3) > qosMax || options & reserved) throw violation(`There are no such options for ${filter}`)
  if (version >= versions.mqtt5 && ((options >> 4) & 3) > 2) throw violation('There is no retain handling 3')
  // [MQTT-3.8.3-4]
  if (readOptions(options, 0).noLocal && typeof sharedOf(filter) === 'object')
    throw violation('A shared subscription cannot leave out what is local')
}
