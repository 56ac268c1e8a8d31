import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import type { SubscribeOptions, Subscription } from '../cursor/subscription.ts'
import { startRouter, type RouterNode } from '../routing/test-bench.ts'
import type { Queue } from './queue.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const settings = (config: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(config))

function publish(node: RouterNode, name: string, text: string, priority = 0): Promise<string | undefined> {
  const publication = { namespace: '/', exchange: '', key: name, message: { value: Buffer.from(text), priority } }
  return new Promise(resolve => node.router.publish(publication, ({ error }) => resolve(error)))
}

async function publishAll(node: RouterNode, name: string, texts: readonly string[]): Promise<void> {
  await Promise.all(texts.map(text => publish(node, name, text)))
  await turns()
}

interface Consumer {
  subscription: Subscription
  /** As `text` or, delivered again, `text×count`. */
  given: string[]
  offsets: Map<string, number>
}

/** A consumer of messages that begin with `letter`; of all, when there is none. */
function consume(queue: Queue, letter?: string, options: SubscribeOptions = {}): Consumer {
  const given: string[] = []
  const offsets = new Map<string, number>()
  const wants =
    letter === undefined ? {} : { wants: ({ value }: { value: Buffer | null }) => String(value).startsWith(letter) }
  const subscription = queue.subscribe(
    { ...wants, ...options },
    {
      deliver: ({ value, offset }, count) => {
        given.push(count === 1 ? String(value) : `${String(value)}×${count}`)
        offsets.set(String(value), offset)
      },
    },
  )
  return { subscription, given, offsets }
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 8; turn++) await turns()
}

for (const isDurable of [true, false]) {
  test(`what nobody who is there wants waits, and is in nobody's way (durable: ${isDurable})`, async () => {
    const node = await startRouter(memoryStores())
    const queue = await node.queues.declare('/', 'q', new Map(), { isDurable })
    await publishAll(node, 'q', ['a1', 'b1', 'c1', 'a2', 'b2', 'c2'])
    const [a, b] = [consume(queue, 'a'), consume(queue, 'b', { prefetch: 1 })]
    await settle()
    assert.deepEqual([a.given, b.given], [['a1', 'a2'], ['b1']])
    assert.deepEqual([queue.readyCount, queue.inFlightCount, queue.readyBytes], [3, 3, 6])
    await publishAll(node, 'q', ['a3', 'c3'])
    await settle()
    assert.deepEqual(a.given, ['a1', 'a2', 'a3'])
    b.subscription.ack(1)
    await settle()
    assert.deepEqual(b.given, ['b1', 'b2'])
    // What was given back comes again, and what nobody wanted comes for the first time.
    a.subscription.release(3)
    await settle()
    assert.deepEqual(a.given, ['a1', 'a2', 'a3', 'a2×2'])
    a.subscription.cancel()
    const all = consume(queue)
    await settle()
    assert.deepEqual(all.given, ['a1×2', 'c1', 'a2×3', 'c2', 'a3×2', 'c3'])
    assert.equal(queue.readyCount, 0)
    await node.close()
  })
}

test('a consumer that comes later finds what others have passed over', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'q')
  await publishAll(node, 'q', ['b1', 'c1', 'a1', 'b2'])
  const a = consume(queue, 'a')
  await settle()
  const c = consume(queue, 'c', { settled: true })
  await settle()
  assert.deepEqual([a.given, c.given, queue.readyCount], [['a1'], ['c1'], 2])
  assert.deepEqual(
    (await queue.browse(0, 10)).map(({ value, deliveryCount }) => `${String(value)} ${deliveryCount}`),
    ['b1 0', 'a1 1', 'b2 0'],
  )
  await node.close()
})

test('it is looked behind so many messages and no more, until somebody takes them', async () => {
  const node = await startRouter(memoryStores(), { queuePassedOverMax: 3 })
  const queue = await node.queues.declare('/', 'q')
  const a = consume(queue, 'a')
  await publishAll(node, 'q', ['a1', 'b1', 'b2', 'b3', 'a2', 'b4', 'a3'])
  await settle()
  assert.deepEqual([a.given, queue.readyCount], [['a1', 'a2'], 5])
  const b = consume(queue, 'b')
  await settle()
  assert.deepEqual(b.given, ['b1', 'b2', 'b3', 'b4'])
  assert.deepEqual(a.given, ['a1', 'a2', 'a3'])
  await node.close()
})

test('priorities: what is wanted and more urgent comes first, also behind what was passed over', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'p', settings({ 'priority.max': '9' }))
  for (const [text, priority] of Object.entries({ b1: 9, a1: 1, b2: 5, a2: 5, a3: 0 })) {
    await publish(node, 'p', text, priority)
  }
  const a = consume(queue, 'a', { prefetch: 1 })
  await settle()
  assert.deepEqual(a.given, ['a2'])
  await publish(node, 'p', 'a4', 9)
  a.subscription.ack(a.offsets.get('a2') ?? -1)
  await settle()
  assert.deepEqual(a.given, ['a2', 'a4'])
  a.subscription.release(a.offsets.get('a4') ?? -1)
  await settle()
  a.subscription.prefetch = 10
  await settle()
  assert.deepEqual(a.given, ['a2', 'a4', 'a4×2', 'a1', 'a3'])
  assert.equal(queue.readyCount, 2)
  await node.close()
})

test(`each message goes to somebody who wants it, and none is lost or blocked (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const node = await startRouter(memoryStores())
  const letters = ['a', 'b', 'c', 'd']
  for (let round = 0; round < 6; round++) {
    const name = `q${round}`
    const queue = await node.queues.declare('/', name, new Map(), { isDurable: random.chance(0.5) })
    /** Published and not acknowledged. */
    const open = new Set<string>()
    const consumers = new Map<string, Consumer>()
    for (let step = 0; step < 120; step++) {
      const letter = random.pick(letters)
      const consumer = consumers.get(letter)
      const action = random.below(5)
      if (action <= 1) {
        const texts = Array.from({ length: random.between(1, 40) }, (_, at) => `${random.pick(letters)}${step}-${at}`)
        for (const text of texts) open.add(text)
        await publishAll(node, name, texts)
      } else if (!consumer) {
        if (consumers.size < 3) consumers.set(letter, consume(queue, letter, { prefetch: random.pick([0, 5, 50]) }))
      } else if (action === 2) {
        for (const [text, offset] of consumer.offsets) {
          if (random.chance(0.5)) continue
          consumer.offsets.delete(text)
          if (random.chance(0.7)) {
            assert.equal(consumer.subscription.ack(offset), 1)
            assert(open.delete(text), text)
          } else assert.equal(consumer.subscription.release(offset), 1)
        }
      } else if (action === 3 && random.chance(0.3)) {
        consumer.subscription.cancel()
        consumers.delete(letter)
      }
      await turns()
      for (const [wanted, { offsets }] of consumers) for (const text of offsets.keys()) assert.equal(text[0], wanted)
    }
    for (const { subscription } of consumers.values()) subscription.cancel()
    await settle()
    assert.equal(queue.readyCount, open.size)
    const each = letters.map(letter => consume(queue, letter))
    for (let turn = 0; turn < 60; turn++) await turns()
    const given = each.flatMap(({ offsets }) => [...offsets.keys()])
    assert.deepEqual(new Set(given), open)
    assert.equal(queue.readyCount, 0)
  }
  await node.close()
})
