import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { enforceRetention } from '../../cell/retention.ts'
import type { Retention } from '../../cell/options.ts'
import {
  abandon,
  ManualClock,
  memoryStores,
  openCell,
  turns,
  type Stores,
  type TestCell,
} from '../../cell/testing/cells.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import type { SubscribeOptions, Subscription } from '../cursor/subscription.ts'
import { DirectoryMachine } from '../directory.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { Topics } from '../topics.ts'
import type { PublishResult, Queue } from './queue.ts'
import { Queues } from './queues.ts'

interface Node extends TestCell {
  clock: ManualClock
  topics: Topics
  queues: Queues
  close(): Promise<void>
}

async function start(stores: Stores, clock = new ManualClock(), more: Partial<Limits> = {}): Promise<Node> {
  let retentionOf = (_stream: number): Retention | undefined => undefined
  const cell = await openCell(stores, {
    clock,
    machines: { directory: () => new DirectoryMachine(), cursor: () => new CursorMachine() },
    retentionOf: stream => retentionOf(stream),
  })
  const limits = { ...defaultLimits, ...more }
  const random = new Random(Math.floor(clock.nowMs()))
  const topics = await Topics.open(cell.cell, { limits, random })
  const wheel = new TimerWheel(clock)
  const cursors = new Cursors(cell.cell, wheel)
  const queues = new Queues({
    ledger: cell.cell,
    cell: cell.client,
    cursors,
    wheel,
    random,
    limits,
    soon: run => void setImmediate(run),
    log: (level, message) => assert.fail(`${level} ${message}`),
  })
  retentionOf = stream => queues.retentionOf(stream)
  const close = async (): Promise<void> => {
    queues.close()
    cursors.close()
    await cell.cell.close()
  }
  return { ...cell, clock, topics, queues, close }
}

function publish(queue: Queue, ...texts: string[]): Promise<PublishResult> {
  return new Promise(resolve =>
    queue.publish(
      texts.map(text => ({ value: Buffer.from(text) })),
      resolve,
    ),
  )
}

function consume(queue: Queue, options: SubscribeOptions = {}): { subscription: Subscription; given: string[] } {
  const given: string[] = []
  const subscription = queue.subscribe(options, {
    deliver: record => void given.push(String(record.value)),
    ended: () => void given.push('ended'),
  })
  return { subscription, given }
}

const refusal =
  (code: ErrorCode, text = '') =>
  (error: unknown) =>
    error instanceof BrokerError && error.code === code && error.message.includes(text)

const settings = (config: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(config))

test('what is published to a queue is consumed, and leaves it when it is acknowledged', async () => {
  const node = await start(memoryStores())
  const queue = await node.queues.declare('/', 'work')
  assert.deepEqual((await publish(queue, 'a', 'b', 'c')).baseOffset, 0)
  const { subscription, given } = consume(queue, { prefetch: 2 })
  await turns()
  assert.deepEqual(given, ['a', 'b'])
  assert.deepEqual([queue.readyCount, queue.inFlightCount, queue.consumerCount], [1, 2, 1])
  subscription.ack(0)
  subscription.release(1)
  await turns()
  assert.deepEqual(given, ['a', 'b', 'b', 'c'])
  subscription.ack(0, 2)
  assert.deepEqual([queue.readyCount, queue.inFlightCount], [0, 0])
  await node.close()
})

for (const how of ['killed', 'closed'] as const) {
  test(`after the broker was ${how}, queues are there with what was not acknowledged`, async () => {
    const stores = memoryStores()
    let node = await start(stores)
    const made = await node.queues.declare('/', 'work', settings({ 'delivery.limit': '3' }))
    await node.queues.declare('tenant', 'work')
    await node.queues.declare('/', 'gone')
    await node.queues.remove('/', 'gone')
    await publish(made, 'a', 'b', 'c', 'd')
    const { subscription } = consume(made, { prefetch: 3 })
    await turns()
    subscription.ack(1)
    await node.cell.durable(made.cursor.seq)
    if (how === 'closed') await node.close()
    else {
      node.queues.close()
      await abandon(node)
    }
    node = await start(stores, node.clock)
    assert.deepEqual(
      node.queues.list().map(({ definition: { namespace, name } }) => [namespace, name]),
      [
        ['/', 'work'],
        ['tenant', 'work'],
      ],
    )
    assert.equal(node.queues.get('/', 'gone'), undefined)
    const queue = node.queues.get('/', 'work')!
    assert.equal(queue.config.deliveryLimit, 3)
    assert.equal(queue.readyCount, 3)
    const { given } = consume(queue)
    await turns()
    assert.deepEqual(given, ['a', 'c', 'd'])
    await node.close()
  })
}

test('a name is a topic or a queue, and a queue is declared again only as it is', async () => {
  const node = await start(memoryStores(), undefined, { queuesMax: 2 })
  const { queues, topics } = node
  await topics.create('/', 'log')
  await assert.rejects(queues.declare('/', 'log'), refusal('queue-exists', '"log" is a topic'))
  const queue = await queues.declare('/', 'work', settings({ 'length.max': '5' }))
  await assert.rejects(topics.create('/', 'work'), refusal('topic-exists', '"work" is a queue'))
  assert.equal(await queues.declare('/', 'work', settings({ 'length.max': '5', overflow: 'drop-head' })), queue)
  await assert.rejects(queues.declare('/', 'work'), refusal('queue-exists', '"work" has length.max 5, not -1'))
  await assert.rejects(queues.declare('/', ''), refusal('name-invalid'))
  await assert.rejects(queues.declare('/', 'é'.repeat(128)), refusal('name-invalid', '255 bytes'))
  await assert.rejects(queues.declare('/', 'a\nb'), refusal('name-invalid', 'control'))
  await assert.rejects(queues.declare('/', 'x', settings({ color: 'red' })), refusal('config-invalid', '"color"'))
  await assert.rejects(
    queues.declare('/', 'x', settings({ 'length.max': '-2' })),
    refusal('config-invalid', 'length.max takes'),
  )
  await queues.declare('/', 'any name ✓ at all')
  await assert.rejects(queues.declare('/', 'third'), refusal('limit-reached'))
  await node.close()
})

test('a queue is removed with its messages, unless it is to be unused or empty and is not', async () => {
  const node = await start(memoryStores())
  const queue = await node.queues.declare('/', 'work')
  await publish(queue, 'a', 'b')
  const { subscription, given } = consume(queue, { prefetch: 1 })
  await turns()
  await assert.rejects(node.queues.remove('/', 'work', { ifUnused: true }), refusal('queue-in-use'))
  await assert.rejects(node.queues.remove('/', 'work', { ifEmpty: true }), refusal('queue-not-empty'))
  assert.equal(await node.queues.remove('/', 'work'), 1)
  assert.deepEqual(given, ['a', 'ended'])
  subscription.cancel()
  assert.equal((await publish(queue, 'late')).error, 'stream-not-found')
  await assert.rejects(node.queues.remove('/', 'work'), refusal('queue-not-found'))
  const again = await node.queues.declare('/', 'work')
  assert.notEqual(again.definition.id, queue.definition.id)
  assert.equal(again.readyCount, 0)
  await node.close()
})

test('a queue keeps no more messages than it may: the oldest go, or the newest are refused', async () => {
  const node = await start(memoryStores())
  const short = await node.queues.declare('/', 'short', settings({ 'length.max': '3' }))
  const { subscription, given } = consume(short, { prefetch: 2 })
  await publish(short, 'a', 'b')
  await turns()
  await publish(short, 'c', 'd', 'e', 'f', 'g')
  await turns()
  assert.deepEqual([short.readyCount, short.inFlightCount], [3, 2])
  subscription.release(1)
  subscription.pause()
  await turns()
  assert.deepEqual([short.readyCount, short.inFlightCount], [3, 1])
  subscription.resume()
  await turns()
  assert.deepEqual(given, ['a', 'b', 'e'])

  const full = await node.queues.declare('/', 'full', settings({ 'length.max': '2', overflow: 'reject-publish' }))
  assert.equal((await publish(full, 'a', 'b', 'c')).error, 'queue-full')
  assert.equal((await publish(full, 'a', 'b')).error, undefined)
  assert.equal((await publish(full, 'c')).error, 'queue-full')
  assert.equal(full.purge(), 2)
  assert.equal((await publish(full, 'c')).error, undefined)
  await node.close()
})

test('messages that wait too long are dropped, with and without consumers, also after a restart', async () => {
  const stores = memoryStores()
  let node = await start(stores)
  let queue = await node.queues.declare('/', 'brief', settings({ 'message.ttl.ms': '1000' }))
  await publish(queue, 'a', 'b')
  await node.clock.advance(600)
  await publish(queue, 'c')
  const { subscription } = consume(queue, { prefetch: 1 })
  await turns()
  await node.clock.advance(600)
  assert.deepEqual([queue.readyCount, queue.inFlightCount], [1, 1], 'what is held stays, the next was too old')
  subscription.pause()
  subscription.release(0)
  await node.clock.advance(200)
  assert.equal(queue.readyCount, 1, 'what comes back too late is dropped')
  await node.close()
  node = await start(stores, node.clock)
  queue = node.queues.get('/', 'brief')!
  assert.equal(queue.readyCount, 1)
  await node.clock.advance(500)
  assert.deepEqual([queue.readyCount, queue.cursor.droppedCount, queue.cursor.ackedCount], [0, 3, 0])
  await node.close()
})

test('who browses takes nothing', async () => {
  const node = await start(memoryStores())
  const queue = await node.queues.declare('/', 'work')
  await publish(queue, 'a', 'b', 'c', 'd', 'e')
  await node.cell.checkpointer.flush()
  const { subscription } = consume(queue, { prefetch: 3 })
  await turns(50)
  subscription.ack(1)
  subscription.release(2)
  subscription.pause()
  const seen = await queue.browse(0, 3)
  assert.deepEqual(
    seen.map(({ offset, value, deliveryCount, isInFlight }) => [offset, String(value), deliveryCount, isInFlight]),
    [
      [0, 'a', 1, true],
      [2, 'c', 1, false],
      [3, 'd', 0, false],
    ],
  )
  assert.deepEqual(
    (await queue.browse(4, 10)).map(({ offset }) => offset),
    [4],
  )
  assert.equal(queue.readyCount, 3)
  await node.queues.remove('/', 'work')
  await assert.rejects(queue.browse(0, 10), refusal('queue-not-found'))
  await node.close()
})

test('what is settled leaves the disk: as it goes, and at the latest when retention looks', async () => {
  const node = await start(memoryStores())
  const queue = await node.queues.declare('/', 'work')
  const { subscription, given } = consume(queue)
  for (let round = 0; round < 50; round++) await publish(queue, ...Array.from({ length: 100 }, () => 'x'.repeat(100)))
  await turns(200)
  assert.equal(given.length, 5_000)
  subscription.ack(0, 4_499)
  await turns()
  const { stream } = queue.definition
  assert.equal(node.client.bounds(stream)?.startOffset, 4_500)
  subscription.ack(4_500, 4_599)
  assert.equal(node.client.bounds(stream)?.startOffset, 4_500)
  enforceRetention(node.cell)
  assert.equal(node.client.bounds(stream)?.startOffset, 4_600)
  await node.close()
})
