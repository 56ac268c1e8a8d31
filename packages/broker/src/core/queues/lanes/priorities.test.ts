import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../../cell/testing/cells.ts'
import type { Subscription } from '../../cursor/subscription.ts'
import { BrokerError } from '../../errors.ts'
import { startRouter, type RouterNode } from '../../routing/test-bench.ts'
import type { Queue } from '../queue.ts'
import { laneIndexOf } from './lane-offsets.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const settings = (config: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(config))

/** Publishes by the default exchange, and waits until it is durable. */
function publish(node: RouterNode, name: string, text: string, priority = 0): Promise<string | undefined> {
  const publication = { namespace: '/', exchange: '', key: name, message: { value: Buffer.from(text), priority } }
  return new Promise(resolve => node.router.publish(publication, ({ error }) => resolve(error)))
}

interface Given {
  text: string
  offset: number
  count: number
}

function consume(queue: Queue, prefetch: number): { subscription: Subscription; given: Given[] } {
  const given: Given[] = []
  const subscription = queue.subscribe(
    { prefetch },
    {
      deliver: (record, count) => void given.push({ text: String(record.value), offset: record.offset, count }),
    },
  )
  return { subscription, given }
}

const textsOf = (given: readonly Given[]): string[] => given.map(({ text }) => text)

for (const isDurable of [true, false]) {
  test(`higher priorities go first, each in its order, what is returned before what is ready (durable: ${isDurable})`, async () => {
    const node = await startRouter(memoryStores())
    const queue = await node.queues.declare('/', 'p', settings({ 'priority.max': '10' }), { isDurable })
    for (const [text, priority] of Object.entries({ a: 0, b: 5, c: 10, d: 5, e: 99, f: 1 })) {
      await publish(node, 'p', text, priority)
    }
    assert.deepEqual([queue.readyCount, queue.inFlightCount], [6, 0])
    const { subscription, given } = consume(queue, 3)
    await turns()
    assert.deepEqual(textsOf(given), ['c', 'e', 'b'])
    assert.deepEqual([queue.readyCount, queue.inFlightCount], [3, 3])
    assert.equal(given[1]!.offset, given[0]!.offset + 1)
    subscription.pause()
    assert.equal(subscription.release(given[1]!.offset), 1)
    assert.equal(subscription.ack(given[0]!.offset), 1)
    assert.equal(subscription.ack(given[0]!.offset), 0)
    const browsed = await queue.browse(0, 10)
    assert.deepEqual(
      browsed.map(({ value, isInFlight, deliveryCount }) => `${String(value)} ${isInFlight} ${deliveryCount}`),
      ['e false 1', 'b true 1', 'd false 0', 'f false 0', 'a false 0'],
    )
    assert.deepEqual(
      (await queue.browse(browsed[2]!.offset, 2)).map(({ value }) => String(value)),
      ['d', 'f'],
    )
    await publish(node, 'p', 'g', 7)
    subscription.resume()
    await turns()
    assert.deepEqual(textsOf(given), ['c', 'e', 'b', 'e', 'g'])
    assert.equal(given[3]!.count, 2)
    subscription.cancel()
    assert.deepEqual([queue.readyCount, queue.inFlightCount], [6, 0])
    assert.equal(queue.purge(), 6)
    assert.equal(queue.readyCount, 0)
    await node.queues.remove('/', 'p')
    assert.equal(node.queues.transient.bytes, 0)
    await node.close()
  })
}

for (const how of ['kill', 'close'] as const) {
  test(`after ${how}, lanes are there with what was not settled`, async () => {
    const stores = memoryStores()
    let node = await startRouter(stores)
    await node.queues.declare('/', 'p', settings({ 'priority.max': '255', 'message.ttl.ms': '500000' }))
    const other = await node.queues.declare('/', 'gone', settings({ 'priority.max': '3' }))
    for (const priority of [3, 200, 255, 3, 0]) await publish(node, 'p', `p${priority}`, priority)
    await publish(node, 'gone', 'x', 2)
    assert.equal(other.readyCount, 1)
    await node.queues.remove('/', 'gone')
    if (how === 'close') await node.cell.checkpointer.flush()
    const { subscription, given } = consume(node.queues.get('/', 'p')!, 3)
    await turns()
    subscription.ack(given[1]!.offset)
    await turns()
    assert.deepEqual(textsOf(given), ['p255', 'p200', 'p3', 'p3'])
    await node.cell.durable(node.cell.openSeq)
    await node[how]()
    node = await startRouter(stores, {}, node.clock)
    const queue = node.queues.get('/', 'p')!
    assert.equal(queue.readyCount, 4)
    const again = consume(queue, 0)
    await turns()
    assert.deepEqual(
      again.given.map(({ text, count }) => [text, count > 1]),
      [
        ['p255', true],
        ['p3', true],
        ['p3', true],
        ['p0', false],
      ],
    )
    for (const { offset } of again.given) again.subscription.ack(offset)
    await node.close()
  })
}

test('length, time to live and delivery limits look at the head, which is the most urgent', async () => {
  const node = await startRouter(memoryStores())
  const short = await node.queues.declare('/', 'short', settings({ 'priority.max': '2', 'length.max': '2' }))
  for (const [text, priority] of Object.entries({ a: 0, b: 2, c: 1, d: 0 }))
    await publish(node, 'short', text, priority)
  await turns()
  assert.deepEqual(
    (await short.browse(0, 9)).map(({ value }) => String(value)),
    ['a', 'd'],
  )
  const full = settings({ 'priority.max': '2', 'length.max': '1', overflow: 'reject-publish' })
  await node.queues.declare('/', 'full', full)
  assert.deepEqual(
    [await publish(node, 'full', 'a', 1), await publish(node, 'full', 'b', 2)],
    [undefined, 'queue-full'],
  )
  const brief = await node.queues.declare('/', 'brief', settings({ 'priority.max': '2', 'message.ttl.ms': '1000' }))
  await publish(node, 'brief', 'a', 0)
  await node.clock.advance(600)
  await publish(node, 'brief', 'b', 1)
  await node.clock.advance(600)
  assert.equal(brief.readyCount, 2, 'what is too old waits behind what is not')
  await node.clock.advance(600)
  assert.equal(brief.readyCount, 0)
  const limit = settings({
    'priority.max': '2',
    'delivery.limit': '2',
    'dead.letter.exchange': '',
    'dead.letter.key': 'dead',
  })
  const poison = await node.queues.declare('/', 'poison', limit)
  const dead = await node.queues.declare('/', 'dead', settings({ 'priority.max': '5' }))
  await publish(node, 'poison', 'x', 2)
  const { subscription, given } = consume(poison, 1)
  for (let round = 0; round < 3; round++) {
    await turns()
    const last = given.at(-1)
    if (last) subscription.release(last.offset)
  }
  await turns()
  assert.deepEqual([given.length, poison.readyCount, poison.inFlightCount, dead.readyCount], [2, 0, 0, 1])
  const [letter] = await dead.browse(0, 1)
  assert.equal(letter?.stamp.priority, 2)
  await node.close()
})

for (const how of ['kill', 'close'] as const) {
  test(`dead letters of several priorities that nobody takes wait for it, also after ${how}`, async () => {
    const stores = memoryStores()
    const warned: string[] = []
    const log = (level: string): void => void warned.push(level)
    let node = await startRouter(stores, {}, undefined, log)
    const config = { 'priority.max': '9', 'dead.letter.exchange': '', 'dead.letter.key': 'dead' }
    await node.queues.declare('/', 'p', settings(config))
    await node.queues.declare('/', 'dead', settings({ 'length.max': '1', overflow: 'reject-publish' }))
    for (const priority of [0, 9, 4]) await publish(node, 'p', `p${priority}`, priority)
    const { subscription, given } = consume(node.queues.get('/', 'p')!, 0)
    await turns()
    for (const { offset } of given) subscription.reject(offset)
    await turns()
    let queue = node.queues.get('/', 'p')!
    assert.deepEqual([queue.readyCount, queue.inFlightCount, queue.dyingCount], [0, 0, 2])
    assert.deepEqual(warned, ['warn'])
    if (how === 'close') await node.cell.checkpointer.flush()
    await node.cell.durable(node.cell.openSeq)
    await node[how]()
    node = await startRouter(stores, {}, node.clock, log)
    queue = node.queues.get('/', 'p')!
    assert.deepEqual([queue.readyCount, queue.dyingCount], [0, 2])
    const found: string[] = []
    for (let left = 3; left > 0; left--) {
      await node.clock.advance(2000)
      const dead = node.queues.get('/', 'dead')!
      for (const { value } of await dead.browse(0, 9)) found.push(String(value))
      dead.purge()
    }
    assert.deepEqual(found.toSorted(), ['p0', 'p4', 'p9'])
    assert.equal(queue.dyingCount, 0)
    assert.equal(queue.cursor.seq >= 0 && queue.appendedCount, 3)
    await node.close()
  })
}

test('priority.max is checked, and cannot be another one later', async () => {
  const node = await startRouter(memoryStores())
  for (const bad of ['256', '-1', 'x']) {
    await assert.rejects(
      node.queues.declare('/', 'p', settings({ 'priority.max': bad })),
      (error: unknown) => error instanceof BrokerError && error.code === 'config-invalid',
    )
  }
  await node.queues.declare('/', 'p', settings({ 'priority.max': '255' }))
  await assert.rejects(
    node.queues.declare('/', 'p', settings({ 'priority.max': '9' })),
    (error: unknown) => error instanceof BrokerError && error.message.includes('priority.max 255, not 9'),
  )
  await node.close()
})

test(`what is consumed is what a sorted list would give, restarts included (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startRouter(stores)
  const max = random.pick([1, 4, 255])
  await node.queues.declare('/', 'p', settings({ 'priority.max': String(max) }))
  /** In the order of delivery. */
  const waiting: { priority: number; serial: number }[] = []
  let serial = 0
  for (let round = 0; round < 6; round++) {
    for (let count = random.below(60); count > 0; count--) {
      const priority = random.below(max + 3)
      void publish(node, 'p', String(serial), priority)
      waiting.push({ priority: Math.min(priority, max), serial: serial++ })
      if (random.below(20) === 0) await turns(2)
    }
    waiting.sort((a, b) => b.priority - a.priority || a.serial - b.serial)
    await node.cell.durable(node.cell.openSeq)
    const queue = node.queues.get('/', 'p')!
    assert.equal(queue.readyCount, waiting.length)
    const { subscription, given } = consume(queue, random.below(waiting.length + 2) + 1)
    await turns(40)
    subscription.pause()
    assert.deepEqual(
      textsOf(given),
      waiting.slice(0, given.length).map(({ serial: number }) => String(number)),
    )
    const acked = new Set<string>()
    for (const { text, offset } of given) {
      assert(laneIndexOf(offset) <= max)
      if (random.below(3) === 0) continue
      assert.equal(subscription.ack(offset), 1)
      acked.add(text)
    }
    for (let at = waiting.length - 1; at >= 0; at--) if (acked.has(String(waiting[at]!.serial))) waiting.splice(at, 1)
    if (random.below(2) === 0) subscription.cancel()
    else {
      await node.cell.durable(node.cell.openSeq)
      await node[random.pick(['kill', 'close'] as const)]()
      node = await startRouter(stores, {}, node.clock)
    }
    assert.equal(node.queues.get('/', 'p')!.readyCount, waiting.length)
  }
  await node.close()
})
