import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { later, startDelayed, texts, wait, WallClock, type DelayedNode } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code

test('a message is published when its time has come, by the bindings that there are then', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  await node.queues.declare('/', 'other')
  await node.router.declare('/', 'e', { kind: 'fanout' })
  await wait(node, later('', 'q', 'near'), 5 * second)
  await wait(node, later('e', 'k', 'far'), 3 * hour)
  assert.equal(node.delayed.count, 2)
  assert.deepEqual([node.delayed.countOf('/'), node.delayed.countOf('/', 'e'), node.delayed.countOf('x')], [2, 1, 0])
  await node.clock.advance(5 * second - 1)
  assert.deepEqual(await texts(node, 'q'), [])
  await node.clock.advance(1)
  assert.deepEqual(await texts(node, 'q'), ['near'])
  await node.router.bind('/', { source: 'e', kind: 'queue', destination: 'other', key: '' })
  await node.clock.advance(3 * hour)
  assert.deepEqual(await texts(node, 'other'), ['far'])
  assert.deepEqual([node.delayed.count, node.delayed.counts()], [0, []])
  assert.deepEqual([node.delayed.publishedCount, node.delayed.unroutedCount], [2, 0])
  await node.close()
})

/** Small enough that a few hundred messages meet every edge. */
const small = { recentMax: 64, recentOfAllMax: 200, blockEntriesMax: 8 }

interface Expected {
  readonly text: string
  readonly dueMs: number
}

/** Compares what waits, and what was published since the last look, with what is expected. */
class Model {
  readonly waiting = new Map<string, Expected>()
  published = 0

  async check(node: DelayedNode): Promise<void> {
    const nowMs = node.clock.nowMs()
    const found = await texts(node, 'q')
    const due = [...this.waiting].filter(([, { dueMs }]) => dueMs <= nowMs)
    assert.deepEqual(found.slice(this.published).sort(), due.map(([, { text }]) => text).sort())
    this.published = found.length
    for (const [id] of due) this.waiting.delete(id)
    assert.equal(node.delayed.count, this.waiting.size)
    assert.equal(node.delayed.countOf('/', ''), this.waiting.size)
  }

  inOrder(): [number, string][] {
    const all = Array.from(this.waiting.values(), ({ dueMs, text }): [number, string] => [dueMs, text])
    return all.sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1))
  }
}

async function listed({ delayed }: DelayedNode, max: number, fromMs = 0, toMs = Infinity): Promise<[number, string][]> {
  const found: [number, string][] = []
  let after: string | undefined
  do {
    const page = await delayed.list({ max, fromMs, toMs, ...(after === undefined ? {} : { after }) })
    found.push(...page.messages.map(({ dueMs, message }): [number, string] => [dueMs, String(message.value)]))
    after = page.next
  } while (after !== undefined)
  return found.sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1))
}

test(`each message is published once and never early, whatever is cancelled, moved and killed (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  const model = new Model()
  let number = 0
  const anyId = (): string => random.pick([...model.waiting.keys()])
  for (let step = 0; step < 250; step++) {
    const what = random.below(100)
    if (what < 45) {
      for (let left = random.between(1, 60); left > 0; left--) {
        const delayMs = random.below(random.pick([second, minute, hour, 10 * day, 400 * day])) + 1
        const text = `m${number++}`
        const { id, error } = node.delayed.post(later('', 'q', text), delayMs)
        assert.equal(error, undefined)
        model.waiting.set(id, { text, dueMs: node.clock.nowMs() + delayMs })
      }
      await turns()
    } else if (what < 60 && model.waiting.size > 0) {
      const id = anyId()
      assert.equal((await node.delayed.get(id))?.dueMs, model.waiting.get(id)?.dueMs)
      assert.equal(await node.delayed.cancel(id), true)
      assert.equal(await node.delayed.cancel(id), false)
      model.waiting.delete(id)
    } else if (what < 70 && model.waiting.size > 0) {
      const id = anyId()
      const { text } = model.waiting.get(id) ?? { text: '' }
      const dueMs = node.clock.nowMs() + random.below(random.pick([minute, 3 * day])) + 1
      const moved = await node.delayed.reschedule(id, dueMs)
      assert(moved !== undefined)
      model.waiting.delete(id)
      model.waiting.set(moved, { text, dueMs })
    } else if (what < 85) await node.clock.advance(random.below(random.pick([20, second, 30 * second])))
    else if (what < 92) {
      // The wall clock is set: the virtual one cannot be moved by months, a second at a time.
      node.clock.aheadMs += random.below(random.pick([hour, day, 40 * day]))
      await node.clock.advance(5 * second)
      await turns(60)
    } else if (what < 96) {
      await node[random.pick(['kill', 'close'] as const)]()
      node = await startDelayed(stores, node.clock, { sizes: small })
      await turns(100)
    } else {
      const from = node.clock.nowMs() + random.below(day)
      const to = from + random.below(30 * day)
      const wanted = model.inOrder().filter(([dueMs]) => dueMs >= from && dueMs < to)
      assert.deepEqual(await listed(node, random.between(1, 50), from, to), wanted)
    }
    await model.check(node)
  }
  assert.deepEqual(await listed(node, 100), model.inOrder())
  assert.deepEqual(node.told, [])
  await node.close()
})

test(`what is lost before it was durable is published or not, and all else once (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  await node.queues.declare('/', 'r')
  await node.router.declare('/', 'both', { kind: 'fanout' })
  for (const destination of ['q', 'r']) {
    await node.router.bind('/', { source: 'both', kind: 'queue', destination, key: '' })
  }
  const taken = new Set<string>()
  const confirmed = new Set<string>()
  const cancelled = new Set<string>()
  for (let round = 0; round < 40; round++) {
    for (let left = random.between(1, 100); left > 0; left--) {
      const text = `m${taken.size}`
      taken.add(text)
      node.delayed.publish(later('both', '', text), random.below(random.pick([50, second, hour])), ({ id, error }) => {
        assert.equal(error, undefined)
        confirmed.add(text)
        if (!random.chance(0.05)) return
        const cancelling = node.delayed.cancel(id).then(isCancelled => isCancelled && cancelled.add(text))
        cancelling.catch(() => {})
      })
      if (random.chance(0.1)) await turns(1)
      if (random.chance(0.02)) await node.clock.advance(random.below(200))
    }
    void node.clock.advance(random.below(2 * second))
    await turns(random.pick([0, 1, 2, 3, 5, 8, 13, 60]))
    await node.cut()
    node = await startDelayed(stores, node.clock, { sizes: small })
    node.clock.aheadMs += random.below(10 * second)
  }
  await turns(200)
  node.clock.aheadMs += 2 * hour
  await node.clock.advance(5 * second)
  await turns(400)
  assert.equal(node.delayed.count, 0)
  const found = await texts(node, 'q')
  assert.deepEqual(found, await texts(node, 'r'), 'all destinations, or none')
  assert.equal(new Set(found).size, found.length, 'none twice')
  const published = new Set(found)
  for (const text of confirmed) assert.equal(published.has(text), !cancelled.has(text), text)
  assert(confirmed.size > 500 && confirmed.size < taken.size, `${confirmed.size} of ${taken.size}`)
  await node.close()
})
