import assert from 'node:assert/strict'
import test from 'node:test'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { publish, startRouter, type RouterNode } from '../routing/test-bench.ts'
import type { Queue } from './queue.ts'

const refusal =
  (code: ErrorCode, text = '') =>
  (error: unknown) =>
    error instanceof BrokerError && error.code === code && error.message.includes(text)

function consume(queue: Queue, prefetch = 0) {
  const given: string[] = []
  const subscription = queue.subscribe(
    { prefetch },
    {
      deliver: record => void given.push(String(record.value)),
      ended: () => void given.push('ended'),
    },
  )
  return { subscription, given }
}

/** Facts that the journal holds after `run`, in bytes. */
async function journaled(node: RouterNode, run: () => Promise<unknown>): Promise<number> {
  await node.cell.durable(node.cell.openSeq)
  const before = node.cell.journal.keptBytes + node.cell.journal.pendingBytes
  await run()
  return node.cell.journal.keptBytes + node.cell.journal.pendingBytes - before
}

test('a queue that is not durable is in no fact, and neither is what it holds', async () => {
  const node = await startRouter(memoryStores())
  const bytes = await journaled(node, async () => {
    const queue = await node.queues.declare('/', 'brief', new Map(), { isDurable: false })
    await node.router.bind('/', { source: 'amq.topic', kind: 'queue', destination: 'brief', key: 'a.*' })
    assert.deepEqual(await publish(node, 'amq.topic', 'a.b', 'one'), { isRouted: true, error: undefined })
    assert.equal(queue.readyCount, 1)
    const { subscription, given } = consume(queue, 1)
    await publish(node, '', 'brief', 'two')
    await turns()
    assert.deepEqual(given, ['one'])
    assert.deepEqual([queue.readyCount, queue.inFlightCount], [1, 1])
    subscription.release(0)
    await turns()
    subscription.ack(0)
    await turns()
    assert.deepEqual(given, ['one', 'one', 'two'])
    assert.deepEqual(
      (await queue.browse(0, 10)).map(({ value, isInFlight }) => [String(value), isInFlight]),
      [['two', true]],
    )
    subscription.ack(1)
    assert.deepEqual([queue.readyCount, queue.inFlightCount, node.queues.transient.bytes], [0, 0, 0])
  })
  assert.equal(bytes, 0)
  await node.close()
})

test('a restart leaves nothing of queues that are not durable, nor of exclusive ones, but their durable neighbours', async () => {
  const stores = memoryStores()
  const owner = {}
  let node = await startRouter(stores)
  await node.queues.declare('/', 'kept', new Map(), { autoDelete: true })
  await node.queues.declare('/', 'brief', new Map(), { isDurable: false })
  await node.queues.declare('/', 'own', new Map(), { exclusiveTo: owner })
  for (const destination of ['kept', 'brief', 'own']) {
    await node.router.bind('/', { source: 'amq.fanout', kind: 'queue', destination, key: '' })
  }
  assert.equal((await publish(node, 'amq.fanout', '', 'x')).isRouted, true)
  assert.deepEqual(
    node.queues.list('/').map(({ readyCount }) => readyCount),
    [1, 1, 1],
  )
  for (const how of ['kill', 'close'] as const) {
    await node[how]()
    node = await startRouter(stores, {}, node.clock)
    assert.deepEqual(
      node.queues.list('/').map(({ definition: { name, autoDelete, isDurable }, readyCount }) => {
        return { name, autoDelete, isDurable, readyCount }
      }),
      [{ name: 'kept', autoDelete: true, isDurable: true, readyCount: 1 }],
    )
    assert.deepEqual(
      node.router.bindings('/', 'amq.fanout').map(({ destination }) => destination),
      ['kept'],
    )
    await node.queues.declare('/', 'brief', new Map(), { isDurable: false })
    await node.router.bind('/', { source: 'amq.fanout', kind: 'queue', destination: 'brief', key: '' })
  }
  await node.close()
})

test('an exclusive queue belongs to one owner and goes with it', async () => {
  const node = await startRouter(memoryStores())
  const [owner, other] = [{}, {}]
  const queue = await node.queues.declare('/', 'own', new Map(), { exclusiveTo: owner })
  assert.equal(await node.queues.declare('/', 'own', new Map(), { exclusiveTo: owner }), queue)
  for (const exclusiveTo of [undefined, other]) {
    await assert.rejects(node.queues.declare('/', 'own', new Map(), { exclusiveTo }), refusal('queue-locked', '"own"'))
    assert.throws(() => node.queues.use('/', 'own', exclusiveTo), refusal('queue-locked', '"own"'))
  }
  assert.equal(node.queues.use('/', 'own', owner), queue)
  assert.throws(() => node.queues.use('/', 'none', owner), refusal('queue-not-found'))
  await node.queues.declare('/', 'all')
  await assert.rejects(node.queues.declare('/', 'all', new Map(), { exclusiveTo: owner }), refusal('queue-locked'))
  // Whoever publishes need not be the owner.
  await publish(node, '', 'own', 'x')
  assert.equal(queue.readyCount, 1)
  const { given } = consume(queue)
  node.queues.release(other)
  assert.deepEqual(node.queues.ownedBy(owner), [queue])
  node.queues.release(owner)
  await turns()
  assert.equal(node.queues.get('/', 'own'), undefined)
  assert.deepEqual(given, ['ended'])
  assert.equal(node.queues.transient.bytes, 0)
  assert.deepEqual(await publish(node, '', 'own', 'x'), { isRouted: false })
  node.queues.release(owner)
  await node.close()
})

test('an owner who goes while the broker stops does no harm', async () => {
  const node = await startRouter(memoryStores())
  const owner = {}
  await node.router.declare('/', 'auto', { autoDelete: true })
  const queue = await node.queues.declare('/', 'own', new Map(), { exclusiveTo: owner })
  await node.router.bind('/', { source: 'auto', kind: 'queue', destination: 'own', key: '' })
  const { subscription } = consume(queue)
  await node.cell.close()
  node.queues.release(owner)
  subscription.cancel()
  node.queues.close()
  node.queues.release(owner)
})

for (const isDurable of [true, false]) {
  test(`an auto-delete queue (durable: ${isDurable}) goes with its last consumer, and not before it had one`, async () => {
    const stores = memoryStores()
    let node = await startRouter(stores)
    const options = { autoDelete: true, isDurable }
    const queue = await node.queues.declare('/', 'auto', new Map(), options)
    await assert.rejects(
      node.queues.declare('/', 'auto', new Map(), { isDurable }),
      refusal('queue-exists', 'auto.delete true, not false'),
    )
    await assert.rejects(
      node.queues.declare('/', 'auto', new Map(), { autoDelete: true, isDurable: !isDurable }),
      refusal('queue-exists', `durable ${isDurable}, not ${!isDurable}`),
    )
    await publish(node, '', 'auto', 'x')
    // Who only asks is no consumer.
    const asking = queue.subscribe({ passive: true }, { deliver: () => {} })
    asking.cancel()
    assert.equal(node.queues.get('/', 'auto'), queue)
    const [first, second] = [consume(queue, 1), consume(queue)]
    await turns()
    first.subscription.cancel()
    assert.equal(node.queues.get('/', 'auto'), queue)
    second.subscription.cancel()
    assert.equal(node.queues.get('/', 'auto'), undefined)
    second.subscription.cancel()
    const again = await node.queues.declare('/', 'auto', new Map(), options)
    assert.equal(again.readyCount, 0)
    await node.close()
    node = await startRouter(stores, {}, node.clock)
    assert.equal(node.queues.get('/', 'auto') !== undefined, isDurable)
    if (isDurable) {
      consume(node.queues.get('/', 'auto')!).subscription.cancel()
      assert.equal(node.queues.get('/', 'auto'), undefined)
    }
    await node.close()
  })
}

test('a queue that has used up the memory does not silence those that hold little', async () => {
  const node = await startRouter(memoryStores(), { transientBytesMax: 128 * 1024 })
  const [large, small] = await Promise.all(
    ['large', 'small'].map(name => node.queues.declare('/', name, new Map(), { isDurable: false })),
  )
  const text = 'x'.repeat(1000)
  while ((await publish(node, '', 'large', text)).error === undefined);
  let taken = 0
  while ((await publish(node, '', 'small', text)).error === undefined) taken++
  assert(taken > 20 && taken < 40, `${taken} were taken`)
  assert(large && small && large.readyCount > 100)
  small.purge()
  assert.equal((await publish(node, '', 'large', text)).error, 'queue-full')
  assert.equal((await publish(node, '', 'small', text)).error, undefined)
  assert(node.queues.transient.bytes <= 161 * 1024)
  await node.close()
})

test('memory for what is not durable is bounded: what is too much is refused, and what was settled makes room', async () => {
  const node = await startRouter(memoryStores(), { transientBytesMax: 128 * 1024 })
  const queue = await node.queues.declare('/', 'brief', new Map(), { isDurable: false })
  const { subscription } = consume(queue, 1)
  await publish(node, '', 'brief', 'held')
  await turns()
  const text = 'x'.repeat(1000)
  let taken = 0
  while ((await publish(node, '', 'brief', text)).error === undefined) taken++
  assert(taken >= 110 && taken <= 130, `${taken} were taken`)
  assert.equal((await publish(node, '', 'brief', text)).error, 'queue-full')
  assert(node.queues.transient.bytes < 130 * 1024)
  assert.equal(node.queues.transient.refusedCount, 2)
  // One that is old and held pins nothing but itself.
  assert.equal(queue.purge(), taken)
  await node.clock.advance(1000)
  assert.equal((await publish(node, '', 'brief', text)).error, undefined)
  assert(node.queues.transient.bytes < 4 * 1024)
  subscription.ack(0)
  await turns()
  assert.deepEqual([queue.readyCount, queue.inFlightCount], [0, 1])
  await node.close()
})

test('a durable exchange that is to go with its last binding goes when a restart has left it without any', async () => {
  const stores = memoryStores()
  let node = await startRouter(stores)
  await node.queues.declare('/', 'brief', new Map(), { isDurable: false })
  await node.queues.declare('/', 'kept')
  const auto = { autoDelete: true }
  const bind = (source: string, kind: 'queue' | 'exchange', destination: string): Promise<void> =>
    node.router.bind('/', { source, kind, destination, key: '' })
  for (const name of ['unbound', 'used', 'both', 'upper', 'stays']) {
    await node.router.declare('/', name, name === 'stays' ? {} : auto)
  }
  await bind('used', 'queue', 'brief')
  await bind('both', 'queue', 'brief')
  await bind('both', 'queue', 'kept')
  await bind('upper', 'exchange', 'used')
  await bind('stays', 'queue', 'brief')
  const names = (): string[] =>
    node.router
      .list('/')
      .map(({ name }) => name)
      .filter(name => name !== '' && !name.startsWith('amq.'))
  for (const how of ['kill', 'close', 'kill'] as const) {
    if (how === 'close') await node.cell.checkpointer.flush()
    await node[how]()
    node = await startRouter(stores, {}, node.clock)
    assert.deepEqual(names(), ['unbound', 'both', 'stays'])
  }
  await node.router.unbind('/', { source: 'both', kind: 'queue', destination: 'kept', key: '' })
  assert.deepEqual(names(), ['unbound', 'stays'])
  await node.close()
})
