import type { DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { homeNamespace } from '../../packages/broker/src/core/broker.ts'
import { AmqpPort } from './amqp-port.ts'
import type { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import type { RecordId } from './history.ts'
import { keyOf } from './queue-history.ts'
import type { Outcome } from './queue-port.ts'
import type { Shared, Workload } from './workload.ts'

const places = ['move-a', 'move-b'] as const
const tokensMax = 1_000

/**
 * Tokens that lie in one of two queues, and are moved to the other in transactions: taken here and published there.
 *
 * Holds: each of them is in one of them, once, whatever happens; one of which nobody knows whether it was published, at most once.
 */
export class Moves implements Workload {
  readonly shared: Shared
  readonly #tokens = new Map<number, { id: RecordId; isThere: boolean | undefined }>()
  readonly #selected = new WeakSet<DriverChannel>()

  constructor(shared: Shared) {
    this.shared = shared
  }

  async create(): Promise<void> {
    const port = new CorePort(this.shared)
    for (const name of places) {
      while ((await port.declareQueue(name, new Map())) !== 'done') await this.shared.simulator.sleep(50)
    }
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks = [this.#publish()]
    for (let number = random.between(1, 3); number > 0; number--) tasks.push(this.#move(`mover-${number}`))
    await Promise.all(tasks)
  }

  async #publish(): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    const port = new AmqpPort(this.shared, 'minter')
    while (!this.shared.isEnding && this.#tokens.size < tokensMax) {
      const count = random.chance(0.1) ? random.between(2, 100) : 1
      await Promise.all(Array.from({ length: count }, () => this.#publishOne(port)))
      await simulator.sleep(random.float() * 100)
    }
    port.drop()
  }

  async #publishOne(port: AmqpPort): Promise<void> {
    const id = { producer: 1, index: this.#tokens.size }
    const token = { id, isThere: undefined as boolean | undefined }
    this.#tokens.set(keyOf(id), token)
    const place = this.shared.simulator.random.pick(places)
    const outcome = await port.publish('', place, id, { priority: 0, ttlMs: undefined })
    if (outcome === 'done') token.isThere = true
    else if (outcome !== undefined) token.isThere = false
  }

  async #move(name: string): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    const port = new AmqpPort(this.shared, name)
    while (!this.shared.isEnding) {
      const [from, to] = random.chance(0.5) ? places : places.toReversed()
      const outcome = await port.use(name, channel => this.#moveSome(channel, from!, to!))
      this.#checkRefusal(outcome)
      if (random.chance(0.02)) port.drop()
      await simulator.sleep(random.float() * (random.chance(0.1) ? 300 : 30))
    }
    port.drop()
  }

  async #moveSome(channel: DriverChannel, from: string, to: string): Promise<void> {
    const { random } = this.shared.simulator
    if (!this.#selected.has(channel)) await channel.txSelect()
    this.#selected.add(channel)
    // Many are carried out in several turns.
    const count = random.chance(0.1) ? random.between(20, 300) : random.between(1, 8)
    const asked = Array.from({ length: count }, () => channel.get(from))
    for (const got of await Promise.all(asked)) {
      if (!got) continue
      channel.ack(got.deliveryTag)
      await channel.publish('', to, got.body, { deliveryMode: 2 })
      this.shared.operations++
    }
    if (random.chance(0.8)) {
      await channel.txCommit()
      this.shared.acknowledged++
    } else {
      await channel.txRollback()
      await channel.recover()
    }
  }

  #checkRefusal(outcome: Outcome): void {
    const { simulator, mayBeFull, mayFail } = this.shared
    if (outcome === undefined || outcome === 'done' || outcome === 'unreachable') return
    // In the protocol's words a full disk is a condition that is not met.
    const isFull = outcome === 'storage-full' || outcome === 'precondition-failed'
    if (!isFull || !(mayBeFull() || mayFail())) simulator.fail(`a transaction is refused: ${outcome}`)
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { simulator } = this.shared
    await simulator.sleep(5_000)
    const found = new Map<number, string[]>()
    for (const place of places) {
      for (const id of await this.#contents(place)) {
        const where = found.get(keyOf(id))
        if (where) where.push(place)
        else found.set(keyOf(id), [place])
      }
    }
    for (const [key, where] of found) {
      const name = `token ${this.#tokens.get(key)?.id.index ?? `of key ${key}, which nobody has published,`}`
      if (where.length > 1) simulator.fail(`${name} is in ${where.join(' and ')}`)
      if (this.#tokens.get(key)?.isThere === false || !this.#tokens.has(key))
        simulator.fail(`${name} is in ${where[0]!}`)
    }
    for (const [key, { id, isThere }] of this.#tokens)
      if (isThere === true && !found.has(key)) simulator.fail(`token ${id.index} was published, and is nowhere`)
  }

  /** All that lies in a queue, and stays there. */
  async #contents(place: string): Promise<RecordId[]> {
    const { simulator } = this.shared
    const port = new CorePort(this.shared)
    for (;;) {
      const found: RecordId[] = []
      const consuming = await port.consume(place, tokensMax * 4, { deliver: ({ id }) => void found.push(id) })
      if (typeof consuming === 'object') {
        await simulator.sleep(2_000)
        const ready = await port.inside<number>((core, done) => {
          done(core.queues.get(homeNamespace, place)?.readyCount ?? -1)
        })
        await consuming.cancel()
        if (ready === 0) return found
      }
      await simulator.sleep(50)
    }
  }
}
