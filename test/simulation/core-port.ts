import type { Broker } from '../../packages/broker/src/core/broker.ts'
import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import type { Subscription } from '../../packages/broker/src/core/cursor/subscription.ts'
import { BrokerError } from '../../packages/broker/src/core/errors.ts'
import { Fenced } from '../../packages/broker/src/storage/errors.ts'
import type { Binding, Consuming, DeliverySink, MessageTraits, Outcome, QueuePort } from './queue-port.ts'
import type { RecordId } from './history.ts'
import { idOf, valueOf } from './records.ts'
import type { Shared } from './workload.ts'

/** An answer that has not come by then never comes. */
const answerMsMax = 8_000

/** Calls the core within the broker's own process. */
export class CorePort implements QueuePort {
  readonly isRemote = false
  readonly #shared: Shared
  #calls: { incarnation: number; waiting: (() => void)[] } = { incarnation: -1, waiting: [] }

  constructor(shared: Shared) {
    this.#shared = shared
  }

  get connection(): number {
    return this.#shared.broker.incarnation
  }

  /** Runs `act` in the process; undefined when that ends before `done` is called. */
  inside<T>(act: (core: Broker, done: (value: T) => void) => void): Promise<T | string | undefined> {
    const { simulator, broker } = this.#shared
    const { incarnation } = broker
    return new Promise(resolve => {
      const settle = (value: T | string | undefined): void => {
        cancel()
        resolve(value)
      }
      const fail = (error: unknown): void => {
        if (!broker.isRunning(incarnation)) return
        if (error instanceof BrokerError) settle(error.code)
        else if (error instanceof Fenced) settle(undefined)
        else simulator.fail(`The core throws ${String((error as Error).stack)}`, error)
      }
      const run = (): void => {
        const running = this.#shared.running()
        if (!running) return settle(undefined)
        try {
          act(running.core, value => {
            if (broker.isRunning(incarnation)) settle(value)
          })
        } catch (error) {
          fail(error)
        }
      }
      const untilMs = simulator.nowMs + answerMsMax
      const watch = (): void => {
        if (!broker.isRunning(incarnation) || simulator.nowMs > untilMs) resolve(undefined)
        else cancel = simulator.at(20, 'watch', watch)
      }
      let cancel = simulator.at(20, 'watch', watch)
      if (!broker.isRunning(incarnation) || !this.#shared.running()) return
      if (this.#calls.incarnation !== incarnation) this.#calls = { incarnation, waiting: [] }
      const { waiting } = this.#calls
      waiting.push(run)
      // Events change their order, calls do not.
      simulator.at(simulator.random.float() * 0.2, 'core', () => waiting.shift()?.(), broker)
    })
  }

  /** `done` when the promise is kept. */
  asking(ask: (core: Broker) => Promise<unknown>): Promise<Outcome> {
    return this.inside<string>((core, done) => {
      ask(core).then(
        () => done('done'),
        (error: unknown) => {
          if (error instanceof BrokerError) return done(error.code)
          if (!(error instanceof Fenced)) this.#shared.simulator.fail(`The core rejects with ${String(error)}`, error)
        },
      )
    })
  }

  declareQueue(name: string, config: ReadonlyMap<string, string>): Promise<Outcome> {
    return this.asking(core => core.queues.declare(namespace, name, config))
  }
  deleteQueue(name: string): Promise<Outcome> {
    return this.asking(core => core.queues.remove(namespace, name))
  }
  declareExchange(name: string, kind: 'direct' | 'fanout' | 'topic'): Promise<Outcome> {
    return this.asking(core => core.router.declare(namespace, name, { kind }))
  }
  bind(binding: Binding): Promise<Outcome> {
    return this.asking(core => core.router.bind(namespace, binding))
  }
  unbind(binding: Binding): Promise<Outcome> {
    return this.asking(core => core.router.unbind(namespace, binding))
  }

  purge(name: string): Promise<Outcome> {
    return this.inside<string>((core, done) => {
      const queue = core.queues.get(namespace, name)
      if (!queue) return done('queue-not-found')
      queue.purge()
      core.work.whenDurable(() => done('done'))
    })
  }

  publish(exchange: string, key: string, id: RecordId, { priority, ttlMs }: MessageTraits): Promise<Outcome> {
    const wallMs = (): number => this.#shared.wallMs()
    return this.inside<string>((core, done) => {
      const expires = ttlMs === undefined ? {} : { expiresMs: wallMs() + ttlMs }
      const message = { key: Buffer.from(key), value: valueOf(id), priority, ...expires }
      core.router.publish({ namespace, exchange, key, message }, ({ isRouted, error }) => {
        done(error ?? (isRouted ? 'done' : 'unrouted'))
      })
    })
  }

  consume(queue: string, prefetch: number, sink: DeliverySink): Promise<Consuming | Outcome> {
    const { broker, simulator } = this.#shared
    const { incarnation } = broker
    return this.inside<Consuming | string>((core, done) => {
      const found = core.queues.get(namespace, queue)
      if (!found) return done('queue-not-found')
      let isOver = false
      const subscription = found.subscribe(
        { prefetch },
        {
          deliver: (record, deliveryCount) => {
            if (!broker.isRunning(incarnation)) return
            const { offset, value } = record
            try {
              sink.deliver({
                id: idOf(offset, value),
                tag: offset,
                redelivered: deliveryCount > 1,
                life: this.#shared.starts,
              })
            } catch (error) {
              simulator.fail(`queue ${queue}: ${String(error)}`, error)
            }
          },
          ended: () => (isOver = true),
        },
      )
      const over = (): boolean => isOver || !broker.isRunning(incarnation)
      done(new CoreConsumer(this, subscription, over))
    })
  }

  drop(): void {}
}

class CoreConsumer implements Consuming {
  readonly #port: CorePort
  readonly #subscription: Subscription
  readonly #isOver: () => boolean

  constructor(port: CorePort, subscription: Subscription, isOver: () => boolean) {
    this.#port = port
    this.#subscription = subscription
    this.#isOver = isOver
  }

  get isOver(): boolean {
    return this.#isOver() || this.#subscription.isOver
  }

  settle(tags: readonly number[], how: 'ack' | 'requeue' | 'reject'): Promise<Outcome> {
    return this.#port.inside<string>((core, done) => {
      if (this.isOver) return done('consumer-gone')
      const verb = ({ ack: 'ack', requeue: 'release', reject: 'reject' } as const)[how]
      const count = tags.reduce((sum, tag) => sum + this.#subscription[verb](tag), 0)
      core.work.whenDurable(() => done(count === tags.length ? 'done' : 'not-held'))
    })
  }

  async cancel(): Promise<void> {
    await this.#port.inside<string>((core, done) => {
      if (!this.isOver) this.#subscription.cancel()
      core.work.whenDurable(() => done('done'))
    })
  }
}
