import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { ManualClock, memoryStores, turns } from '../../cell/testing/cells.ts'
import type { Subscription } from '../cursor/subscription.ts'
import { startRouter, type RouterNode } from '../routing/test-bench.ts'
import type { Queue } from './queue.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const config = (settings: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(settings))
const deadTo = (queue: string): Record<string, string> => ({ 'dead.letter.exchange': '', 'dead.letter.key': queue })

/** What was published, and how far it is known to have come. */
interface Fate {
  isConfirmed: boolean
  /** The block that holds its acknowledgement. */
  ackedSeq: number
}

/**
 * Messages go from `work` to `dead`, by whatever kills them, and from there to `sink`, which takes only so many. Nothing is ever dropped for good: so
 * each is in one queue, or acknowledged, whenever the process is killed.
 */
const queues: Record<string, Record<string, string>> = {
  work: { ...deadTo('dead'), 'message.ttl.ms': '3000', 'length.max': '15', 'delivery.limit': '3' },
  urgent: { ...deadTo('dead'), 'priority.max': '3', 'bytes.max': '60' },
  dead: { ...deadTo('sink'), 'message.ttl.ms': '1000' },
  sink: { 'length.max': '40', overflow: 'reject-publish' },
}

const hows = ['ack', 'reject', 'release'] as const

class World {
  readonly random: Random
  readonly stores = memoryStores()
  readonly clock = new ManualClock()
  readonly fates = new Map<string, Fate>()
  node!: RouterNode
  consumers: { subscription: Subscription; queue: Queue; held: Map<number, string> }[] = []

  constructor(random: Random) {
    this.random = random
  }

  async start(): Promise<void> {
    this.node = await startRouter(this.stores, {}, this.clock, () => {})
  }

  queue(name: string): Queue {
    const queue = this.node.queues.get('/', name)
    assert(queue)
    return queue
  }

  publish(): void {
    const { random, node, clock } = this
    const id = `${this.fates.size}`
    const fate: Fate = { isConfirmed: false, ackedSeq: -1 }
    this.fates.set(id, fate)
    const key = random.pick(['work', 'urgent', 'dead'])
    const expiresMs = random.chance(0.2) ? clock.nowMs() + random.below(2000) : -1
    const message = { key: Buffer.from(key), value: Buffer.from(id), expiresMs, priority: random.below(5) }
    node.router.publish({ namespace: '/', exchange: '', key, message }, ({ isRouted, error }) => {
      assert.ok(isRouted && !error)
      fate.isConfirmed = true
    })
  }

  subscribe(): void {
    const queue = this.queue(this.random.pick(Object.keys(queues)))
    const held = new Map<number, string>()
    const subscription = queue.subscribe(
      { prefetch: this.random.between(1, 20), ...(this.random.chance(0.3) ? { leaseMs: 1500 } : {}) },
      { deliver: ({ offset, value }) => void held.set(offset, String(value)) },
    )
    this.consumers.push({ subscription, queue, held })
  }

  settle(): void {
    const consumer = this.consumers.length > 0 ? this.random.pick(this.consumers) : undefined
    if (!consumer) return
    const { subscription, queue, held } = consumer
    for (const [offset, id] of [...held].slice(0, this.random.between(1, 8))) {
      // From the sink nothing goes any further.
      const how = this.random.pick(queue === this.queue('sink') ? (['ack', 'release'] as const) : hows)
      held.delete(offset)
      if (subscription[how](offset) === 1 && how === 'ack') this.fates.get(id)!.ackedSeq = queue.cursor.seq
    }
  }

  async kill(): Promise<void> {
    this.consumers = []
    await this.node.kill()
    const durable = this.node.client.position
    for (const fate of this.fates.values()) if (fate.ackedSeq > durable) fate.ackedSeq = Infinity
    await this.start()
  }

  /** Each message is in one place. */
  async check(): Promise<void> {
    const places = new Map<string, string>()
    this.queue('sink').moving?.cancel()
    // Who asks has them counted.
    for (const name of Object.keys(queues)) void this.queue(name).readyBytes
    await turns(40)
    for (const name of Object.keys(queues)) {
      const queue = this.queue(name)
      const found = await queue.browse(0, 10_000)
      assert.equal(found.length, queue.readyCount + queue.inFlightCount + queue.dyingCount, name)
      const waiting = found.filter(({ state }) => state === 'ready' || state === 'returned')
      assert.equal(queue.readyCount, waiting.length)
      assert.equal(
        queue.readyBytes,
        waiting.reduce((sum, { value }) => sum + value!.length, 0),
        `bytes of ${name}`,
      )
      for (const { value } of found) {
        const id = String(value)
        assert.equal(places.get(id), undefined, `${id} is in ${places.get(id)} and in ${name}`)
        places.set(id, name)
      }
    }
    for (const [id, { isConfirmed, ackedSeq }] of this.fates) {
      const place = places.get(id)
      if (ackedSeq >= 0 && ackedSeq < Infinity) assert.equal(place, undefined, `${id} was acknowledged`)
      else if (isConfirmed && ackedSeq < 0) assert.notEqual(place, undefined, `${id} is lost`)
    }
  }
}

test(`each message is in one queue or acknowledged, whatever happens (SEED=${seed})`, async () => {
  const world = new World(new Random(seed))
  const { random, clock } = world
  await world.start()
  for (const [name, settings] of Object.entries(queues)) await world.node.queues.declare('/', name, config(settings))
  for (let step = 0; step < 400; step++) {
    const doing = random.below(12)
    if (doing < 4) for (let count = random.between(1, 10); count > 0; count--) world.publish()
    else if (doing < 5) world.subscribe()
    else if (doing < 8) world.settle()
    else if (doing < 9) world.consumers.splice(0, 1)[0]?.subscription.cancel()
    else if (doing < 10) await clock.advance(random.below(1500))
    else if (doing < 11) await turns(random.below(6))
    else if (random.chance(0.4)) await world.kill()
    else if (random.chance(0.3) && world.queue('sink').moving?.isOver !== false)
      world.queue('sink').move({ to: { queue: 'work' }, max: 10 })
    if (random.chance(0.15)) {
      await turns(30)
      await world.check()
    }
  }
  for (const { subscription } of world.consumers) subscription.cancel()
  world.consumers = []
  // Whatever is dead finds its way when there is room.
  for (let round = 0; round < 200; round++) {
    await clock.advance(1100)
    const { subscription, given } = drain(world.queue('sink'))
    await turns(20)
    for (const [offset, id] of given) {
      subscription.ack(offset)
      world.fates.get(id)!.ackedSeq = world.queue('sink').cursor.seq
    }
    subscription.cancel()
    await turns(20)
    if (
      Object.keys(queues).every(
        name => name === 'urgent' || world.queue(name).cursor.inFlightCount + world.queue(name).readyCount === 0,
      )
    )
      break
  }
  await world.check()
  assert.deepEqual(
    ['work', 'dead', 'sink'].map(name => world.queue(name).readyCount + world.queue(name).dyingCount),
    [0, 0, 0],
  )
  await world.node.close()
})

function drain(queue: Queue): { subscription: Subscription; given: Map<number, string> } {
  const given = new Map<number, string>()
  const subscription = queue.subscribe({}, { deliver: ({ offset, value }) => void given.set(offset, String(value)) })
  return { subscription, given }
}
