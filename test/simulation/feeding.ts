import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import { createTopic } from './churn.ts'
import { browse } from './queue-census.ts'
import { keyOf } from './queue-history.ts'
import type { Outcome } from './queue-port.ts'
import type { RecordId } from './history.ts'
import type { Shared, Workload } from './workload.ts'

const topic = 'fed'
const source = 'into-topic'
const target = 'out-of-topic'
const queue = 'fed-queue'
const messagesMax = 2_000

/**
 * A topic that feeds an exchange, which leads to a queue.
 *
 * Holds: what was published to the topic comes to the queue, once, whatever happens.
 */
export class Feeding implements Workload {
  readonly #shared: Shared
  readonly #port: CorePort
  /** Of each message, what was answered; undefined: nobody knows whether it was published. */
  readonly #sent = new Map<number, Outcome>()

  constructor(shared: Shared) {
    this.#shared = shared
    this.#port = new CorePort(shared)
  }

  async create(): Promise<void> {
    const client = new Client(this.#shared.simulator, 'feeding-setup')
    await createTopic(client, topic, 2, [{ name: 'retention.ms', value: '-1' }])
    client.drop()
    const port = this.#port
    const feed = { namespace, name: 'sim', topic, exchange: target }
    const steps = [
      () => port.declareExchange(source, 'fanout'),
      () => port.declareExchange(target, 'fanout'),
      () => port.declareQueue(queue, new Map()),
      () => port.bind({ source, kind: 'topic', destination: topic, key: '' }),
      () => port.bind({ source: target, kind: 'queue', destination: queue, key: '' }),
      () => port.asking(core => core.feeds.set(feed)),
    ]
    for (const step of steps) while ((await step()) !== 'done') await this.#shared.simulator.sleep(50)
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!this.#shared.isEnding) {
      await Promise.all(Array.from({ length: random.between(1, 10) }, () => this.#publish()))
      await simulator.sleep(random.float() * (this.#sent.size > messagesMax ? 3_000 : random.chance(0.1) ? 300 : 40))
    }
  }

  async #publish(): Promise<void> {
    const id = { producer: 1, index: this.#sent.size }
    this.#sent.set(keyOf(id), undefined)
    const outcome = await this.#port.publish(source, 'key', id, { priority: 0, ttlMs: undefined })
    this.#sent.set(keyOf(id), outcome)
    this.#shared.operations++
    if (outcome === 'done') this.#shared.acknowledged++
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { simulator } = this.#shared
    const isMissing = (there: ReadonlySet<number>): boolean =>
      [...this.#sent].some(([key, outcome]) => outcome === 'done' && !there.has(key))
    let there = new Set<number>()
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 1_000) {
      await simulator.sleep(1_000)
      const found = await this.#contents()
      there = new Set(found.map(keyOf))
      if (there.size < found.length) simulator.fail(`${queue} holds a record of ${topic} twice`)
      if (!isMissing(there)) break
    }
    for (const [key, outcome] of this.#sent) {
      if (outcome === 'done' && !there.has(key)) simulator.fail(`message ${key} was published, and is not fed`)
      if (outcome !== 'done' && outcome !== undefined && there.has(key))
        simulator.fail(`message ${key} was refused, and is fed`)
    }
  }

  async #contents(): Promise<RecordId[]> {
    for (;;) {
      const found = await this.#port.inside<RecordId[]>((core, done) => {
        const there = core.queues.get(namespace, queue)
        // A disk that fails cannot be read; then it is tried again.
        if (there) browse(there).then(done, () => {})
      })
      if (Array.isArray(found)) return found
    }
  }
}
