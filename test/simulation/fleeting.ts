import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import type { DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { AmqpPort } from './amqp-port.ts'
import type { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import { browse } from './queue-census.ts'
import { keyOf } from './queue-history.ts'
import type { RecordId } from './history.ts'
import { idOf, valueOf } from './records.ts'
import type { Shared, Workload } from './workload.ts'

const exchange = 'fleeting'
/** It is bound beside the others, and stays. */
const anchor = 'anchor'
const messagesMax = 2_000

/** Why a queue goes. */
const kinds = {
  exclusive: { durable: false, exclusive: true },
  autoDelete: { durable: false, autoDelete: true },
  transient: { durable: false },
} as const

/**
 * Queues that go with their connection, with their last consumer or with the broker, and some of which the broker names.
 *
 * Holds: who consumes from one gets what was published there, in order. When all is over, those are gone that had a reason to go, with their bindings; after a
 * restart all of them are. The durable queue beside them has each message that was confirmed, once.
 */
export class Fleeting implements Workload {
  readonly #shared: Shared
  /** Of each message, whether it was confirmed; undefined: nobody knows. */
  readonly #sent = new Map<number, boolean | undefined>()
  readonly #named = new Set<string>()
  /** Those that nothing has removed yet but the end of the broker. */
  readonly #mayStay = new Set<string>()
  #next = 0
  #checks = 0

  constructor(shared: Shared) {
    this.#shared = shared
  }

  async create(): Promise<void> {
    const port = new CorePort(this.#shared)
    const binding = { source: exchange, kind: 'queue' as const, destination: anchor, key: '#' }
    const steps = [
      () => port.declareExchange(exchange, 'topic'),
      () => port.declareQueue(anchor, new Map()),
      () => port.bind(binding),
    ]
    for (const step of steps) while ((await step()) !== 'done') await this.#shared.simulator.sleep(50)
  }

  async run(): Promise<void> {
    const { random } = this.#shared.simulator
    const tasks = Array.from({ length: random.between(1, 3) }, (_, number) => this.#repeat(`fleeting-${number}`))
    await Promise.all(tasks)
  }

  async #repeat(name: string): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const port = new AmqpPort(this.#shared, name)
    for (let number = 0; !this.#shared.isEnding; number++) {
      const kind = random.pick(['exclusive', 'autoDelete', 'transient'] as const)
      await port.use(`${kind}-${number}`, channel => this.#use(channel, kind, `${name}-${number}`))
      if (random.chance(0.2)) port.drop()
      await simulator.sleep(random.float() * (this.#sent.size > messagesMax ? 3_000 : random.chance(0.1) ? 500 : 30))
    }
    port.drop()
  }

  async #use(channel: DriverChannel, kind: keyof typeof kinds, name: string): Promise<void> {
    const { random } = this.#shared.simulator
    const isNamed = random.chance(0.5)
    if (isNamed) this.#mayStay.add(name)
    const { queue } = await channel.declare(isNamed ? name : '', kinds[kind])
    if (this.#named.has(queue)) this.#shared.simulator.fail(`${queue} is the name of two queues`)
    this.#named.add(queue)
    if (kind === 'exclusive') this.#mayStay.delete(queue)
    else this.#mayStay.add(queue)
    await channel.bind(queue, exchange, queue)
    const consumer = await channel.consume(queue, { noAck: true })
    if (kind === 'autoDelete') this.#mayStay.delete(queue)
    await channel.confirm()
    for (let count = random.between(0, 10); count > 0; count--) {
      const id = await this.#publish(channel, queue)
      if (!id) continue
      const found = idOf(0, (await consumer.next()).body)
      if (found.index !== id.index)
        this.#shared.simulator.fail(`${queue} gives message ${found.index}, not ${id.index}`)
    }
    if (random.chance(0.3)) return
    if (kind === 'autoDelete') await channel.cancel(consumer.tag)
    else if (kind === 'transient') await channel.deleteQueue(queue)
    if (kind === 'transient') this.#mayStay.delete(queue)
  }

  /** Undefined: it is refused. */
  async #publish(channel: DriverChannel, queue: string): Promise<RecordId | undefined> {
    const id = { producer: 1, index: this.#next++ }
    this.#sent.set(keyOf(id), undefined)
    const isTaken = await channel.publish(exchange, queue, valueOf(id), { deliveryMode: 2 })
    this.#sent.set(keyOf(id), isTaken)
    this.#shared.operations++
    if (isTaken) this.#shared.acknowledged++
    else if (!this.#shared.mayBeFull() && !this.#shared.mayFail()) this.#shared.simulator.fail(`${id.index} is refused`)
    return isTaken ? id : undefined
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { simulator } = this.#shared
    await simulator.sleep(5_000)
    if (++this.#checks > 1) this.#mayStay.clear()
    const port = new CorePort(this.#shared)
    for (;;) {
      const found = await port.inside<{ queues: string[]; bound: string[]; ids: RecordId[] }>((core, done) => {
        const queues = core.queues.list(namespace).map(({ definition }) => definition.name)
        const bound = core.router.bindings(namespace, exchange).map(({ destination }) => destination)
        const there = core.queues.get(namespace, anchor)
        // A disk that fails cannot be read; then it is tried again.
        if (there)
          browse(there).then(
            ids => done({ queues, bound, ids }),
            () => {},
          )
      })
      if (typeof found === 'object') return this.#compare(found)
    }
  }

  #compare({ queues, bound, ids }: { queues: string[]; bound: string[]; ids: RecordId[] }): void {
    const { simulator } = this.#shared
    const stays = (name: string): boolean => name === anchor || this.#mayStay.has(name)
    for (const name of queues)
      if (this.#named.has(name) && !stays(name)) simulator.fail(`queue ${name} has had a reason to go, and is there`)
    for (const name of bound) if (!queues.includes(name)) simulator.fail(`${name} is bound, and is not there`)
    const there = new Set(ids.map(keyOf))
    if (there.size < ids.length) simulator.fail(`${anchor} holds a message twice`)
    for (const [key, isTaken] of this.#sent)
      if (isTaken !== undefined && isTaken !== there.has(key))
        simulator.fail(`message ${key} was ${isTaken ? 'confirmed' : 'refused'}, which ${anchor} does not show`)
  }
}
