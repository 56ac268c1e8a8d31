import type { ConsumerInfo } from '../../core/connections.ts'
import type { RecordView } from '../../core/cursor/record-view.ts'
import { SharedPrefetch } from '../../core/cursor/subscription.ts'
import { BrokerError } from '../../core/errors.ts'
import { queueTypeIn } from '../../core/queues/arguments.ts'
import type { Queue } from '../../core/queues/queue.ts'
import type { Topic } from '../../core/topic.ts'
import type { WorkQueue } from '../../core/work/contract.ts'
import type { ChannelHost } from './channel-host.ts'
import { Commit, type Outcome, type Settlement } from './commit.ts'
import { replyAddress, replyQueue, ReplyQueues } from './direct-reply.ts'
import { deliveredOf, type Delivered } from './delivered.ts'
import { AmqpException } from './errors.ts'
import { headerOf } from './mapping.ts'
import {
  basicCancel,
  basicConsumeOk,
  basicCancelOk,
  basicGetEmpty,
  basicGetOk,
  type basicConsume,
} from './messages/basic.ts'
import type { Arguments } from './messages/method.ts'
import { checkShort, findQueue, findTopic, queueNamed } from './names.ts'
import { contentOf, type Published, type ReplyConsumer } from './published.ts'
import type { Publishing } from './publishing.ts'
import { demand, resource } from './rights.ts'
import { shortBytes } from './rewriting.ts'
import type { Sending } from './sending.ts'
import { consumeTopic } from './stream-consuming.ts'
import { fieldOf, type Table } from './table.ts'
import { inRuns, Unacked, type Delivery } from './unacked.ts'

/** A consumer is given no more while so much waits for its peer. */
const queuedBytesMax = 512 * 1024
/** Answers that wait for a peer that does not take them. */
const replyBytesMax = 64 * 1024 * 1024
/** More that are settled together take their turns. */
const settledAtOnceMax = 1024
const tagPrefix = 'amq.ctag-'
const tagRandomBytes = 16

/** Where a taker has its messages from; they are named by offsets, which it may choose. */
export interface Source {
  readonly heldCount: number
  ack(first: number, last: number): number
  reject(first: number, last: number): number
  release(first: number, last: number): number
  pause(): void
  resume(): void
  /** Whether it is given messages: of several that stand by, one is. */
  readonly isActive: boolean
  /** Nothing more is given to it; what it holds stays its own. */
  retire(): void
  cancel(): void
}

/** Who takes messages: a consumer, or the `get`s of a channel from one queue. */
export class Taker {
  readonly tag: string
  /** The tag as deliveries have it. */
  readonly tagBytes: Buffer
  source: Source | undefined
  /** Where it had its messages from is gone. */
  isOver = false
  /** It was cancelled; what it holds is still its own. */
  isCancelled = false

  constructor(tag: string) {
    this.tag = tag
    this.tagBytes = shortBytes(tag)
  }
}

type ConsumeFields = Arguments<typeof basicConsume>

/** Who has asked for messages by basic.consume. */
class Consumer extends Taker {
  readonly queue: string
  readonly flags: { readonly noAck: boolean; readonly exclusive: boolean }
  readonly arguments: Table
  readonly prefetchCount: number

  constructor(tag: string, queue: string, prefetchCount: number, { flags, arguments: given }: ConsumeFields) {
    super(tag)
    this.queue = queue
    this.flags = flags
    this.arguments = given
    this.prefetchCount = prefetchCount
  }

  get info(): ConsumerInfo {
    const { tag, queue, flags, prefetchCount, source } = this
    return {
      tag,
      queue,
      isAcknowledging: !flags.noAck,
      isExclusive: flags.exclusive,
      isActive: source?.isActive === true,
      prefetchCount,
      arguments: this.arguments.map(headerOf),
    }
  }
}

type Pulled = (record: RecordView | undefined, offset: number, deliveryCount: number) => void

interface Getter {
  readonly queue: Queue
  readonly taker: Taker
  readonly noAck: boolean
  /** Messages that wait. */
  ready(): number
  pull(done: Pulled): void
}

/** What was settled in a transaction that is open. */
export type HeldSettlement = Settlement<Delivery<Taker>>

/** Gives messages to the consumers of one channel, and settles them. */
export class Consuming {
  readonly unacked = new Unacked<Taker>()
  readonly shared = new SharedPrefetch(0)
  /** Of consumers that are begun from now on. */
  prefetchCount = 0
  globalPrefetchCount = 0
  /** When the channel is transactional: takes what is settled until the commit. */
  hold: ((settlement: HeldSettlement) => void) | undefined
  readonly #channel: ChannelHost
  readonly #sending: Sending
  readonly #publishing: Publishing
  readonly #consumers = new Map<string, Consumer>()
  /** By the id of the queue, and whether what is got is settled. */
  readonly #getters = new Map<string, Getter>()
  /** Cancelled ones that hold something still. */
  readonly #leaving = new Set<Taker>()
  #reply: { tag: string; consumer: ReplyConsumer } | undefined
  /** What was settled, and was too much for one turn. */
  #settling: Commit<Delivery<Taker>> | undefined
  #isPaused = false
  #isOver = false

  constructor(channel: ChannelHost, sending: Sending, publishing: Publishing) {
    this.#channel = channel
    this.#sending = sending
    this.#publishing = publishing
  }

  get consumerCount(): number {
    return this.#consumers.size + (this.#reply ? 1 : 0)
  }

  get consumers(): ConsumerInfo[] {
    return Array.from(this.#consumers.values(), ({ info }) => info)
  }

  /** What is behind waits while a topic is looked into. */
  consume(fields: ConsumeFields): Promise<void> | undefined {
    const { queue: name, consumerTag, flags } = fields
    checkShort(consumerTag)
    const channel = this.#channel
    const { connection } = channel
    if (consumerTag !== '' && (this.#consumers.has(consumerTag) || this.#reply?.tag === consumerTag)) {
      throw new AmqpException('notAllowed', `attempt to reuse consumer tag '${consumerTag}'`)
    }
    const tag = consumerTag || tagPrefix + connection.context.random.bytes(tagRandomBytes).toString('base64url')
    const { consumersPerChannelMax } = connection.broker.limits
    if (this.consumerCount >= consumersPerChannelMax) {
      throw new AmqpException('notAllowed', `reached maximum (${consumersPerChannelMax}) of consumers per channel`)
    }
    const topic = name === replyQueue ? undefined : findTopic(connection, queueNamed(channel, name))
    if (topic) return this.#consumeTopic(topic, tag, fields)
    if (name === replyQueue) this.#consumeReplies(tag, flags.noAck)
    else this.#consumeQueue(this.#queueToRead(name), tag, fields)
    if (!flags.noWait) channel.send(basicConsumeOk, { consumerTag: tag })
    return undefined
  }

  async #consumeTopic(topic: Topic, tag: string, fields: ConsumeFields): Promise<void> {
    const channel = this.#channel
    const { noAck, exclusive, noWait } = fields.flags
    demand(channel.connection, 'read', 'queue', topic.name)
    const prefetchCount = this.prefetchCount || this.globalPrefetchCount
    const taker = new Consumer(tag, topic.name, prefetchCount, fields)
    const options = { tag, noAck, exclusive, prefetchCount, arguments: fields.arguments }
    const subscription = await consumeTopic(channel.connection, topic, options, {
      deliver: (delivered, offset, deliveryCount) => this.#send(taker, delivered, offset, deliveryCount, noAck),
      ended: () => this.#ended(taker),
    })
    if (this.#isOver) return subscription.cancel()
    taker.source = subscription
    if (this.#isPaused) subscription.pause()
    this.#consumers.set(tag, taker)
    if (!noWait) channel.send(basicConsumeOk, { consumerTag: tag })
  }

  cancel(tag: string, noWait: boolean): void {
    checkShort(tag)
    const taker = this.#consumers.get(tag)
    if (taker) {
      this.#consumers.delete(tag)
      this.#leave(taker)
    } else if (this.#reply?.tag === tag) this.#endReplies()
    if (!noWait) this.#channel.send(basicCancelOk, { consumerTag: tag })
  }

  /** Applies to consumers that are begun from now on, or to all of the channel together. */
  qos(count: number, isGlobal: boolean): void {
    if (isGlobal) this.globalPrefetchCount = count
    else {
      this.prefetchCount = count
      // It takes the place of a limit for the channel.
      this.globalPrefetchCount = 0
    }
    this.shared.max = this.globalPrefetchCount
  }

  /** One message now. What is behind waits while it is read from the disk, or is on its way there. */
  async get(name: string, noAck: boolean): Promise<void> {
    const queue = this.#queueToRead(name)
    const { connection } = this.#channel
    const { broker, context } = connection
    // What has come just now is for consumers that wait for it, and may be too much for the queue.
    await new Promise<void>(resolve => context.clock.soon(resolve))
    let isDurable = false
    // What this channel has published it sees; what others have, when there is nothing else.
    broker.router.whenDurable(this.#publishing.lastSeq, () => (isDurable = true), undefined)
    if (!isDurable || (queue.readyCount === 0 && queue.comingCount > 0)) await connection.settled()
    if (!this.#isOver) await this.#pull(this.#queueToRead(queue.definition.name), noAck)
  }

  #pull(queue: Queue, noAck: boolean): Promise<void> | undefined {
    const getter = this.#getter(queue, noAck)
    let isDone = false
    let resolve: (() => void) | undefined
    getter.pull((record, offset, deliveryCount) => {
      isDone = true
      if (!this.#isOver) this.#got(getter, record, offset, deliveryCount)
      resolve?.()
    })
    return isDone ? undefined : new Promise(done => (resolve = done))
  }

  /** Settles the message of that tag, or all up to it; 0 with `multiple` is all. Throws when there is none. */
  settle(tag: number, multiple: boolean, outcome: Outcome): Promise<void> | undefined {
    const deliveries = this.#take(tag, multiple)
    if (!this.hold) return this.#applyAll(outcome, deliveries)
    this.hold({ outcome, deliveries })
    return undefined
  }

  /** What is behind waits while many are settled. */
  #applyAll(outcome: Outcome, deliveries: readonly Delivery<Taker>[]): Promise<void> | undefined {
    if (deliveries.length <= settledAtOnceMax) {
      this.apply(outcome, deliveries)
      return undefined
    }
    const settling = new Commit(this.#publishing, this, [], [{ outcome, deliveries }])
    this.#settling = settling
    const settled = Promise.resolve(settling.begin(this.#channel.connection.broker))
    return settled.then(() => void (this.#settling = undefined))
  }

  apply(outcome: Outcome, deliveries: readonly Delivery<Taker>[]): void {
    inRuns(deliveries, (taker, first, last) => {
      const { source } = taker
      if (outcome === 'ack') source?.ack(first, last)
      else if (outcome === 'drop') source?.reject(first, last)
      else source?.release(first, last)
      if (taker.isCancelled) this.#forget(taker)
    })
  }

  /** All that is not settled goes back. */
  recover(): Promise<void> | undefined {
    return this.#applyAll('requeue', this.unacked.takeUpTo(Infinity))
  }

  /** Consumers go, and what they hold goes back. */
  end(): void {
    this.#settling?.finish()
    this.#isOver = true
    this.#endReplies()
    const takers = [...this.#consumers.values(), ...this.#leaving]
    this.#consumers.clear()
    this.#leaving.clear()
    for (const { source } of takers) source?.cancel()
    for (const { taker } of this.#getters.values()) taker.source?.cancel()
    this.#getters.clear()
  }

  #queueToRead(given: string): Queue {
    const { connection } = this.#channel
    const name = queueNamed(this.#channel, given)
    demand(connection, 'read', 'queue', name)
    if (findTopic(connection, name)) {
      const what = resource('queue', name, connection.namespace)
      throw new AmqpException('notImplemented', `basic.get not supported by stream queues ${what}`)
    }
    return findQueue(connection, name)
  }

  #take(tag: number, multiple: boolean): Delivery<Taker>[] {
    if (multiple && tag === 0) return this.unacked.takeUpTo(Infinity)
    if (multiple && this.unacked.has(tag)) return this.unacked.takeUpTo(tag)
    const delivery = multiple ? undefined : this.unacked.take(tag)
    if (delivery) return [delivery]
    throw new AmqpException('preconditionFailed', `unknown delivery tag ${tag}`)
  }

  #consumeQueue(queue: Queue, tag: string, fields: ConsumeFields): void {
    const workQueue = this.#workQueueOf(queue)
    if (workQueue) this.#consumeWork(workQueue, tag, fields)
    else this.#subscribe(queue, tag, fields)
  }

  /** Undefined for a queue all of whose messages are in its own stream. */
  #workQueueOf({ definition: { namespace, name } }: Queue): WorkQueue | undefined {
    return this.#channel.connection.broker.work.consumable(namespace, name)
  }

  #consumeWork(queue: WorkQueue, tag: string, fields: ConsumeFields): void {
    const { connection } = this.#channel
    const { noAck, exclusive } = fields.flags
    const prefetch = noAck ? 0 : this.prefetchCount || this.globalPrefetchCount
    const taker = new Consumer(tag, queue.name, prefetch, fields)
    const priority = priorityOf(fields.arguments, queue)
    const options = { name: tag, prefetch, priority, isExclusive: exclusive, isSettled: noAck }
    const source = unlessInUse(queue, () =>
      connection.broker.work.consume(queue, options, {
        deliver: (record, _partition, number, deliveryCount) => {
          this.#send(taker, deliveredOf(connection, record, undefined), number, deliveryCount, noAck)
        },
        ended: () => this.#ended(taker),
      }),
    )
    taker.source = source
    this.#consumers.set(tag, taker)
    if (this.#isPaused) source.pause()
    source.begin()
  }

  #subscribe(queue: Queue, tag: string, fields: ConsumeFields): void {
    const { noAck, exclusive } = fields.flags
    const taker = new Consumer(tag, queue.definition.name, noAck ? 0 : this.prefetchCount, fields)
    const options = {
      name: tag,
      priority: priorityOf(fields.arguments, queue.definition),
      exclusive,
      settled: noAck,
      // Who does not acknowledge waits for room in the channel, too, but takes none.
      shared: this.shared,
      prefetch: noAck ? 0 : this.prefetchCount,
    }
    const subscription = unlessInUse(queue.definition, () =>
      queue.subscribe(options, {
        deliver: (record, deliveryCount) => this.#deliver(taker, queue, record, deliveryCount, noAck),
        ended: () => this.#ended(taker),
      }),
    )
    taker.source = subscription
    if (this.#isPaused) subscription.pause()
    this.#consumers.set(tag, taker)
  }

  #deliver(taker: Taker, queue: Queue, record: RecordView, deliveryCount: number, noAck: boolean): void {
    const delivered = deliveredOf(this.#channel.connection, record, toldCount(queue, deliveryCount))
    this.#send(taker, delivered, record.offset, deliveryCount, noAck)
  }

  #send(taker: Taker, delivered: Delivered, offset: number, deliveryCount: number, noAck: boolean): void {
    const { connection } = this.#channel
    const deliveryTag = noAck ? this.unacked.skip() : this.unacked.add(taker, offset)
    const isFull = !this.#isPaused && connection.queuedBytes + delivered.body.length > queuedBytesMax
    this.#sending.deliver(taker.tagBytes, deliveryTag, deliveryCount > 1, delivered, isFull ? this.#resume : undefined)
    if (isFull) this.#pause()
  }

  /** Nothing is given to the channel until its peer has taken what it was given. */
  #pause(): void {
    this.#isPaused = true
    for (const { source } of this.#consumers.values()) source?.pause()
  }

  readonly #resume = (): void => {
    if (!this.#isPaused || this.#isOver) return
    this.#isPaused = false
    for (const { source } of this.#consumers.values()) source?.resume()
  }

  #got(getter: Getter, record: RecordView | undefined, offset: number, deliveryCount: number): void {
    const { queue, taker, noAck } = getter
    const channel = this.#channel
    if (!record) return channel.send(basicGetEmpty, {})
    const deliveryTag = noAck ? this.unacked.skip() : this.unacked.add(taker, offset)
    const delivered = deliveredOf(channel.connection, record, toldCount(queue, deliveryCount))
    channel.send(basicGetOk, {
      deliveryTag,
      redelivered: deliveryCount > 1,
      exchange: delivered.exchange,
      routingKey: delivered.key.toString(),
      messageCount: getter.ready(),
    })
    this.#sending.content(delivered)
  }

  /** It stays: what it has got must be settled by it, and the next `get` is likely to come. */
  #getter(queue: Queue, noAck: boolean): Getter {
    const { id } = queue.definition
    const key = noAck ? `${id} settled` : id
    const known = this.#getters.get(key)
    if (known) return known
    const taker = new Taker('')
    const ended = (): void => {
      taker.isOver = true
      this.#getters.delete(key)
    }
    const workQueue = this.#workQueueOf(queue)
    const getter = workQueue
      ? this.#workGetter(queue, workQueue, taker, noAck, ended)
      : this.#queueGetter(queue, taker, noAck, ended)
    this.#getters.set(key, getter)
    return getter
  }

  #queueGetter(queue: Queue, taker: Taker, noAck: boolean, ended: () => void): Getter {
    const subscription = queue.subscribe({ passive: true, settled: noAck }, { deliver: () => {}, ended })
    taker.source = subscription
    return {
      queue,
      taker,
      noAck,
      ready: () => queue.readyCount,
      pull: done => subscription.pull((record, deliveryCount) => done(record, record?.offset ?? -1, deliveryCount)),
    }
  }

  #workGetter(queue: Queue, workQueue: WorkQueue, taker: Taker, noAck: boolean, ended: () => void): Getter {
    const { work } = this.#channel.connection.broker
    const source = work.consume(workQueue, { name: '', prefetch: 0, isPassive: true }, { deliver: () => {}, ended })
    taker.source = source
    return {
      queue,
      taker,
      noAck,
      ready: () => workQueue.readyCount,
      pull: done =>
        source.pull((record, number, deliveryCount) => {
          if (noAck) source.ack(number)
          done(record, number, deliveryCount)
        }),
    }
  }

  /** The queue is gone. */
  #ended(taker: Taker): void {
    taker.isOver = true
    this.#leaving.delete(taker)
    if (this.#consumers.get(taker.tag) !== taker) return
    this.#consumers.delete(taker.tag)
    const channel = this.#channel
    if (!channel.connection.capabilities.consumerCancelNotify) return
    const { tag } = taker
    // Who deletes a queue on the channel that consumes from it first hears that it is deleted.
    channel.behindAnswer(() => channel.send(basicCancel, { consumerTag: tag, flags: { noWait: true } }))
  }

  /** It gets nothing more, and keeps what it holds. */
  #leave(taker: Taker): void {
    taker.isCancelled = true
    this.#leaving.add(taker)
    taker.source?.retire()
    this.#forget(taker)
  }

  /** A consumer that was cancelled goes with the last message that it holds. */
  #forget(taker: Taker): void {
    if (taker.isOver || !taker.source || taker.source.heldCount > 0) return
    taker.isOver = true
    this.#leaving.delete(taker)
    taker.source.cancel()
  }

  #consumeReplies(tag: string, noAck: boolean): void {
    if (!noAck) throw new AmqpException('preconditionFailed', 'reply consumer cannot acknowledge')
    if (this.#reply) throw new AmqpException('preconditionFailed', 'reply consumer already set')
    const { broker, context } = this.#channel.connection
    const tagBytes = shortBytes(tag)
    const consumer: ReplyConsumer = {
      address: replyAddress(context.random),
      deliver: answer => this.#answer(tagBytes, answer),
    }
    this.#reply = { tag, consumer }
    this.#publishing.replyConsumer = consumer
    ReplyQueues.of(broker).add(consumer)
  }

  #endReplies(): void {
    if (!this.#reply) return
    ReplyQueues.of(this.#channel.connection.broker).delete(this.#reply.consumer)
    this.#reply = undefined
    this.#publishing.replyConsumer = undefined
  }

  #answer(tag: Buffer, { exchange, key, message }: Published): void {
    const { connection } = this.#channel
    // Answers lie nowhere: who does not take them loses them.
    if (connection.queuedBytes > replyBytesMax) return
    const delivered = { ...contentOf(message), exchange, key: Buffer.from(key) }
    this.#sending.deliver(tag, this.unacked.skip(), false, delivered)
  }
}

/** Queues that are said to count deliveries tell of them. */
function toldCount({ config, definition }: Queue, deliveryCount: number): number | undefined {
  if (deliveryCount <= 1) return undefined
  return config.deliveryLimit > 0 || queueTypeIn(definition.config) === 'quorum' ? deliveryCount : undefined
}

interface Named {
  readonly namespace: string
  readonly name: string
}

/** Somebody else consumes, and one of the two wants to be alone. */
function unlessInUse<T>({ namespace, name }: Named, consume: () => T): T {
  try {
    return consume()
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'queue-in-use') throw error
    throw new AmqpException('accessRefused', `${resource('queue', name, namespace)} in exclusive use`)
  }
}

function priorityOf(given: Table, { name, namespace }: Named): number {
  const field = fieldOf(given, 'x-priority')
  if (!field) return 0
  const value = Number(field.value)
  if ('bBsuIilL'.includes(field.type) && Number.isSafeInteger(value)) return value
  const explanation = `invalid arg 'x-priority' for ${resource('queue', name, namespace)}: it takes an integer`
  throw new AmqpException('preconditionFailed', explanation)
}
