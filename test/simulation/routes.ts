import { BindingHistory, type ExchangeKind } from './binding-history.ts'
import { queueSettingsOf } from '../../packages/broker/src/core/policies/policy-settings.ts'
import { createTopic } from './churn.ts'
import { Client } from './client.ts'
import { AmqpPort } from './amqp-port.ts'
import { CorePort } from './core-port.ts'
import { definitionOf, GovernedQueue, type Limits } from './governed-queue.ts'
import { StompPort } from './stomp-port.ts'
import { checkRoutes } from './queue-census.ts'
import {
  ConsumerHold,
  keyOf,
  nameOf,
  QueueHistory,
  routedTopic,
  type Copy,
  type Publish,
  type QueueWorld,
} from './queue-history.ts'
import type { Binding, Consuming, Delivery, Outcome, QueuePort } from './queue-port.ts'
import type { RecordId } from './history.ts'
import type { Shared, Workload } from './workload.ts'

const kinds: ReadonlyMap<string, ExchangeKind> = new Map([
  ['sim.direct', 'direct'],
  ['sim.fanout', 'fanout'],
  ['sim.topic', 'topic'],
])
const keys = ['a', 'b', 'a.b', 'b.c.d']
const patterns = ['#', 'a.*', '*.b', 'b.#', 'a']
/** Refusals of a full disk, and of a broker that stops. */
const passing = ['storage-full', 'shutting-down', 'unreachable']
const messagesMax = 4_000
/** What was not answered by a connection may still happen for so long. */
const lateMsMax = 25_000
/** Where dropped messages go. */
const deadExchange = 'sim.dead'
/** This one is removed and made again. */
const passingQueue = 'passing'

/** Publishers and consumers at queues that exchanges lead to, while bindings come and go. What they may rely on is said in `QueueHistory`. */
export class Routes implements Workload, QueueWorld {
  readonly shared: Shared
  readonly bindings = new BindingHistory(kinds)
  readonly queues = new Map<string, QueueHistory>()
  readonly configs = new Map<string, ReadonlyMap<string, string>>()
  readonly #limits = new Map<string, Limits>()
  readonly #governed: GovernedQueue[] = []
  readonly publishes = new Map<number, Publish>()
  topicId = ''
  #consumers = 0
  #checks = 0
  /** For each life of the broker: all that was done up to this is durable. */
  readonly #durableMs = new Map<number, number>()

  constructor(shared: Shared) {
    this.shared = shared
    const { random } = shared.simulator
    this.#add('plain', {})
    if (random.chance(0.5)) this.#add('single', { 'single.active.consumer': 'true' })
    if (random.chance(0.5)) this.#add('urgent', { 'priority.max': '5' })
    if (random.chance(0.5)) this.#add('short', {}, { 'max-length': random.between(0, 60) })
    if (random.chance(0.3)) this.#add('small', {}, { 'max-length-bytes': random.between(0, 6_000) })
    const overflow = random.pick(['reject-publish', 'reject-publish-dlx'])
    if (random.chance(0.5)) this.#add('full', {}, { 'max-length': random.between(1, 60), overflow })
    if (random.chance(0.5)) this.#add('brief', {}, { 'message-ttl': random.between(0, 3000) })
    if (random.chance(0.5)) this.#add('limited', {}, { 'delivery-limit': random.between(1, 3) })
    for (const queue of [...this.queues.values()]) if (random.chance(0.5)) this.#addHeir(queue)
    this.#add(passingQueue, {})
  }

  /** `limits`: what a policy could say, too. */
  #add(name: string, config: Record<string, string>, limits: Limits = {}): void {
    const order = 'priority.max' in config ? ('priorities' as const) : ('published' as const)
    const drops = Object.keys(limits).length > 0
    const traits = { order, drops, refuses: 'overflow' in limits, isLasting: name !== passingQueue }
    this.queues.set(name, new QueueHistory(this.shared.simulator, name, traits))
    this.configs.set(name, new Map(Object.entries(config)))
    this.#limits.set(name, limits)
  }

  /** A queue for what this one drops. */
  #addHeir(queue: QueueHistory): void {
    const name = `dead-of-${queue.name}`
    const traits = { order: 'none' as const, drops: false, refuses: false, isLasting: true, isHeirOf: queue }
    queue.deadLetters = new QueueHistory(this.shared.simulator, name, traits)
    this.queues.set(name, queue.deadLetters)
    const heir = { 'dead-letter-exchange': deadExchange, 'dead-letter-routing-key': queue.name }
    this.#limits.set(queue.name, { ...this.#limits.get(queue.name), ...heir })
    this.configs.set(name, new Map())
  }

  async create(): Promise<void> {
    const { simulator } = this.shared
    const client = new Client(simulator, 'routes-setup')
    this.topicId = await createTopic(client, routedTopic, 2, [{ name: 'retention.ms', value: '-1' }])
    client.drop()
    const port = new CorePort(this.shared)
    for (const [name, kind] of kinds) await this.#surely(() => port.declareExchange(name, kind))
    for (const [name, config] of this.configs) await this.#declare(port, name, config)
    await this.#surely(() => port.declareExchange(deadExchange, 'direct'))
    for (const { name, deadLetters } of this.queues.values()) {
      if (!deadLetters) continue
      const binding = { source: deadExchange, kind: 'queue' as const, destination: deadLetters.name, key: name }
      await this.#surely(() => port.bind(binding))
    }
    for (const binding of this.#allBindings()) this.bindings.know(binding, false, simulator.nowMs)
  }

  /** Its limits are those of a policy, or its own. */
  async #declare(port: CorePort, name: string, config: ReadonlyMap<string, string>): Promise<void> {
    const limits = this.#limits.get(name) ?? {}
    const isGoverned = Object.keys(limits).length > 0 && this.shared.simulator.random.chance(0.5)
    if (isGoverned) {
      const governed = new GovernedQueue(this.shared, name, limits)
      this.#governed.push(governed)
      await this.#surely(() => governed.set())
    }
    const own = isGoverned ? [] : queueSettingsOf(definitionOf(limits))
    await this.#surely(() => port.declareQueue(name, new Map([...config, ...own])))
  }

  #allBindings(): Binding[] {
    const found: Binding[] = []
    const direct = [...this.queues.values()].filter(({ traits }) => !traits.isHeirOf)
    const ends = direct.map(({ name: destination }) => ({ kind: 'queue' as const, destination }))
    for (const end of [...ends, { kind: 'topic' as const, destination: routedTopic }]) {
      for (const key of keys) found.push({ source: 'sim.direct', ...end, key })
      for (const key of patterns) found.push({ source: 'sim.topic', ...end, key })
      found.push({ source: 'sim.fanout', ...end, key: '' })
    }
    for (const key of patterns) found.push({ source: 'sim.topic', kind: 'exchange', destination: 'sim.fanout', key })
    found.push({ source: 'sim.fanout', kind: 'exchange', destination: 'sim.direct', key: '' })
    return found
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const port = (name: string): QueuePort => {
      if (random.chance(0.4)) return new CorePort(this.shared)
      return random.chance(0.4) ? new StompPort(this.shared, name) : new AmqpPort(this.shared, name)
    }
    const tasks = [this.#rebind(port('binder'))]
    for (let number = random.between(1, 3); number > 0; number--)
      tasks.push(this.#publish(number, port(`publisher-${number}`)))
    for (const queue of this.queues.values())
      for (let count = random.between(0, 2); count > 0; count--)
        tasks.push(this.#consume(queue, port(`consumer-of-${queue.name}-${count}`)))
    if (random.chance(0.7)) tasks.push(this.#churn(new CorePort(this.shared)))
    for (const governed of this.#governed) tasks.push(governed.run())
    await Promise.all(tasks)
  }

  async check(client: Client): Promise<void> {
    for (const governed of this.#governed) await governed.check()
    await checkRoutes(this, client, ++this.#checks > 1)
  }

  /** Again and again until it is done. */
  async #surely(attempt: () => Promise<Outcome>): Promise<void> {
    for (;;) {
      const outcome = await attempt()
      if (outcome === 'done') return
      if (outcome !== undefined) this.#refused(outcome, 'what must be done')
      await this.shared.simulator.sleep(50)
    }
  }

  #refused(outcome: string, what: string): void {
    const isFull = outcome === 'storage-full' && !this.shared.mayBeFull() && !this.shared.mayFail()
    if (isFull || !passing.includes(outcome)) this.shared.simulator.fail(`${what} is refused: ${outcome}`)
  }

  /** All that was done before `askedMs` is durable: something that came later has been answered. */
  durable(askedMs: number): void {
    const life = this.shared.starts
    this.#durableMs.set(life, Math.max(askedMs, this.#durableMs.get(life) ?? 0))
  }

  // Publishing

  async #publish(number: number, port: QueuePort): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    let index = 0
    while (!this.shared.isEnding) {
      const window = random.chance(0.3) ? random.between(2, 20) : 1
      // What an old connection has sent may come late: each is a publisher of its own.
      const producer = number * 10_000 + port.connection
      const sent = Array.from({ length: window }, () => this.#publishOne(port, { producer, index: index++ }))
      await Promise.all(sent)
      await simulator.sleep(
        random.float() * (this.publishes.size > messagesMax ? 5_000 : random.chance(0.1) ? 300 : 40),
      )
    }
    port.drop()
  }

  async #publishOne(port: QueuePort, id: RecordId): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    const isDefault = random.chance(0.2)
    const lasting = [...this.queues.values()]
      .filter(({ traits }) => traits.isLasting && !traits.isHeirOf)
      .map(({ name }) => name)
    const priority = random.chance(0.3) ? random.below(8) : 0
    const ttlMs = random.chance(0.1) ? random.between(0, 2000) : undefined
    const exchange = isDefault ? '' : random.pick([...kinds.keys()])
    const key = isDefault ? random.pick(lasting) : random.pick(keys)
    const publish: Publish = {
      ...{ id, exchange, key, priority: Math.min(priority, 5), expires: ttlMs !== undefined },
      ...{ askedMs: simulator.nowMs, answeredMs: Infinity, isTaken: undefined },
      ...{ certain: new Set(), possible: undefined, seenIn: new Set() },
    }
    this.publishes.set(keyOf(id), publish)
    const outcome = await port.publish(exchange, key, id, { priority, ttlMs })
    this.shared.operations++
    simulator.note(`${nameOf(publish)} to ${exchange} by ${key}: ${outcome}`)
    if (outcome === undefined) return
    this.shared.acknowledged++
    // A refusal does not wait for anything.
    if (outcome === 'done' || outcome === 'unrouted') this.durable(publish.askedMs)
    publish.answeredMs = simulator.nowMs
    const { certain, possible } = this.bindings.reach(exchange, key, publish.askedMs)
    this.#answered(publish, outcome, certain, possible)
  }

  #answered(publish: Publish, outcome: string, certain: Set<string>, possible: Set<string>): void {
    const { simulator } = this.shared
    const what = `${nameOf(publish)} to ${publish.exchange} by ${publish.key}`
    publish.possible = possible
    switch (outcome) {
      case 'done':
        if (possible.size === 0) simulator.fail(`${what} is taken, and leads nowhere`)
        publish.certain = certain
        publish.isTaken = true
        return
      case 'unrouted':
        if (certain.size > 0) simulator.fail(`${what} leads nowhere, and ${[...certain].join()} is bound`)
        publish.possible = new Set()
        publish.isTaken = false
        return
      case 'queue-full':
        if (!possible.has('full')) simulator.fail(`${what} is refused by a queue that is full`)
        return
      case 'unreachable':
        publish.possible = new Set()
        publish.isTaken = false
        return
      default:
        this.#refused(outcome, what)
    }
  }

  /** Known by all that was told up to now; for what was never answered, at the end. */
  settleLost(): void {
    for (const publish of this.publishes.values()) {
      if (publish.answeredMs < Infinity) continue
      const { certain, possible } = this.bindings.reach(publish.exchange, publish.key, publish.askedMs)
      publish.certain = certain
      publish.possible = possible
    }
  }

  // Bindings

  async #rebind(port: QueuePort): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    let all = this.#allBindings()
    const isBound = new Set<Binding>()
    while (!this.shared.isEnding && all.length > 0) {
      const binding = random.pick(isBound.size > 12 ? [...isBound] : all)
      const binds = !isBound.has(binding)
      const known = await this.#bindOne(port, binding, binds)
      if (known === 'done' && binds) isBound.add(binding)
      else if (known !== 'gone') isBound.delete(binding)
      if (known === 'lost') all = all.filter(each => each !== binding)
      await simulator.sleep(random.float() * (isBound.size < 6 ? 10 : 300))
    }
    port.drop()
  }

  /** Until it is known. `gone`: an end of it is not there. `lost`: it will never be known, as the attempt may take effect late. */
  async #bindOne(port: QueuePort, binding: Binding, binds: boolean): Promise<'done' | 'gone' | 'lost'> {
    const { simulator } = this.shared
    for (;;) {
      this.bindings.begin(binding)
      const askedMs = simulator.nowMs
      const outcome = await (binds ? port.bind(binding) : port.unbind(binding))
      simulator.note(`${binds ? 'bind' : 'unbind'} ${Object.values(binding).join(' ')}: ${outcome}`)
      this.shared.operations++
      if (outcome === 'done') {
        this.durable(askedMs)
        // The queue may have gone at the same time.
        const isSure = binding.destination !== passingQueue
        this.bindings.know(binding, isSure ? binds : undefined, simulator.nowMs)
        return 'done'
      }
      if (outcome?.endsWith('not-found') && binding.destination === passingQueue) {
        this.bindings.know(binding, undefined, simulator.nowMs)
        return 'gone'
      }
      if (outcome === undefined && port.isRemote) return 'lost'
      if (outcome !== undefined) this.#refused(outcome, `binding ${JSON.stringify(binding)}`)
      await simulator.sleep(20)
    }
  }

  /** Removes a queue and makes it anew: nothing of the old one may show in the next. */
  async #churn(port: QueuePort): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    const queue = this.queues.get(passingQueue)!
    while (!this.shared.isEnding) {
      await simulator.sleep(random.float() * 2000)
      const askedMs = simulator.nowMs
      this.bindings.forget(passingQueue, undefined, askedMs)
      queue.emptied(Infinity, () => false)
      let outcome: Outcome
      do {
        outcome = await port.deleteQueue(passingQueue)
        if (outcome !== undefined && outcome !== 'done' && outcome !== 'queue-not-found')
          this.#refused(outcome, 'removing a queue')
      } while (outcome !== 'done' && outcome !== 'queue-not-found')
      this.bindings.forget(passingQueue, false, simulator.nowMs)
      queue.emptied(simulator.nowMs, ({ publish }) => publish.answeredMs < askedMs)
      await this.#surely(() => port.declareQueue(passingQueue, new Map()))
    }
    port.drop()
  }

  // Consuming

  async #consume(queue: QueueHistory, port: QueuePort): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    while (!this.shared.isEnding) {
      const worker = new QueueWorker(this, queue, port, ++this.#consumers)
      await worker.work()
      if (random.chance(0.3)) port.drop()
      await simulator.sleep(random.float() * 300)
    }
    port.drop()
  }

  /** What was delivered is what was published. */
  take(queue: QueueHistory, hold: ConsumerHold, { id, redelivered, life }: Delivery): Copy | undefined {
    const publish = this.publishes.get(keyOf(id))
    if (!publish) {
      this.shared.simulator.fail(`${queue.name} holds ${nameOf({ id })}, which nobody has published`)
      return undefined
    }
    const isDurable = (ms: number, life: number): boolean => ms < (this.#durableMs.get(life) ?? -Infinity)
    const { nowMs } = this.shared.simulator
    this.shared.operations++
    return queue.delivered(hold, publish, redelivered, { nowMs, life, isDurable })
  }
}

/** One consumer, from its beginning to its end. */
class QueueWorker {
  readonly #routes: Routes
  readonly #queue: QueueHistory
  readonly #port: QueuePort
  readonly #hold = new ConsumerHold()
  readonly #held: { tag: number; copy: Copy }[] = []
  readonly name: string

  constructor(routes: Routes, queue: QueueHistory, port: QueuePort, number: number) {
    this.#routes = routes
    this.#queue = queue
    this.#port = port
    this.name = `consumer ${number}`
  }

  async work(): Promise<void> {
    const { simulator } = this.#routes.shared
    const { random } = simulator
    const prefetch = random.pick([0, 1, 1, 3, 20])
    this.#queue.consuming(this.#hold)
    const consuming = await this.#port.consume(this.#queue.name, prefetch, {
      deliver: delivery => {
        if (this.#hold.isOver) return
        simulator.note(
          `${this.name} at ${this.#queue.name} gets ${nameOf(delivery)} as ${delivery.tag} ${delivery.redelivered}`,
        )
        const copy = this.#routes.take(this.#queue, this.#hold, delivery)
        if (copy) this.#held.push({ tag: delivery.tag, copy })
      },
    })
    if (typeof consuming === 'object') {
      const untilMs = simulator.nowMs + random.float() * 5_000
      while (!consuming.isOver && simulator.nowMs < untilMs && !this.#routes.shared.isEnding) {
        if (this.#held.length > 0 && random.chance(0.7)) await this.#settle(consuming)
        else await simulator.sleep(random.float() * 30)
      }
      this.#queue.over(this.#hold, this.#goneMs)
      if (!consuming.isOver) await consuming.cancel()
    }
    // It may have been made without an answer, and messages be on their way to it.
    if (consuming === undefined) this.#port.drop()
    this.#queue.over(this.#hold, this.#goneMs)
  }

  get #goneMs(): number {
    return this.#routes.shared.simulator.nowMs + (this.#port.isRemote ? lateMsMax : 0)
  }

  async #settle(consuming: Consuming): Promise<void> {
    const { random } = this.#routes.shared.simulator
    const all = random.chance(0.2)
    const at = all ? random.below(this.#held.length) : random.chance(0.7) ? 0 : random.below(this.#held.length)
    // In the order of their tags.
    const taken = all ? this.#held.splice(0, at + 1) : this.#held.splice(at, 1)
    const how = random.pick(['ack', 'ack', 'ack', 'requeue', 'reject'] as const)
    const copies = taken.map(({ copy }) => copy)
    const tags = taken.map(({ tag }) => tag)
    this.#queue.settling(this.#hold, copies, how)
    const { simulator } = this.#routes.shared
    const askedMs = simulator.nowMs
    simulator.note(`${this.name} at ${this.#queue.name}: ${how} ${all ? 'up to ' : ''}${tags.at(-1)}`)
    const outcome = await consuming.settle(tags, how, all)
    if (outcome === undefined || consuming.isOver) return
    if (outcome !== 'done')
      return simulator.fail(
        `${this.name} cannot ${how} ${copies.map(({ publish }) => nameOf(publish)).join()} in ${this.#queue.name}: ${outcome}`,
      )
    this.#routes.durable(askedMs)
    this.#routes.shared.acknowledged += copies.length
    this.#queue.used(this.#hold, askedMs)
    this.#queue.settled(copies, how, simulator.nowMs)
  }
}
