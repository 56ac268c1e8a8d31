import type { RecordView } from '../../core/cursor/record-view.ts'
import type { ConsumerInfo } from '../../core/connections.ts'
import type { Queue } from '../../core/queues/queue.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Selector } from '../../core/selector/selector.ts'
import type { Topic } from '../../core/topic.ts'
import type { Connection } from './connection.ts'
import { linesFor, writeMessage } from './delivery.ts'
import { parseDestination, type Destination } from './destinations.ts'
import { StompError } from './errors.ts'
import { Headers, shown } from './headers.ts'
import { LiveSource } from './live.ts'
import { isLive, namedQueue, settledWish, subscriptionQueue, unnamedQueue } from './private-queues.ts'
import { argumentsOf, checkSame, flagOf, makeQueue, numberOf, type QueueWish } from './queue-options.ts'
import { demand, demandKey } from './rights.ts'
import { selectorOf, wants } from './selecting.ts'
import { Subscription, type AckMode, type Outcome, type Source } from './subscription.ts'
import { consumeTopic } from './topic-consuming.ts'

/** A consumer is given no more while so much waits for its peer. */
const queuedBytesMax = 512 * 1024
const prefetchMax = 0xffff_ffff
const priorityMax = 0x7fff_ffff

/** What SUBSCRIBE says, taken apart. */
interface Request {
  readonly subscription: Subscription
  readonly headers: Headers
  readonly selector: Selector | undefined
  readonly wish: QueueWish
}

/** Gives messages to the subscriptions of one connection, and settles them. */
export class Consuming {
  readonly #connection: Connection
  /** By their ids; by the destination where a client of version 1.0 gives none. */
  readonly #byId = new Map<string, Subscription>()
  readonly #byNumber = new Map<number, Subscription>()
  #nextNumber = 0
  #isPaused = false
  #isOver = false

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get infos(): ConsumerInfo[] {
    return Array.from(this.#byId.values(), ({ info }) => info)
  }

  get heldCount(): number {
    let count = 0
    for (const { heldCount } of this.#byId.values()) count += heldCount
    return count
  }

  /** What comes next waits for what is returned. Throws and rejects with what there is to say against it. */
  subscribe(headers: Headers): Promise<unknown> | undefined {
    const destination = headers.get('destination')
    if (destination === undefined) throw new StompError('missing_header', 'SUBSCRIBE needs the header destination')
    const id = headers.get('id')
    if (id === undefined && this.#connection.version !== '1.0') {
      throw new StompError('missing_header', 'SUBSCRIBE needs the header id')
    }
    if (flagOf(headers, 'no-local') === true) throw new StompError('not_supported', 'no-local is not supported')
    const where = parseDestination(destination)
    const selector = selectorOf(headers.get('selector'))
    const subscription = this.#open(id, destination, ackModeOf(headers))
    const wish: QueueWish = {
      arguments: argumentsOf(headers),
      isDurable: flagOf(headers, 'durable') ?? flagOf(headers, 'persistent'),
      autoDelete: flagOf(headers, 'auto-delete'),
      exclusive: flagOf(headers, 'exclusive'),
    }
    const count =
      numberOf(headers, 'prefetch-count', prefetchMax) ?? numberOf(headers, 'activemq.prefetchSize', prefetchMax)
    subscription.prefetch = subscription.isHolding ? (count ?? 0) : 0
    return this.#begin({ subscription, headers, selector, wish }, where)
  }

  /** A queue, or a subject, of the connection's own: others name it as the text that is returned. */
  temporary(of: 'queue' | 'topic', name: string): string {
    const { sessionId, broker, namespace, owner } = this.#connection
    const full = `stomp-temp-${of}-${sessionId}-${name}`
    if (of === 'queue' && !broker.queues.get(namespace, full)) {
      demand(this.#connection, 'configure', 'queue', full)
      broker.queues.make(namespace, full, new Map(), { isDurable: false, exclusiveTo: owner })
    }
    return full
  }

  /** Answers that come to the connection's own place of that name are delivered, by a subscription that has the name for its id. */
  answersTo(destination: string): string {
    const where = parseDestination(destination)
    if (where.kind !== 'temporary')
      throw new StompError('invalid_destination', `${shown(destination)} is not temporary`)
    const name = this.temporary(where.of, where.name)
    if (where.of === 'topic') return `/topic/${name}`
    const has = [...this.#byId.values()].some(each => each.destination === destination)
    if (!has) {
      const subscription = this.#open(destination, destination, 'auto')
      const wish = { arguments: [], isDurable: undefined, autoDelete: undefined, exclusive: undefined }
      this.#consumeQueue(
        { subscription, headers: new Headers([], '1.2', false), selector: undefined, wish },
        this.#queue(name),
      )
    }
    return `/reply-queue/${name}`
  }

  /** What comes next waits for what is returned. */
  unsubscribe(headers: Headers): Promise<unknown> | undefined {
    const id = headers.get('id') ?? headers.get('destination')
    if (id === undefined) throw new StompError('missing_header', 'UNSUBSCRIBE needs the header id')
    const subscription = this.#byId.get(id)
    const lasting = this.#lastingQueue(headers, subscription)
    if (!subscription && lasting === undefined) {
      throw new StompError('not_found', `There is no subscription ${shown(id)}`)
    }
    if (subscription) this.#close(subscription)
    const { broker, namespace } = this.#connection
    if (lasting === undefined || !broker.queues.get(namespace, lasting)) return undefined
    demand(this.#connection, 'configure', 'queue', lasting)
    return broker.queues.remove(namespace, lasting)
  }

  /** The message that the headers name. Throws when there is none. */
  named(headers: Headers): { subscription: Subscription; number: number } {
    const id = headers.get('id') ?? headers.get('message-id')
    if (id === undefined) throw new StompError('missing_header', 'The frame needs the header id, or message-id')
    const { sessionId } = this.#connection
    const from = id.startsWith(sessionId) ? sessionId.length : id.length
    const dash = id.indexOf('-', from + 1)
    const place = id[from] === '-' ? naturalNumber(id, from + 1, dash) : -1
    const number = naturalNumber(id, dash + 1, id.length)
    const subscription = this.#byNumber.get(place)
    const given = headers.get('subscription')
    const isThere = subscription?.holds(number) === true && (given === undefined || given === subscription.id)
    if (subscription && isThere) return { subscription, number }
    throw new StompError(
      'not_found',
      `There is no message ${shown(id)} to acknowledge: it was not delivered, or is settled`,
    )
  }

  settle({ subscription, number }: ReturnType<Consuming['named']>, outcome: Outcome): void {
    if (this.#byNumber.get(subscription.number) === subscription) subscription.settle(number, outcome)
  }

  /** Subscriptions go, and what they hold goes back. */
  end(): void {
    this.#isOver = true
    for (const { source } of this.#byNumber.values()) source?.cancel()
    this.#byId.clear()
    this.#byNumber.clear()
  }

  #open(id: string | undefined, destination: string, ackMode: AckMode): Subscription {
    const key = id ?? destination
    if (this.#byId.has(key))
      throw new StompError('duplicated_subscription', `There is a subscription ${shown(key)} already`)
    const { consumersPerChannelMax: max } = this.#connection.broker.limits
    if (this.#byId.size >= max) throw new StompError('limit_reached', `A connection has at most ${max} subscriptions`)
    const subscription = new Subscription(this.#connection, this.#nextNumber++, id, destination, ackMode)
    this.#byId.set(key, subscription)
    this.#byNumber.set(subscription.number, subscription)
    return subscription
  }

  #close(subscription: Subscription): void {
    this.#forget(subscription)
    subscription.source?.cancel()
    subscription.source = undefined
  }

  #forget(subscription: Subscription): void {
    this.#byId.delete(subscription.id ?? subscription.destination)
    this.#byNumber.delete(subscription.number)
  }

  #begin(request: Request, where: Destination): Promise<unknown> | undefined {
    const { broker, namespace } = this.#connection
    switch (where.kind) {
      case 'exchange':
        return this.#consumeExchange(request, where.exchange, where.key ?? '')
      case 'temporary': {
        const name = this.temporary(where.of, where.name)
        if (where.of === 'topic') return this.#consumeExchange(request, subjectExchange, name)
        return this.#consumeQueue(request, this.#queue(name))
      }
      case 'queue': {
        const { name, isMade } = where
        const topic = broker.topics.get(namespace, name)
        if (topic) return this.#consumeTopic(request, topic)
        if (broker.queues.get(namespace, name)) return this.#consumeQueue(request, this.#queue(name))
        if (!isMade) throw new StompError('not_found', `There is no queue ${shown(name)}`)
        const making = makeQueue(this.#connection, name, request.wish)
        return making ? making.then(() => this.#begin(request, where)) : this.#begin(request, where)
      }
    }
  }

  #queue(name: string): Queue {
    const { broker, namespace, owner } = this.#connection
    return broker.queues.use(namespace, name, owner)
  }

  #consumeExchange(request: Request, exchange: string, key: string): Promise<unknown> | undefined {
    const { subscription, headers, selector, wish } = request
    const connection = this.#connection
    if (!connection.broker.router.get(connection.namespace, exchange)) {
      throw new StompError('not_found', `There is no exchange ${shown(exchange)}`)
    }
    demand(connection, 'read', 'exchange', exchange)
    demandKey(connection, 'read', exchange, key)
    if (isLive(headers, wish, subscription.ackMode)) {
      subscription.source = new LiveSource(connection, subscription.id, { exchange, key }, selector)
      return undefined
    }
    return subscriptionQueue(connection, headers, wish, { exchange, key }).then(queue => {
      this.#consumeOwn({ ...request, wish: settledWish(wish) }, queue)
    })
  }

  /** The client may have gone while its queue was made: nobody else would ever take what comes there. */
  #consumeOwn(request: Request, queue: Queue): void {
    const { queues } = this.#connection.broker
    if (this.#isOver) return queues.abandon(queue)
    try {
      this.#consumeQueue(request, queue, true)
    } catch (error) {
      queues.abandon(queue)
      throw error
    }
  }

  /** `isOwn`: what is not wanted is dropped, as there is nobody else for it. */
  #consumeQueue({ subscription, headers, selector, wish }: Request, queue: Queue, isOwn = false): undefined {
    const connection = this.#connection
    const { broker } = connection
    const { namespace, name } = queue.definition
    demand(connection, 'read', 'queue', name)
    checkSame(queue, wish)
    subscription.queue = name
    const work = broker.work.consumable(namespace, name)
    const priority =
      numberOf(headers, 'x-priority', priorityMax) ?? numberOf(headers, 'activemq.priority', priorityMax) ?? 0
    const { prefetch } = subscription
    const options = { name: subscription.id ?? subscription.destination, prefetch, priority }
    if (work) {
      if (selector) throw new StompError('not_supported', `Queue ${shown(name)} takes no selectors`)
      const source = broker.work.consume(
        work,
        { ...options, isSettled: !subscription.isHolding },
        {
          deliver: (record, _partition, number, count) => this.#deliver(subscription, record, number, count),
          ended: () => this.#ended(subscription),
        },
      )
      this.#started(subscription, source)
      source.begin()
      return
    }
    const isWanted = selector && wants(connection, selector, subscription.destination)
    const source = queue.subscribe(
      { ...options, settled: !subscription.isHolding, ...(isWanted && !isOwn ? { wants: isWanted } : {}) },
      {
        deliver: (record, count) => {
          if (isOwn && isWanted && !isWanted(record)) return void source.ack(record.offset)
          this.#deliver(subscription, record, record.offset, count)
        },
        ended: () => this.#ended(subscription),
      },
    )
    this.#started(subscription, source)
  }

  async #consumeTopic({ subscription, headers, selector }: Request, topic: Topic): Promise<void> {
    demand(this.#connection, 'read', 'queue', topic.name)
    subscription.queue = topic.name
    const isWanted = selector && wants(this.#connection, selector, subscription.destination)
    const options = { headers, isWanted, prefetch: subscription.prefetch, isSettled: !subscription.isHolding }
    const source = await consumeTopic(this.#connection, topic, options, {
      deliver: (record, more, ticket, count) => this.#deliver(subscription, record, ticket, count, more),
      ended: () => this.#ended(subscription),
    })
    if (this.#isOver) source.cancel()
    else this.#started(subscription, source)
  }

  #started(subscription: Subscription, source: Source): void {
    subscription.source = source
    if (this.#isPaused) source.pause()
  }

  #deliver(subscription: Subscription, record: RecordView, offset: number, count: number, more = ''): void {
    if (this.#isOver) return
    const connection = this.#connection
    const { delivery } = subscription
    const lines = linesFor(connection, record, subscription.destination)
    const body = record.value ?? noBytes
    delivery.number = subscription.deliver(offset)
    delivery.isRedelivered = count > 1
    delivery.more = more
    const isFull = !this.#isPaused && connection.queuedBytes + body.length > queuedBytesMax
    writeMessage(connection, delivery, lines, body, isFull ? this.#resume : undefined)
    if (isFull) this.#pause()
  }

  /** Nothing is given to the connection until its peer has taken what it was given. */
  #pause(): void {
    this.#isPaused = true
    for (const { source } of this.#byNumber.values()) source?.pause()
  }

  readonly #resume = (): void => {
    if (!this.#isPaused || this.#isOver) return
    this.#isPaused = false
    for (const { source } of this.#byNumber.values()) source?.resume()
  }

  /** The queue, or the topic, is gone: the client has no other way to learn of it. */
  #ended(subscription: Subscription): void {
    if (this.#isOver || this.#byNumber.get(subscription.number) !== subscription) return
    subscription.source = undefined
    this.#forget(subscription)
    const error = new StompError('subscription_ended', `What ${shown(subscription.destination)} led to was removed`)
    // Whoever removes it is not done yet; and the broker may be about to end.
    this.#connection.context.clock.soon(() => this.#connection.fail(error))
  }

  /** The queue that a durable subscription leaves behind, and that is to go with it. */
  #lastingQueue(headers: Headers, subscription: Subscription | undefined): string | undefined {
    const named = namedQueue(this.#connection, headers)
    if (named !== undefined) return named
    const isDurable = flagOf(headers, 'durable') ?? flagOf(headers, 'persistent')
    const where = subscription?.destination ?? headers.get('destination')
    if (isDurable !== true || where === undefined) return undefined
    const place = parseDestination(where)
    if (place.kind !== 'exchange') return undefined
    if (subscription && subscription.queue !== '') return subscription.queue
    return unnamedQueue(this.#connection, headers, { exchange: place.exchange, key: place.key ?? '' })
  }
}

const noBytes = Buffer.alloc(0)

/** What the digits of [from, to) say; -1 when these are none, or others. */
function naturalNumber(text: string, from: number, to: number): number {
  if (to <= from || to - from > 15) return -1
  let number = 0
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return number
}

function ackModeOf(headers: Headers): AckMode {
  const mode = headers.get('ack') ?? 'auto'
  if (mode === 'auto' || mode === 'client' || mode === 'client-individual') return mode
  throw new StompError('invalid_header', `ack takes auto, client or client-individual, not ${shown(mode)}`)
}
