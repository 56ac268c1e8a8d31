import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock, memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError } from '../errors.ts'
import { publish, startRouter, type RouterNode } from '../routing/test-bench.ts'
import type { BrowsedMessage } from './browse.ts'
import type { Queue, QueueMessage } from './queue.ts'

const config = (settings: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(settings))

const send = (queue: Queue, ...messages: QueueMessage[]): Promise<unknown> =>
  new Promise(resolve => queue.publish(messages, resolve))

const all = (queue: Queue): Promise<BrowsedMessage[]> => queue.browse(0, 10_000)
const contents = async (queue: Queue): Promise<string[]> => (await all(queue)).map(({ value }) => String(value))

/** Two queues, of each of which some messages were rejected, and where those are. */
async function rejected(node: RouterNode, counts: Record<string, number>): Promise<Queue> {
  const dead = await node.queues.declare('/', 'dead')
  const letters = config({ 'dead.letter.exchange': '', 'dead.letter.key': 'dead' })
  for (const [name, count] of Object.entries(counts)) {
    const queue = await node.queues.declare('/', name, letters)
    for (let index = 0; index < count; index++) await publish(node, 'amq.fanout', 'key', name + index)
    const messages = Array.from({ length: count }, (_, index) => ({
      key: Buffer.from('key'),
      value: Buffer.from(name + index),
      exchange: 'shop',
      keys: ['other'],
      priority: index,
    }))
    await send(queue, ...messages)
    const offsets: number[] = []
    const subscription = queue.subscribe({}, { deliver: ({ offset }) => void offsets.push(offset) })
    await turns()
    for (const offset of offsets) subscription.reject(offset)
    await turns(60)
    subscription.cancel()
  }
  return dead
}

test('dead letters go back to the queues of their origin, as they were published to them', async () => {
  const node = await startRouter(memoryStores())
  const dead = await rejected(node, { a: 3, b: 2 })
  await send(dead, { value: Buffer.from('stranger') })
  const move = dead.move({ to: 'origins' })
  assert.throws(() => dead.move({ to: 'origins' }), BrokerError)
  assert.deepEqual(move.progress, { state: 'running', movedCount: 0, passedCount: 0, total: 6 })
  assert.deepEqual(await move.done, { state: 'done', movedCount: 5, passedCount: 1, total: 6 })
  assert.deepEqual([dead.moving, dead.moving?.isOver], [move, true])
  const [a, b] = ['a', 'b'].map(name => node.queues.get('/', name)!) as [Queue, Queue]
  assert.deepEqual(
    [await contents(a), await contents(b)],
    [
      ['a0', 'a1', 'a2'],
      ['b0', 'b1'],
    ],
  )
  assert.deepEqual(await contents(dead), ['stranger'])
  const [left] = await all(dead)
  assert.deepEqual([left?.state, left?.deliveryCount], ['returned', 0], 'as if nobody had seen it')
  const last = (await all(a)).at(-1)!
  const { exchange, keys, priority, deaths } = last.stamp
  assert.deepEqual([String(last.key), exchange, keys, priority], ['key', 'shop', ['other'], 2])
  assert.deepEqual(
    deaths.map(({ queue, reason }) => [queue, reason]),
    [['a', 'rejected']],
  )
  assert.deepEqual([dead.readyBytes, dead.inFlightBytes], [8, 0])
  await node.close()
})

test('what is moved can be chosen by queue, reason, key and number, and be browsed so', async () => {
  const node = await startRouter(memoryStores())
  const dead = await rejected(node, { a: 3, b: 3 })
  const target = await node.queues.declare('/', 'target')
  const filter = { queue: 'b', reason: 'rejected', key: 'dead' } as const
  assert.deepEqual(
    (await dead.browse(0, 2, filter)).map(({ value }) => String(value)),
    ['b0', 'b1'],
  )
  assert.deepEqual(await dead.browse(0, 10, { reason: 'expired' }), [])
  const { movedCount, passedCount } = await dead.move({ to: { queue: 'target' }, max: 2, filter }).done
  assert.deepEqual([movedCount, passedCount], [2, 3])
  assert.deepEqual(
    [await contents(target), await contents(dead)],
    [
      ['b0', 'b1'],
      ['a0', 'a1', 'a2', 'b2'],
    ],
  )
  assert.equal((await all(target))[0]?.stamp.deaths.length, 1)
  await dead.move({ to: 'nowhere', filter: { queue: 'a' } }).done
  assert.deepEqual(await contents(dead), ['b2'])
  assert.deepEqual(
    dead.statistics.dropped,
    new Map([
      ['moved', 2],
      ['purged', 3],
    ]),
  )
  assert.deepEqual((await dead.move({ to: { queue: 'none' } }).done).passedCount, 1)
  assert.throws(() => dead.move({ to: { queue: 'dead' } }), BrokerError)
  await node.close()
})

test('a move waits for room, can be cancelled, and ends with its queue', async () => {
  const node = await startRouter(memoryStores())
  const { queues, clock } = node
  const source = await queues.declare('/', 'source')
  const target = await queues.declare('/', 'target', config({ 'length.max': '2', overflow: 'reject-publish' }))
  await send(source, ...['a', 'b', 'c', 'd', 'e'].map(text => ({ value: Buffer.from(text) })))
  const move = source.move({ to: { queue: 'target' } })
  await turns(40)
  assert.deepEqual([move.progress.state, move.progress.movedCount], ['waiting', 2])
  target.purge()
  await clock.advance(1200)
  assert.equal(move.progress.movedCount, 4)
  move.cancel()
  assert.equal((await move.done).state, 'cancelled')
  assert.deepEqual([await contents(source), source.inFlightCount, source.readyBytes], [['e'], 0, 1])
  const second = source.move({ to: { queue: 'target' } })
  await turns(20)
  await queues.remove('/', 'source')
  assert.equal((await second.done).state, 'cancelled')
  await clock.advance(2000)
  await node.close()
})

test('killed at any moment of a move, each message is here or there', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock)
  const texts = Array.from({ length: 2000 }, (_, index) => `m${index}`)
  await node.queues.declare('/', 'target')
  const source = await node.queues.declare('/', 'source')
  await send(source, ...texts.map(text => ({ value: Buffer.from(text) })))
  for (let round = 0; round < 200; round++) {
    const [from, to] = [node.queues.get('/', 'source')!, node.queues.get('/', 'target')!]
    assert.equal(from.readyCount + to.readyCount, texts.length)
    if (from.readyCount === 0) break
    from.move({ to: { queue: 'target' } })
    await turns(1 + (round % 9))
    await node.kill()
    node = await startRouter(stores, {}, clock)
  }
  assert.deepEqual(await contents(node.queues.get('/', 'target')!), texts)
  await node.close()
})

for (const priorities of ['0', '5']) {
  test(`a single message is dropped, and those before it are as they were (priorities ${priorities})`, async () => {
    const node = await startRouter(memoryStores())
    const queue = await node.queues.declare('/', 'q', config({ 'priority.max': priorities }))
    await send(queue, ...['a', 'b', 'c', 'd', 'e'].map((text, at) => ({ value: Buffer.from(text), priority: at % 2 })))
    const given: number[] = []
    const subscription = queue.subscribe({ prefetch: 1 }, { deliver: ({ offset }) => void given.push(offset) })
    await turns()
    const before = await all(queue)
    assert.equal(await queue.drop(given[0]!), false, 'it is held')
    assert.equal(await queue.drop(before[3]!.offset), true)
    assert.equal(await queue.drop(before[3]!.offset), false, 'it is gone')
    assert.equal(await queue.drop(before.at(-1)!.offset + 100), false, 'it has not come')
    assert.equal(await queue.drop(before[2]!.offset), true, 'it was passed over before')
    assert.deepEqual(
      (await all(queue)).map(({ value, deliveryCount }) => [String(value), deliveryCount]),
      [0, 1, 4].map(at => [String(before[at]!.value), at === 0 ? 1 : 0]),
    )
    assert.deepEqual([queue.readyBytes, queue.inFlightBytes], [2, 1])
    subscription.cancel()
    await node.close()
  })
}

test('messages with priorities are moved in the order in which they would be given out', async () => {
  const node = await startRouter(memoryStores())
  const source = await node.queues.declare('/', 'source', config({ 'priority.max': '5' }))
  const target = await node.queues.declare('/', 'target')
  const texts = ['0a', '3b', '1c', '5d', '3e', '0f']
  await send(source, ...texts.map(text => ({ value: Buffer.from(text), priority: Number(text[0]) })))
  const { movedCount } = await source.move({ to: { queue: 'target' }, max: 4 }).done
  assert.deepEqual(
    [movedCount, await contents(target), await contents(source)],
    [4, ['5d', '3b', '3e', '1c'], ['0a', '0f']],
  )
  assert.deepEqual([source.readyBytes, target.readyBytes], [4, 8])
  // Back into lanes, by the priorities that they have kept.
  await target.move({ to: { queue: 'source' } }).done
  assert.deepEqual(await contents(source), ['5d', '3b', '3e', '1c', '0a', '0f'])
  await node.close()
})
