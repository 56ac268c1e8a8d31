import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { ManualClock, memoryStores, turns } from '../../cell/testing/cells.ts'
import type { Subscription } from '../cursor/subscription.ts'
import { startRouter } from '../routing/test-bench.ts'
import type { Queue } from './queue.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const config = (settings: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(settings))

const send = (queue: Queue, text: string, more: { expiresMs?: number; priority?: number } = {}): Promise<unknown> =>
  new Promise(resolve => queue.publish([{ value: Buffer.from(text), ...more }], resolve))

const pull = (queue: Queue): Promise<string | undefined> =>
  new Promise(resolve => {
    const subscription = queue.subscribe({ passive: true, settled: true }, { deliver: () => {} })
    subscription.pull(record => {
      resolve(record && String(record.value))
      subscription.cancel()
    })
  })

const contents = async (queue: Queue): Promise<string[]> =>
  (await queue.browse(0, 1000)).map(({ value }) => String(value))

test('messages expire at the head of their queue, by the smaller of both times, also after a restart', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock)
  let plain = await node.queues.declare('/', 'plain')
  let brief = await node.queues.declare('/', 'brief', config({ 'message.ttl.ms': '2000' }))
  const now = clock.nowMs()
  await send(plain, 'lasting')
  await send(plain, 'a', { expiresMs: now + 1000 })
  await send(plain, 'b')
  await send(brief, 'c', { expiresMs: now + 1000 })
  await send(brief, 'd', { expiresMs: now + 9000 })
  await clock.advance(1200)
  assert.deepEqual(await contents(plain), ['lasting', 'a', 'b'], 'behind the head it waits')
  assert.deepEqual(await contents(brief), ['d'])
  await clock.advance(1000)
  assert.deepEqual(await contents(brief), [])
  assert.equal(await pull(plain), 'lasting')
  await clock.advance(200)
  assert.deepEqual(await contents(plain), ['b'])
  await send(plain, 'e', { expiresMs: clock.nowMs() + 1000 })
  assert.equal(await pull(plain), 'b')
  await node.kill()
  await clock.advance(5000)
  node = await startRouter(stores, {}, clock)
  plain = node.queues.get('/', 'plain')!
  brief = node.queues.get('/', 'brief')!
  assert.equal(await pull(plain), undefined, 'nobody is given what is too old')
  await send(plain, 'f', { expiresMs: clock.nowMs() + 100 })
  await clock.advance(10_000)
  assert.equal(plain.readyCount, 0)
  assert.equal(plain.statistics.dropped.get('expired'), 2)
  await node.close()
})

test('what expires together goes together, from wherever it has to be read', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'brief', config({ 'message.ttl.ms': '1000' }))
  const batch = Array.from({ length: 1000 }, () => ({ value: Buffer.alloc(200) }))
  for (let count = 0; count < 20; count++) await new Promise(resolve => queue.publish(batch, resolve))
  await node.cell.checkpointer.settle()
  await node.clock.advance(1200)
  for (let round = 0; round < 1000 && queue.readyCount > 0; round++) await turns(1)
  assert.deepEqual([queue.readyCount, queue.statistics.dropped.get('expired')], [0, 20_000])
  await node.close()
})

test('what may not wait is delivered to who is there, or expires', async () => {
  const node = await startRouter(memoryStores())
  const { clock } = node
  const byQueue = await node.queues.declare('/', 'all', config({ 'message.ttl.ms': '0' }))
  const byMessage = await node.queues.declare('/', 'some')
  for (const queue of [byQueue, byMessage]) {
    await send(queue, 'early', { expiresMs: clock.nowMs() })
    assert.equal(await pull(queue), undefined)
    const given: string[] = []
    queue.subscribe({ settled: true }, { deliver: record => void given.push(String(record.value)) })
    for (let index = 0; index < 600; index++) void send(queue, String(index), { expiresMs: clock.nowMs() })
    await turns(40)
    assert.equal(given.length, 600)
    await clock.advance(300)
    assert.equal(queue.readyCount, 0)
  }
  await node.close()
})

test('bytes.max: the oldest go, or the newest are refused', async () => {
  const stores = memoryStores()
  let node = await startRouter(stores)
  let short = await node.queues.declare('/', 'short', config({ 'bytes.max': '10' }))
  for (const text of ['aaaa', 'bbbb', 'cccc']) await send(short, text)
  await turns()
  assert.deepEqual([await contents(short), short.readyBytes], [['bbbb', 'cccc'], 8])
  await send(short, 'd'.repeat(11))
  await turns()
  assert.deepEqual([await contents(short), short.readyBytes], [[], 0], 'too large alone')
  await send(short, 'eeee')
  await node.kill()
  node = await startRouter(stores)
  short = node.queues.get('/', 'short')!
  await turns()
  assert.equal(short.readyBytes, 4)
  await send(short, 'f'.repeat(7))
  await turns()
  assert.deepEqual(await contents(short), ['f'.repeat(7)])

  const full = await node.queues.declare('/', 'full', config({ 'bytes.max': '10', overflow: 'reject-publish' }))
  const results: unknown[] = []
  for (const text of ['aaaa', 'bbbbbbbb', 'c']) {
    full.publish([{ value: Buffer.from(text) }], ({ error }) => results.push(error))
  }
  await turns()
  assert.deepEqual(results, ['queue-full', undefined, undefined], 'what is not durable yet counts')
  assert.equal(full.statistics.refused, 1)
  await node.close()
})

test('a queue without a limit drops by count however many there are', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'short', config({ 'length.max': '10' }))
  await new Promise(resolve =>
    queue.publish(
      Array.from({ length: 5000 }, (_, index) => ({ value: Buffer.from(String(index)) })),
      resolve,
    ),
  )
  await turns(60)
  assert.deepEqual([queue.readyCount, queue.readyBytes], [10, 40])
  assert.equal((await contents(queue))[0], '4990')
  await node.close()
})

for (const priorities of [0, 3]) {
  test(`bytes are those of what waits and of what is held, whatever happens (priorities ${priorities}, SEED=${seed})`, async () => {
    const random = new Random(seed)
    const stores = memoryStores()
    const clock = new ManualClock()
    const settings = config(priorities > 0 ? { 'priority.max': String(priorities) } : {})
    let node = await startRouter(stores, {}, clock)
    let queue = await node.queues.declare('/', 'q', settings)
    let consumers: { subscription: Subscription; held: Set<number> }[] = []
    const check = async (): Promise<void> => {
      await turns(40)
      const all = await queue.browse(0, 10_000)
      const sum = (of: typeof all): number => of.reduce((bytes, { value }) => bytes + value!.length, 0)
      void queue.readyBytes // Asking has it counted.
      await turns(20)
      assert.equal(queue.readyBytes, sum(all.filter(({ isInFlight }) => !isInFlight)))
      assert.equal(queue.inFlightBytes, sum(all.filter(({ isInFlight }) => isInFlight)))
    }
    for (let step = 0; step < 150; step++) {
      const one = consumers.length > 0 ? random.pick(consumers) : undefined
      const held = one && [...one.held]
      switch (random.between(0, 9)) {
        case 0:
        case 1:
        case 2:
          for (let count = random.between(1, 20); count > 0; count--) {
            const text = 'x'.repeat(random.between(0, 50))
            const expiresMs = random.chance(0.2) ? clock.nowMs() + random.between(1, 3000) : -1
            void send(queue, text, { priority: random.between(0, 4), expiresMs })
          }
          break
        case 3: {
          const own = new Set<number>()
          const prefetch = random.between(1, 10)
          const subscription = queue.subscribe({ prefetch }, { deliver: ({ offset }) => void own.add(offset) })
          consumers.push({ subscription, held: own })
          break
        }
        case 4:
          if (!one) break
          one.subscription.cancel()
          consumers = consumers.filter(other => other !== one)
          break
        case 5:
        case 6:
          if (!one || !held || held.length === 0) break
          for (const offset of held.slice(0, random.between(1, held.length))) {
            const how = random.pick(['ack', 'reject', 'release'] as const)
            one.held.delete(offset)
            one.subscription[how](offset)
          }
          break
        case 7:
          await clock.advance(random.between(1, 1500))
          break
        case 8:
          if (random.chance(0.2)) queue.purge()
          break
        default:
          if (random.chance(0.7)) break
          consumers = []
          await turns()
          await node.kill()
          node = await startRouter(stores, {}, clock)
          queue = node.queues.get('/', 'q')!
      }
      if (random.chance(0.3)) await check()
    }
    await check()
    await node.close()
  })
}

test('statistics tell what became of messages', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'q', config({ 'delivery.limit': '3' }))
  for (const text of ['a', 'b', 'c', 'd']) await send(queue, text)
  const given: number[] = []
  const subscription = queue.subscribe(
    { prefetch: 2, name: 'tag' },
    { deliver: ({ offset }) => void given.push(offset) },
  )
  await turns()
  const [first] = await queue.browse(0, 1)
  assert.deepEqual([first?.state, first?.holder, first?.deliveryCount], ['in-flight', 'tag', 1])
  subscription.release(0)
  await turns()
  subscription.ack(0)
  subscription.reject(1)
  await turns()
  subscription.cancel()
  assert.equal(await pull(queue), 'c')
  assert.equal(await pull(queue), 'd')
  assert.equal(await pull(queue), undefined)
  const { dropped, ...counts } = queue.statistics
  assert.deepEqual([...dropped], [['rejected', 1]])
  assert.deepEqual(counts, {
    published: 4,
    refused: 0,
    deadLettered: 0,
    delivered: 5,
    deliveredSettled: 0,
    pulled: 0,
    pulledSettled: 2,
    pulledNothing: 1,
    redelivered: 3,
    acked: 1,
    returned: 3,
  })
  await node.close()
})

test('a queue that nobody uses goes after its time, and what uses it makes it stay', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock)
  const isThere = (): boolean => node.queues.get('/', 'q') !== undefined
  const settings = config({ 'expires.ms': '1000' })
  const queue = await node.queues.declare('/', 'q', settings)
  await clock.advance(700)
  await send(queue, 'a')
  await node.queues.declare('/', 'q', settings)
  await clock.advance(700)
  assert.equal(await pull(queue), 'a')
  await clock.advance(700)
  const subscription = queue.subscribe({}, { deliver: () => {} })
  await clock.advance(5000)
  assert.ok(isThere(), 'it has a consumer')
  subscription.cancel()
  await clock.advance(700)
  await node.kill()
  node = await startRouter(stores, {}, clock)
  await clock.advance(700)
  assert.ok(isThere(), 'a start counts as a use')
  await send(node.queues.get('/', 'q')!, 'b')
  await clock.advance(500)
  assert.ok(!isThere(), 'who publishes does not use it')
  await node.queues.declare('/', 'q', settings)
  await node.close()
})

test('many queues count what they hold, a few at a time, also when they are purged or removed meanwhile', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock)
  const names = Array.from({ length: 40 }, (_, index) => `q${index}`)
  for (const name of names) {
    const queue = await node.queues.declare('/', name)
    for (let count = 0; count < 3; count++) await send(queue, 'x'.repeat(10_000))
  }
  await node.cell.checkpointer.settle()
  await node.kill()
  node = await startRouter(stores, {}, clock)
  const queues = names.map(name => node.queues.get('/', name)!)
  for (const queue of queues) assert.ok(queue.readyBytes >= 30_000, 'an estimate, from what is stored')
  queues[0]!.purge()
  await node.queues.remove('/', 'q1')
  for (let round = 0; round < 200 && queues.some(({ readyBytes }) => readyBytes % 10_000 > 0); round++) await turns(2)
  assert.deepEqual(new Set(queues.slice(2).map(({ readyBytes }) => readyBytes)), new Set([30_000]))
  assert.equal(queues[0]!.readyBytes, 0)
  await node.close()
})

test('who consumes without acknowledging and goes takes the weight along of what it was to be given', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'q')
  await new Promise(resolve =>
    queue.publish(
      Array.from({ length: 40 }, () => ({ value: Buffer.alloc(10) })),
      resolve,
    ),
  )
  const subscription = queue.subscribe({ settled: true }, { deliver: () => subscription.cancel() })
  await turns()
  assert.ok(queue.readyCount < 40)
  assert.equal(queue.readyBytes, 10 * queue.readyCount)
  await node.close()
})

test('a head that comes to light when others are dropped or moved expires in its time', async () => {
  const node = await startRouter(memoryStores())
  const { clock } = node
  const [q, target] = [await node.queues.declare('/', 'q'), await node.queues.declare('/', 'target')]
  for (const take of [
    async () => assert.ok(await q.drop((await q.browse(0, 1))[0]!.offset)),
    async () => assert.equal((await q.move({ to: { queue: 'target' }, max: 1 }).done).movedCount, 1),
  ]) {
    await send(q, 'lasting')
    await send(q, 'brief', { expiresMs: clock.nowMs() + 1000 })
    await clock.advance(500)
    await take()
    await clock.advance(700)
    assert.equal(q.readyCount, 0)
  }
  assert.deepEqual(await contents(target), ['lasting'])
  await node.close()
})

for (const overflow of ['drop-head', 'reject-publish']) {
  test(`what consumers take at once does not wait, and is not too much (${overflow})`, async () => {
    const node = await startRouter(memoryStores())
    for (const limit of ['length.max', 'bytes.max']) {
      const queue = await node.queues.declare('/', limit, config({ [limit]: '3', overflow }))
      const given: string[] = []
      const subscription = queue.subscribe(
        { prefetch: 300 },
        { deliver: ({ value }) => void given.push(String(value)) },
      )
      const errors: unknown[] = []
      for (let count = 0; count < 320; count++) {
        queue.publish([{ value: Buffer.from(String(count % 10)) }], ({ error }) => void (error && errors.push(error)))
      }
      await turns(30)
      assert.equal(given.length, 300)
      if (overflow === 'drop-head')
        assert.deepEqual([errors.length, queue.statistics.dropped.get('over-length')], [0, 17])
      else assert.deepEqual([errors.length, queue.statistics.dropped.size], [17, 0])
      assert.equal(queue.readyCount, 3)
      subscription.cancel()
    }
    await node.close()
  })
}
