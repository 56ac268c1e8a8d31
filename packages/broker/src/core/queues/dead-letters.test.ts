import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock, memoryStores, turns } from '../../cell/testing/cells.ts'
import { MemoryBlobStore, MemoryChainStore } from '../../storage/memory-store.ts'
import type { SubscribeOptions, Subscription } from '../cursor/subscription.ts'
import { publish, startRouter, type RouterNode } from '../routing/test-bench.ts'
import { defaultLimits } from '../limits.ts'
import type { Header } from '../message.ts'
import type { MappedRecord } from '../origins.ts'
import { Router } from '../routing/router.ts'
import type { QueueMessage } from './message.ts'
import type { Queue } from './queue.ts'
import type { Stamp } from './stamp.ts'

const config = (settings: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(settings))

interface Given {
  text: string
  key: string
  stamp: Stamp
  offset: number
}

function consume(queue: Queue, options: SubscribeOptions = {}): { subscription: Subscription; given: Given[] } {
  const given: Given[] = []
  const subscription = queue.subscribe(options, {
    deliver: record => {
      const { key, value, stamp, offset } = record
      given.push({ text: String(value), key: String(key ?? ''), stamp, offset })
    },
  })
  return { subscription, given }
}

/** A queue whose dead letters go to the queue `dead`. */
async function twoQueues(
  node: RouterNode,
  settings: Record<string, string> = {},
  target: Record<string, string> = {},
): Promise<{ work: Queue; dead: Queue }> {
  const dead = await node.queues.declare('/', 'dead', config(target))
  const letters = { 'dead.letter.exchange': '', 'dead.letter.key': 'dead' }
  const work = await node.queues.declare('/', 'work', config({ ...letters, ...settings }))
  return { work, dead }
}

async function contents(queue: Queue | undefined): Promise<string[]> {
  assert(queue)
  return (await queue.browse(0, 1000)).map(({ value }) => String(value))
}

const send = (queue: Queue, message: QueueMessage): Promise<unknown> =>
  new Promise(resolve => queue.publish([message], resolve))

test('what is rejected is dead-lettered with all that it was, and the history of its death', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues, clock } = node
  const { work, dead } = await twoQueues(node, { 'dead.letter.exchange': 'dlx' })
  await router.declare('/', 'dlx')
  await router.bind('/', { source: 'dlx', kind: 'queue', destination: 'dead', key: 'dead' })
  const headers = [
    { key: '~', value: Buffer.from('props') },
    { key: 'h', value: Buffer.from('1') },
  ]
  const stamp = {
    exchange: 'first',
    keys: ['cc', 'bcc'],
    hiddenKeyCount: 1,
    priority: 3,
    expiresMs: clock.nowMs() + 5000,
    fed: ['first'],
  }
  await send(work, { key: Buffer.from('k'), value: Buffer.from('body'), headers, ...stamp })
  const { subscription } = consume(work)
  await turns()
  subscription.reject(0)
  await turns(60)
  assert.deepEqual([work.readyCount, work.inFlightCount, work.dyingCount, work.cursor.inFlightCount], [0, 0, 0, 0])
  const [found] = await dead.browse(0, 10)
  assert(found)
  assert.deepEqual([String(found.key), String(found.value)], ['dead', 'body'])
  assert.deepEqual(
    found.headers.map(({ key, value }) => [key, String(value)]),
    [
      ['~', 'props'],
      ['h', '1'],
    ],
  )
  assert.deepEqual(found.stamp, {
    exchange: 'dlx',
    keys: [],
    hiddenKeyCount: 0,
    priority: 3,
    expiresMs: -1,
    deaths: [
      {
        queue: 'work',
        reason: 'rejected',
        count: 1,
        firstMs: clock.nowMs(),
        lastMs: clock.nowMs(),
        exchange: 'first',
        keys: ['k', 'cc'],
        ttlMs: 5000,
        isFirst: true,
        isPast: false,
      },
    ],
    fed: ['first'],
  })
  assert.equal(queues.get('/', 'work')?.cursor.droppedCount, 1)
  await node.close()
})

test('without a key of its own, a dead letter goes by the keys of the message, to each place once', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues } = node
  for (const name of ['a', 'b']) await queues.declare('/', name)
  await router.declare('/', 'dlx')
  for (const [destination, key] of [
    ['a', 'k'],
    ['b', 'cc'],
    ['a', 'cc'],
  ] as const) {
    await router.bind('/', { source: 'dlx', kind: 'queue', destination, key })
  }
  const work = await queues.declare('/', 'work', config({ 'dead.letter.exchange': 'dlx' }))
  await send(work, { key: Buffer.from('k'), value: Buffer.from('x'), keys: ['cc'] })
  const { subscription } = consume(work)
  await turns()
  subscription.reject(0)
  await turns(60)
  assert.deepEqual([await contents(queues.get('/', 'a')), await contents(queues.get('/', 'b'))], [['x'], ['x']])
  await node.close()
})

test('expired, too much and delivered too often: each has its reason', async () => {
  const node = await startRouter(memoryStores())
  const { clock } = node
  const { work, dead } = await twoQueues(node, { 'length.max': '3', 'delivery.limit': '2', 'message.ttl.ms': '5000' })
  for (const text of ['a', 'b', 'c', 'd']) await publish(node, '', 'work', text)
  await turns(60)
  const { subscription } = consume(work, { prefetch: 1 })
  await turns()
  subscription.release(1)
  await turns()
  subscription.release(1)
  await turns(60)
  subscription.cancel()
  await clock.advance(6000)
  await turns(60)
  const letters = await dead.browse(0, 10)
  assert.deepEqual(
    letters.map(({ value, stamp }) => [String(value), stamp.deaths[0]?.reason]),
    [
      ['a', 'maxlen'],
      ['b', 'delivery_limit'],
      ['c', 'expired'],
      ['d', 'expired'],
    ],
  )
  assert.deepEqual([work.readyCount, work.dyingCount, work.cursor.floor], [0, 0, 4])
  await node.close()
})

test('what is refused is dead-lettered when the settings say so', async () => {
  const node = await startRouter(memoryStores())
  const { dead } = await twoQueues(node, { 'length.max': '1', overflow: 'reject-publish-dlx' })
  assert.equal((await publish(node, '', 'work', 'a')).error, undefined)
  assert.equal((await publish(node, '', 'work', 'b')).error, 'queue-full')
  await turns()
  const [letter] = await dead.browse(0, 10)
  assert.deepEqual([String(letter?.value), letter?.stamp.deaths[0]?.reason], ['b', 'maxlen'])
  await node.close()
})

test('what leads nowhere is dropped: no exchange, no binding, no queue', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues } = node
  await router.declare('/', 'bare')
  for (const [name, exchange] of [
    ['one', 'none'],
    ['two', 'bare'],
    ['three', ''],
  ] as const) {
    const queue = await queues.declare('/', name, config({ 'dead.letter.exchange': exchange, 'dead.letter.key': 'x' }))
    await publish(node, '', name, 'm')
    const { subscription } = consume(queue)
    await turns()
    subscription.reject(0)
    await turns(40)
    assert.deepEqual([queue.readyCount, queue.dyingCount, queue.cursor.droppedCount], [0, 0, 1], name)
  }
  await node.close()
})

test('a message goes round only as long as somebody rejects it', async () => {
  const logged: string[] = []
  const log = (level: string, message: string): void => void logged.push(`${level} ${message}`)
  const node = await startRouter(memoryStores(), {}, new ManualClock(), log)
  const { queues, clock } = node
  const loop = await queues.declare(
    '/',
    'loop',
    config({ 'dead.letter.exchange': '', 'dead.letter.key': 'retry', 'message.ttl.ms': '100000' }),
  )
  const retry = await queues.declare(
    '/',
    'retry',
    config({ 'dead.letter.exchange': '', 'dead.letter.key': 'loop', 'message.ttl.ms': '1000' }),
  )
  await publish(node, '', 'loop', 'm')
  const { subscription, given } = consume(loop)
  for (let round = 0; round < 3; round++) {
    await turns()
    subscription.reject(given.at(-1)!.offset)
    await turns(40)
    assert.equal(retry.readyCount, 1)
    await clock.advance(1200)
    await turns(40)
  }
  const { deaths } = given.at(-1)!.stamp
  assert.deepEqual(
    deaths.map(({ queue, reason, count, isFirst }) => [queue, reason, count, isFirst]),
    [
      ['retry', 'expired', 3, false],
      ['loop', 'rejected', 3, true],
    ],
  )
  subscription.release(given.at(-1)!.offset)
  subscription.cancel()
  // It has expired in both since it was rejected.
  await clock.advance(102_000)
  await turns(60)
  assert.deepEqual([loop.readyCount, retry.readyCount, loop.dyingCount, retry.dyingCount], [0, 0, 0, 0])
  assert.match(logged[0] ?? '', /warn A message was dropped: .* from "loop" to "retry" to "loop" to "retry"/)
  assert.deepEqual([logged.length, loop.statistics.deadLettered, retry.statistics.deadLettered], [1, 3, 3])
  await node.close()
})

test('what its target refuses waits, and goes as soon as there is room, also after a restart', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  const logged: string[] = []
  const log = (level: string, message: string): void => void logged.push(`${level} ${message}`)
  let node = await startRouter(stores, {}, clock, log)
  const { work, dead } = await twoQueues(node, {}, { 'length.max': '1', overflow: 'reject-publish' })
  for (const text of ['a', 'b', 'c']) await publish(node, '', 'work', text)
  const { subscription } = consume(work)
  await turns()
  subscription.reject(0, 2)
  await turns(60)
  assert.deepEqual([await contents(dead), work.dyingCount, work.inFlightCount], [['a'], 2, 0])
  await clock.advance(3000)
  assert.equal(logged.length, 1, 'once is enough')
  assert.match(logged[0]!, /warn Dead letters of "work" wait/)
  dead.purge()
  await clock.advance(1200)
  await turns(60)
  assert.deepEqual([await contents(dead), work.dyingCount], [['b'], 1])
  await node.kill()
  node = await startRouter(stores, {}, clock, log)
  await turns(60)
  const again = node.queues.get('/', 'work')!
  assert.deepEqual([again.dyingCount, again.readyCount, again.inFlightCount], [1, 0, 0])
  node.queues.get('/', 'dead')!.purge()
  await clock.advance(1200)
  await turns(60)
  assert.deepEqual([await contents(node.queues.get('/', 'dead')), again.dyingCount], [['c'], 0])
  await node.close()
})

test('killed at any moment, nothing is lost and nothing is there twice', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock)
  const texts = Array.from({ length: 3000 }, (_, index) => `m${index}`)
  {
    const { work } = await twoQueues(node, { 'message.ttl.ms': '1000' })
    await new Promise(resolve =>
      work.publish(
        texts.map(text => ({ value: Buffer.from(text) })),
        resolve,
      ),
    )
  }
  await clock.advance(900)
  for (let round = 0; round < 400; round++) {
    if (round === 3) await clock.advance(500)
    await turns(1 + (round % 7))
    await node.kill()
    node = await startRouter(stores, {}, clock)
    const [work, dead] = [node.queues.get('/', 'work')!, node.queues.get('/', 'dead')!]
    await clock.advance(100)
    assert.equal(work.readyCount + work.dyingCount + dead.readyCount, texts.length)
    if (dead.readyCount === texts.length) break
  }
  const dead = node.queues.get('/', 'dead')!
  const found: string[] = []
  for (let from = 0; found.length < dead.readyCount; from = found.length) {
    found.push(...(await dead.browse(from, 1000)).map(({ value }) => String(value)))
  }
  assert.deepEqual(found, texts, 'in the order of their deaths')
  await node.close()
})

test('a transient queue dead-letters, too, and into one', async () => {
  const node = await startRouter(memoryStores())
  const dead = await node.queues.declare('/', 'dead', undefined, { isDurable: false })
  const letters = config({ 'dead.letter.exchange': '', 'dead.letter.key': 'dead', 'length.max': '1' })
  const work = await node.queues.declare('/', 'work', letters, { isDurable: false })
  for (const text of ['a', 'b', 'c']) await publish(node, '', 'work', text)
  await turns(60)
  assert.deepEqual([await contents(dead), await contents(work)], [['a', 'b'], ['c']])
  await node.close()
})

test('dead letters are as many as the disk and the turn can take, however many die at once', async () => {
  const node = await startRouter(memoryStores())
  const { work, dead } = await twoQueues(node, { 'length.max': '0' })
  await new Promise(resolve =>
    work.publish(
      Array.from({ length: 20_000 }, () => ({ value: Buffer.from('x') })),
      resolve,
    ),
  )
  let most = 0
  for (let round = 0; round < 2000 && dead.readyCount < 20_000; round++) {
    await turns(1)
    most = Math.max(most, work.dyingCount)
  }
  assert.deepEqual([work.readyCount, work.dyingCount, dead.readyCount], [0, 0, 20_000])
  assert.ok(most <= 4096, `${most} at a time`)
  await node.close()
})

test('dead letters reach topics, and are routed by their headers', async () => {
  const node = await startRouter(memoryStores())
  const { queues, topics, cell, client } = node
  const headersOf = ({ headers }: MappedRecord): Header[] =>
    headers.map(({ key, value }) => ({ name: key, value: String(value) }))
  const router = new Router({ ledger: cell, cell: client, topics, queues, limits: defaultLimits, headersOf })
  const log = await topics.create('/', 'log')
  const keyed = await topics.create('/', 'keyed', { config: config({ cleanupPolicy: 'compact' }) })
  await queues.declare('/', 'other')
  await router.declare('/', 'dlx', { kind: 'headers', config: config({ 'alternate.exchange': 'rest' }) })
  await router.declare('/', 'rest', { kind: 'fanout' })
  const bindings = [
    { source: 'dlx', kind: 'topic', destination: 'log', key: '', arguments: [{ name: 'to', value: 'log' }] },
    { source: 'dlx', kind: 'topic', destination: 'keyed', key: '', arguments: [{ name: 'to', value: 'log' }] },
    { source: 'rest', kind: 'queue', destination: 'other', key: '' },
  ] as const
  for (const binding of bindings) await router.bind('/', binding)
  const work = await queues.declare('/', 'work', config({ 'dead.letter.exchange': 'dlx', 'length.max': '0' }))
  for (const to of ['log', 'elsewhere']) {
    await send(work, { value: Buffer.from(to), headers: [{ key: 'to', value: Buffer.from(to) }] })
  }
  await turns(40)
  const ends = [log, keyed].map(({ partitions: [stream] }) => client.bounds(stream!)?.endOffset)
  assert.deepEqual(ends, [1, 0], 'what has no key goes to no topic that is kept by key')
  assert.deepEqual(await contents(queues.get('/', 'other')), ['elsewhere'])
  assert.deepEqual([work.readyCount, work.dyingCount, work.statistics.deadLettered], [0, 0, 2])
  await node.close()
})

test('dead letters that wait are dropped when where they go is gone', async () => {
  const stores = memoryStores()
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock, () => {})
  const { work } = await twoQueues(node, {}, { 'length.max': '0', overflow: 'reject-publish' })
  for (const text of ['a', 'b']) await publish(node, '', 'work', text)
  const { subscription } = consume(work)
  await turns()
  subscription.reject(0, 1)
  await turns(40)
  assert.equal(work.dyingCount, 2)
  await node.kill()
  node = await startRouter(stores, {}, clock, () => {})
  const again = node.queues.get('/', 'work')!
  await node.queues.remove('/', 'dead')
  await clock.advance(1200)
  assert.deepEqual([again.dyingCount, again.readyCount, again.statistics.deadLettered], [0, 0, 0])
  assert.equal(again.statistics.dropped.get('rejected'), 2)
  await node.close()
})

/** A chain whose disk is full when the test says so. */
class FillingChain extends MemoryChainStore {
  override full = false
}

test('on a full disk dead letters wait where they are, and messages can still be dropped and settled', async () => {
  const chain = new FillingChain()
  const stores = { chain, blobs: new MemoryBlobStore() }
  const clock = new ManualClock()
  let node = await startRouter(stores, {}, clock, () => {})
  const { work, dead } = await twoQueues(node, { 'message.ttl.ms': '1000' })
  for (const text of ['a', 'b', 'c']) await publish(node, '', 'work', text)
  const { subscription } = consume(work, { prefetch: 2 })
  await turns()
  chain.full = true
  assert.equal((await publish(node, '', 'work', 'refused')).error, 'storage-full')
  subscription.pause()
  subscription.reject(0)
  subscription.ack(1)
  const move = work.move({ to: { queue: 'dead' } })
  await clock.advance(2000)
  move.cancel()
  await clock.advance(1200)
  assert.deepEqual([work.dyingCount, dead.readyCount], [2, 0])
  await node.kill()
  node = await startRouter(stores, {}, clock, () => {})
  const again = node.queues.get('/', 'work')!
  assert.equal(again.dyingCount, 2)
  await clock.advance(1200)
  assert.equal(node.queues.get('/', 'dead')!.readyCount, 0)
  chain.full = false
  await clock.advance(1200)
  await turns(40)
  assert.deepEqual(await contents(node.queues.get('/', 'dead')), ['a', 'c'])
  assert.deepEqual([again.dyingCount, again.readyCount, again.cursor.floor], [0, 0, 3])
  await node.close()
})

test('a dead letter for several places comes to each of them once, though the disk is full for some of them', async () => {
  const chain = new FillingChain()
  const clock = new ManualClock()
  const node = await startRouter({ chain, blobs: new MemoryBlobStore() }, {}, clock, () => {})
  const { router, queues } = node
  const { work, dead } = await twoQueues(node, { 'dead.letter.exchange': 'dlx' })
  await router.declare('/', 'dlx', { kind: 'fanout' })
  const brief = await queues.declare('/', 'brief', undefined, { isDurable: false })
  const last = await queues.declare('/', 'last', undefined, { isDurable: false })
  for (const destination of ['brief', 'dead', 'last'])
    await router.bind('/', { source: 'dlx', kind: 'queue', destination, key: '' })
  for (const text of ['a', 'b']) await publish(node, '', 'work', text)
  const { subscription } = consume(work)
  await turns()
  chain.full = true
  subscription.reject(0, 1)
  await clock.advance(5000)
  const counts = (): number[] => [brief, dead, last].map(({ readyCount }) => readyCount)
  assert.deepEqual([work.dyingCount, ...counts()], [2, 1, 0, 0])
  chain.full = false
  await clock.advance(1200)
  await turns(40)
  assert.deepEqual([work.dyingCount, ...counts()], [0, 2, 2, 2])
  assert.deepEqual(await contents(brief), ['a', 'b'])
  assert.equal(work.statistics.deadLettered, 2)
  await node.close()
})

test('what was dead-lettered arrives though its queue goes at once', async () => {
  const node = await startRouter(memoryStores())
  const dead = await node.queues.declare('/', 'dead')
  const letters = config({ 'dead.letter.exchange': '', 'dead.letter.key': 'dead' })
  const owner = {}
  const goings: [string, object, (subscription: Subscription) => unknown][] = [
    ['exclusive', { exclusiveTo: owner }, () => node.queues.release(owner)],
    ['auto-delete', { autoDelete: true }, subscription => subscription.cancel()],
    ['deleted', {}, () => node.queues.remove('/', 'deleted')],
    ['stored', {}, () => node.queues.remove('/', 'stored')],
    ['stored auto-delete', { autoDelete: true }, subscription => subscription.cancel()],
  ]
  for (const [name, options, go] of goings) {
    const queue = await node.queues.declare('/', name, letters, options)
    await send(queue, { value: Buffer.from(name) })
    const { subscription } = consume(queue)
    await turns()
    if (name.startsWith('stored')) await node.cell.checkpointer.settle()
    subscription.reject(0)
    await go(subscription)
    await turns(20)
    assert.equal(node.queues.get('/', name), undefined, name)
  }
  assert.deepEqual(
    await contents(dead),
    goings.map(([name]) => name),
  )
  await node.close()
})

test('a queue whose dead letters nobody takes can be removed', async () => {
  const node = await startRouter(memoryStores(), {}, new ManualClock(), () => {})
  const { work, dead } = await twoQueues(node, {}, { 'length.max': '0', overflow: 'reject-publish' })
  await publish(node, '', 'work', 'a')
  const { subscription } = consume(work)
  await turns()
  subscription.reject(0)
  assert.equal(await node.queues.remove('/', 'work'), 0)
  assert.equal(node.queues.get('/', 'work'), undefined)
  assert.equal(dead.readyCount, 0)
  await node.close()
})

test('a queue of very many dead messages goes without waiting for all of them, or stays and goes on', async () => {
  const node = await startRouter(memoryStores())
  const { work, dead } = await twoQueues(node, { 'message.ttl.ms': '1000' })
  const batch = Array.from({ length: 2000 }, () => ({ value: Buffer.alloc(100) }))
  for (let count = 0; count < 30; count++) await new Promise(resolve => work.publish(batch, resolve))
  await node.cell.checkpointer.settle()
  const passing = node.clock.advance(1200)
  while (work.dyingCount === 0) await turns(1)
  assert.ok(work.dyingCount > 0 && work.readyCount > 0)
  await assert.rejects(node.queues.remove('/', 'work', { ifEmpty: true }), /holds/)
  const before = work.readyCount
  while (work.readyCount === before) await turns(1)
  assert.ok((await node.queues.remove('/', 'work')) > 0)
  const arrived = dead.readyCount
  assert.ok(arrived < 60_000)
  await turns(40)
  assert.equal(dead.readyCount, arrived)
  await passing
  await node.close()
})

test('a consumer that calls itself an heir is none', async () => {
  const node = await startRouter(memoryStores())
  const work = await node.queues.declare('/', 'work')
  for (const text of ['a', 'b']) await publish(node, '', 'work', text)
  const { subscription } = consume(work, { name: '~dead:rejected', prefetch: 1 })
  await turns()
  work.configured()
  await turns(40)
  assert.deepEqual([work.inFlightCount, work.readyCount, work.dyingCount], [1, 1, 0])
  assert.equal(subscription.ack(0), 1)
  await node.close()
})
