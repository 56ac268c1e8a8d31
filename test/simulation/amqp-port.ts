import { AmqpDriver, Refusal, type DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import type { DriverConsumer } from '../../packages/broker/src/protocols/amqp/driver-consumer.ts'
import {
  exchangeBind,
  exchangeBindOk,
  exchangeUnbind,
  exchangeUnbindOk,
} from '../../packages/broker/src/protocols/amqp/messages/exchange.ts'
import { queueUnbind, queueUnbindOk } from '../../packages/broker/src/protocols/amqp/messages/queue.ts'
import type { Connection, Network, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import { amqpPort } from './client.ts'
import type { RecordId } from './history.ts'
import type { Binding, Consuming, DeliverySink, MessageTraits, Outcome, QueuePort } from './queue-port.ts'
import { idOf, valueOf } from './records.ts'
import type { Shared } from './workload.ts'

const answerMsMax = 8_000
/** The channel with confirms. */
const publishing = 'publish'

/** Reply codes, in the words of the port. */
const codes: Record<number, string> = {
  404: 'not-found',
  405: 'locked',
  406: 'precondition-failed',
  506: 'storage-full',
}

/** One connection of a client, made anew when it is lost: a channel to publish, one for all else, and one for each consumer. */
export class AmqpPort implements QueuePort {
  readonly isRemote = true
  readonly shared: Shared
  readonly #name: string
  readonly #runtime: Runtime
  #socket: Connection | undefined
  #driver: Promise<AmqpDriver> | undefined
  #channels = new Map<string, Promise<DriverChannel>>()
  #connections = 0

  constructor(shared: Shared, name: string) {
    this.shared = shared
    this.#name = name
    this.#runtime = shared.simulator.process(name).start()
  }

  get connection(): number {
    return this.#connections
  }

  declareQueue(name: string): Promise<Outcome> {
    return this.#ask('all', channel => channel.declare(name))
  }
  deleteQueue(name: string): Promise<Outcome> {
    return this.#ask('all', channel => channel.deleteQueue(name))
  }
  purge(name: string): Promise<Outcome> {
    return this.#ask('all', channel => channel.purge(name))
  }
  declareExchange(name: string, kind: string): Promise<Outcome> {
    return this.#ask('all', channel => channel.declareExchange(name, kind))
  }
  bind({ source, kind, destination, key }: Binding): Promise<Outcome> {
    return this.#ask('all', channel =>
      kind === 'exchange'
        ? channel.call(exchangeBind, { destination, source, routingKey: key }, exchangeBindOk)
        : channel.bind(destination, source, key),
    )
  }
  unbind({ source, kind, destination, key }: Binding): Promise<Outcome> {
    return this.#ask('all', channel =>
      kind === 'exchange'
        ? channel.call(exchangeUnbind, { destination, source, routingKey: key }, exchangeUnbindOk)
        : channel.call(queueUnbind, { queue: destination, exchange: source, routingKey: key }, queueUnbindOk),
    )
  }

  publish(exchange: string, key: string, id: RecordId, { priority, ttlMs }: MessageTraits): Promise<Outcome> {
    return this.#ask(publishing, async channel => {
      const expiration = ttlMs === undefined ? {} : { expiration: String(ttlMs) }
      const properties = { deliveryMode: 2, priority, ...expiration }
      const isTaken = await channel.publish(exchange, key, valueOf(id), properties, { mandatory: true })
      const at = channel.returned.findIndex(({ body }) => {
        const { producer, index } = idOf(0, body)
        return producer === id.producer && index === id.index
      })
      if (at < 0) return isTaken ? 'done' : 'queue-full'
      channel.returned.splice(at, 1)
      return 'unrouted'
    })
  }

  async consume(queue: string, prefetch: number, sink: DeliverySink): Promise<Consuming | Outcome> {
    const name = `consumer ${this.#channels.size} ${this.#connections}`
    let consumer: AmqpConsumer | undefined
    const life = this.shared.starts
    const outcome = await this.#ask(name, async channel => {
      await channel.qos(prefetch)
      const made = await channel.consume(queue)
      consumer = new AmqpConsumer(this, channel, made, queue)
      void this.#deliver(made, life, sink)
    })
    return outcome === 'done' && consumer ? consumer : outcome
  }

  async #deliver(consumer: DriverConsumer, life: number, sink: DeliverySink): Promise<void> {
    try {
      for (;;) {
        const { deliveryTag, redelivered, body } = await consumer.next()
        sink.deliver({ id: idOf(deliveryTag, body), tag: deliveryTag, redelivered, life })
      }
    } catch (error) {
      // The connection is over, or a body is altered.
      if (error instanceof Error && error.message.includes('offset')) this.shared.simulator.fail(error.message, error)
    }
  }

  drop(): void {
    this.#socket?.destroy()
    this.#socket = this.#driver = undefined
    this.#channels.clear()
  }

  /** What the port has no word for, on a channel of its own. */
  use(name: string, act: (channel: DriverChannel) => Promise<void>): Promise<Outcome> {
    return this.#ask(name, act)
  }

  /** On the channel of that name, which is opened when it is not there. */
  async #ask(name: string, act: (channel: DriverChannel) => Promise<unknown>): Promise<Outcome> {
    const { simulator } = this.shared
    const driver = (this.#driver ??= this.inTime(this.#connect()))
    const opened = this.#channels.get(name) ?? driver.then(found => this.#open(found, name === publishing))
    this.#channels.set(name, opened)
    let isSent = false
    try {
      const given = await this.inTime(
        opened.then(channel => {
          isSent = true
          return act(channel)
        }),
      )
      return typeof given === 'string' ? given : 'done'
    } catch (error) {
      if (error instanceof Refusal && codes[error.code] !== undefined) {
        if (this.#channels.get(name) === opened) this.#channels.delete(name)
        if ((await driver).gone) this.drop()
        return codes[error.code]
      }
      const isOurs = error instanceof Refusal && error.code !== 320
      if (isOurs) simulator.fail(`${this.#name} is refused: ${error.code} ${error.message}`, error)
      if (this.#driver === driver) this.drop()
      await simulator.sleep(20 + simulator.random.float() * 100)
      return isSent ? undefined : 'unreachable'
    }
  }

  async #connect(): Promise<AmqpDriver> {
    this.#connections++
    const { network } = this.#runtime
    const keeping: Pick<Network, 'connect'> = {
      connect: async address => (this.#socket = await network.connect(address)),
    }
    return AmqpDriver.connect({ ...network, ...keeping }, { host: 'broker', port: amqpPort })
  }

  async #open(driver: AmqpDriver, confirms: boolean): Promise<DriverChannel> {
    const channel = await driver.channel()
    if (confirms) await channel.confirm()
    return channel
  }

  inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.shared.simulator.at(answerMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(resolve, reject).finally(cancel)
    })
  }
}

class AmqpConsumer implements Consuming {
  readonly #port: AmqpPort
  readonly #channel: DriverChannel
  readonly #consumer: DriverConsumer
  readonly #queue: string

  constructor(port: AmqpPort, channel: DriverChannel, consumer: DriverConsumer, queue: string) {
    this.#port = port
    this.#channel = channel
    this.#consumer = consumer
    this.#queue = queue
  }

  get isOver(): boolean {
    return this.#channel.gone !== undefined || this.#channel.cancelled.includes(this.#consumer.tag)
  }

  async settle(tags: readonly number[], how: 'ack' | 'requeue' | 'reject', all: boolean): Promise<Outcome> {
    const channel = this.#channel
    const last = tags.at(-1) ?? 0
    try {
      if (all && how === 'ack') channel.ack(last, true)
      else if (all) channel.nack(last, { multiple: true, requeue: how === 'requeue' })
      else if (how === 'ack') channel.ack(last)
      else channel.reject(last, how === 'requeue')
      // Acknowledgements are not answered; this is, when all before it is durable.
      await this.#port.inTime(channel.declare(this.#queue, { passive: true }))
      return 'done'
    } catch (error) {
      if (error instanceof Refusal && error.code !== 404 && error.code !== 320) return `${error.code} ${error.message}`
      return undefined
    }
  }

  async cancel(): Promise<void> {
    if (this.isOver) return
    await this.#port.inTime(this.#channel.close()).catch(() => this.#port.drop())
  }
}
