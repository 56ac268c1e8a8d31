import { StompDriver, type Received } from '../../packages/broker/src/protocols/stomp/driver.ts'
import type { Connection, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import { stompPort } from './client.ts'
import { CorePort } from './core-port.ts'
import type { RecordId } from './history.ts'
import type { Binding, Consuming, DeliverySink, MessageTraits, Outcome, QueuePort } from './queue-port.ts'
import { idOf } from './records.ts'
import type { Shared } from './workload.ts'

const answerMsMax = 8_000
/** What ends a connection without anybody's fault. */
const endings = ['subscription_ended', 'shutdown']

/** Consumes by STOMP, on a connection for each consumer. What has no frame of its own, or no answer that tells enough, is asked of the core. */
export class StompPort implements QueuePort {
  readonly isRemote = true
  readonly shared: Shared
  readonly #core: CorePort
  readonly #runtime: Runtime
  readonly #sockets = new Set<Connection>()

  constructor(shared: Shared, name: string) {
    this.shared = shared
    this.#core = new CorePort(shared)
    this.#runtime = shared.simulator.process(name).start()
  }

  get connection(): number {
    return this.#core.connection
  }
  declareQueue(name: string, config: ReadonlyMap<string, string>): Promise<Outcome> {
    return this.#core.declareQueue(name, config)
  }
  deleteQueue(name: string): Promise<Outcome> {
    return this.#core.deleteQueue(name)
  }
  purge(name: string): Promise<Outcome> {
    return this.#core.purge(name)
  }
  declareExchange(name: string, kind: 'direct' | 'fanout' | 'topic'): Promise<Outcome> {
    return this.#core.declareExchange(name, kind)
  }
  bind(binding: Binding): Promise<Outcome> {
    return this.#core.bind(binding)
  }
  unbind(binding: Binding): Promise<Outcome> {
    return this.#core.unbind(binding)
  }
  publish(exchange: string, key: string, id: RecordId, traits: MessageTraits): Promise<Outcome> {
    return this.#core.publish(exchange, key, id, traits)
  }

  async consume(queue: string, prefetch: number, sink: DeliverySink): Promise<Consuming | Outcome> {
    const { simulator, starts: life } = this.shared
    let driver: StompDriver | undefined
    try {
      driver = await this.inTime(this.#connect())
      const consumer = new StompConsumer(this, driver, life, sink)
      // What comes before the receipt is for the consumer, too.
      void consumer.deliver()
      const given: Record<string, string> = prefetch === 0 ? {} : { 'prefetch-count': String(prefetch) }
      const destination = `/amq/queue/${queue}`
      await this.inTime(driver.ask('SUBSCRIBE', { id: 'c', destination, ack: 'client-individual', ...given }))
      return consumer
    } catch (error) {
      driver?.close()
      await simulator.sleep(20 + simulator.random.float() * 100)
      if (error instanceof Error && error.message.startsWith('not_found')) return 'queue-not-found'
      return driver ? undefined : 'unreachable'
    }
  }

  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  #connect(): Promise<StompDriver> {
    const { network } = this.#runtime
    const keeping = {
      connect: async (address: Parameters<typeof network.connect>[0]) => {
        const socket = await network.connect(address)
        this.#sockets.add(socket)
        return socket
      },
    }
    return StompDriver.connect({ ...network, ...keeping }, { host: 'broker', port: stompPort })
  }

  inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.shared.simulator.at(answerMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(resolve, reject).finally(cancel)
    })
  }
}

class StompConsumer implements Consuming {
  readonly #port: StompPort
  readonly #driver: StompDriver
  readonly #life: number
  readonly #sink: DeliverySink
  /** What the broker calls the messages, by their tags. */
  readonly #ids = new Map<number, string>()
  #tags = 0
  isOver = false

  constructor(port: StompPort, driver: StompDriver, life: number, sink: DeliverySink) {
    this.#port = port
    this.#driver = driver
    this.#life = life
    this.#sink = sink
  }

  /** Until the connection is gone. */
  async deliver(): Promise<void> {
    const { simulator } = this.#port.shared
    try {
      for (;;) this.#deliverOne(await this.#driver.message('c'))
    } catch (error) {
      this.isOver = true
      if (!(error instanceof Error)) return
      const [title = ''] = error.message.split(':')
      const isTold = /^[a-z_]+$/.test(title)
      if (isTold && !endings.includes(title) && title !== 'not_found') simulator.fail(error.message, error)
      if (error.message.includes('offset')) simulator.fail(error.message, error)
    }
  }

  #deliverOne({ headers, body }: Received): void {
    const tag = ++this.#tags
    this.#ids.set(tag, headers['ack'] ?? '')
    this.#sink.deliver({ id: idOf(tag, body), tag, redelivered: headers['redelivered'] === 'true', life: this.#life })
  }

  async settle(tags: readonly number[], how: 'ack' | 'requeue' | 'reject'): Promise<Outcome> {
    const driver = this.#driver
    const command = how === 'ack' ? 'ACK' : 'NACK'
    const more: Record<string, string> = how === 'reject' ? { requeue: 'false' } : {}
    const frames = tags.map(tag => ({ id: this.#ids.get(tag) ?? '', ...more }))
    for (const tag of tags) this.#ids.delete(tag)
    const last = frames.pop()
    try {
      for (const headers of frames) driver.send(command, headers)
      if (last) await this.#port.inTime(driver.ask(command, last))
      return 'done'
    } catch (error) {
      const { message } = error as Error
      // It holds what it was given until it goes, or the queue does.
      if (message.startsWith('not_found') && !this.isOver) return message
      return undefined
    }
  }

  async cancel(): Promise<void> {
    if (!this.isOver) await this.#port.inTime(this.#driver.ask('UNSUBSCRIBE', { id: 'c' })).catch(() => {})
    this.isOver = true
    this.#driver.close()
  }
}
