import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { TopicSubscriber } from '../reading/contract.ts'
import { startBroker } from '../../main.ts'
import type { WorkConsumerOptions } from './consumer.ts'
import { homeNamespace } from '../topic.ts'

class Seen implements TopicSubscriber {
  readonly messages: [value: string, number: number, count: number][] = []
  hasEnded = false
  deliver(record: { value: Buffer | null }, _partition: number, number: number, deliveryCount: number): void {
    this.messages.push([String(record.value), number, deliveryCount])
  }
  ended(): void {
    this.hasEnded = true
  }
  get values(): string[] {
    return this.messages.map(([value]) => value)
  }
}

async function start(t: TestContext, data = 'memory') {
  const broker = await startBroker({ data })
  t.after(() => broker.close())
  const { work, queues } = broker.core
  const put = (value: string, priority: number, delayMs = 0): Promise<number | string> =>
    new Promise(resolve =>
      work.open(homeNamespace, 'w').put({ value: Buffer.from(value) }, { priority, delayMs }, resolve),
    )
  const consume = (prefetch = 0, isSettled = false, more: Partial<WorkConsumerOptions> = {}) => {
    const queue = work.consumable(homeNamespace, 'w')
    assert(queue)
    const seen = new Seen()
    return { seen, consumer: work.consume(queue, { name: 'c', prefetch, isSettled, ...more }, seen) }
  }
  return { broker, work, queues, put, consume }
}

const turns = async (count = 30): Promise<void> => {
  for (; count > 0; count--) await new Promise(resolve => setImmediate(resolve))
}

test('a consumer gets the messages of all priorities, the most urgent first, and names them by their numbers', async t => {
  const { work, put, consume } = await start(t)
  assert.equal(work.consumable(homeNamespace, 'w'), undefined)
  const numbers = [await put('b', 5), await put('a', 1), await put('c', 9)]
  const { seen, consumer } = consume(2)
  consumer.begin()
  await turns()
  assert.deepEqual(seen.messages, [
    ['a', numbers[1], 1],
    ['b', numbers[0], 1],
  ])
  assert.equal(consumer.heldCount, 2)
  assert.equal(consumer.ack(Number(numbers[1])), 1)
  assert.equal(consumer.ack(Number(numbers[1])), 0)
  await turns()
  assert.deepEqual(seen.values, ['a', 'b', 'c'])
  assert.equal(consumer.release(Number(numbers[0])), 1)
  await turns()
  assert.deepEqual(seen.messages.at(-1), ['b', numbers[0], 2])
  consumer.cancel()
  const next = consume(0, true)
  next.consumer.begin()
  await turns()
  assert.deepEqual(next.seen.values, ['b', 'c'])
  assert.equal(work.get(homeNamespace, 'w')?.readyCount ?? 0, 0)
})

test('one that asks gets one message at a time, and what is retired or paused gets none', async t => {
  const { put, consume } = await start(t)
  await put('a', 2)
  await put('b', 1)
  const { consumer } = consume()
  const pulled: (string | undefined)[] = []
  for (let count = 0; count < 3; count++) {
    consumer.pull(record => pulled.push(record && String(record.value)))
    await turns()
  }
  assert.deepEqual(pulled, ['b', 'a', undefined])
  const other = consume()
  other.consumer.begin()
  other.consumer.pause()
  await put('c', 1)
  await turns()
  assert.deepEqual(other.seen.values, [])
  other.consumer.resume()
  await turns()
  assert.deepEqual(other.seen.values, ['c'])
  other.consumer.retire()
  await put('d', 1)
  await turns()
  assert.deepEqual([other.seen.values, other.consumer.heldCount], [['c'], 1])
})

test('what is ready can be purged, wherever it lies, and a queue that is removed ends its consumers', async t => {
  const { work, queues, put, consume } = await start(t)
  await put('a', 1)
  await put('b', 2)
  await put('later', 1, 60_000)
  const { seen, consumer } = consume(1)
  consumer.begin()
  await turns()
  assert.deepEqual(seen.values, ['a'])
  const queue = work.consumable(homeNamespace, 'w')
  assert.equal(queue?.purge(), 1)
  assert.deepEqual([queue.readyCount, queue.delayedCount, queue.reservedCount], [0, 1, 1])
  await queues.remove(homeNamespace, 'w')
  assert(seen.hasEnded)
  assert.equal(consumer.ack(1), 0)
})

test('a queue that was declared stays what it is when somebody looks at its messages as at numbered ones', async t => {
  const { work, queues, put } = await start(t)
  await queues.declare(homeNamespace, 'w', new Map([['delivery.limit', '2']]))
  assert.equal(work.list(homeNamespace)[0]?.name, 'w')
  assert.equal(work.consumable(homeNamespace, 'w'), undefined)
  await put('urgent', 1)
  assert.equal(work.consumable(homeNamespace, 'w')?.readyCount, 1)
})

test('what is rejected is put aside with its priority, and comes again when somebody asks for it', async t => {
  const { work, put, consume } = await start(t)
  const number = Number(await put('a', 7))
  const { seen, consumer } = consume()
  consumer.begin()
  await turns()
  assert.equal(consumer.reject(number), 1)
  const queue = work.get(homeNamespace, 'w')
  assert.deepEqual([queue?.asideCount, queue?.readyCount, consumer.heldCount], [1, 0, 0])
  const kicked = await new Promise<number | undefined>(resolve => queue?.kick(10, resolve))
  assert.equal(kicked, 1)
  await turns()
  assert.deepEqual(seen.messages.at(-1), ['a', number, 2])
})

test('a consumer that is there for itself alone keeps others out, and workers get nothing until it has gone', async t => {
  const { work, put, consume } = await start(t)
  await put('a', 1)
  const inUse = { code: 'queue-in-use' }
  const idle = consume()
  assert.throws(() => consume(0, false, { isExclusive: true }), inUse)
  idle.consumer.cancel()
  const alone = consume(1, false, { isExclusive: true })
  assert.throws(() => consume(), inUse)
  alone.consumer.begin()
  await turns()
  await put('b', 1)
  const queue = work.open(homeNamespace, 'w')
  const worker = work.worker({ name: 'worker', leaseMs: () => Infinity })
  worker.watch(queue)
  const taken: string[] = []
  worker.reserve((_held, value) => taken.push(String(value)))
  await turns()
  assert.deepEqual([alone.seen.values, taken], [['a'], []])
  const asking = consume(0, false, { isPassive: true })
  asking.consumer.pull(record => taken.push(`asked for ${String(record?.value)}`))
  assert.deepEqual(taken, ['asked for b'])
  await put('c', 1)
  assert.equal(queue.consumerCount, 2)
  alone.consumer.retire()
  await turns()
  assert.deepEqual([taken.at(-1), alone.consumer.heldCount, queue.consumerCount], ['c', 1, 1])
  worker.close()
  asking.consumer.cancel()
})

test('consumers of higher priority are served first, and the others when those have no room', async t => {
  const { put, consume } = await start(t)
  await put('0', 1)
  const [low, high, negative] = [consume(), consume(2, false, { priority: 5 }), consume(0, false, { priority: -1 })]
  for (const { consumer } of [negative, low, high]) consumer.begin()
  for (let count = 1; count < 5; count++) await put(String(count), 1)
  await turns()
  assert.deepEqual([high.seen.values, low.seen.values, negative.seen.values], [['0', '1'], ['2', '3', '4'], []])
  low.consumer.pause()
  await put('5', 1)
  await turns()
  assert.deepEqual(negative.seen.values, ['5'])
  high.consumer.ack(1)
  low.consumer.resume()
  await put('6', 1)
  await put('7', 1)
  await turns()
  assert.deepEqual([high.seen.values.at(-1), low.seen.values.at(-1)], ['6', '7'])
  high.consumer.cancel()
  await turns()
  assert.deepEqual(low.seen.values.slice(-3).toSorted(), ['1', '6', '7'])
})

test('what was held when the broker ended is given out as delivered before, what others were taken around is not', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const first = await start(t, data)
  for (const value of ['a', 'b', 'c']) await first.put(value, 1)
  const { consumer } = first.consume(1)
  consumer.begin()
  await turns()
  const spot = first.work.find(3)
  assert(spot)
  // To get at the last one, what lies before it is passed over.
  assert.equal(await new Promise(resolve => spot.queue.remove(spot, resolve)), true)
  await first.broker.close()
  const second = await start(t, data)
  const { seen, consumer: next } = second.consume()
  next.begin()
  while (seen.messages.length < 2) await turns(1)
  assert.deepEqual(seen.messages, [
    ['a', 1, 2],
    ['b', 2, 1],
  ])
})

test('who goes with many messages gives them back in turns, and nobody is told of those', async t => {
  const { broker, work, put } = await start(t)
  const count = 2500
  await Promise.all(Array.from({ length: count }, (_, at) => put(String(at), at % 3)))
  const queue = work.open(homeNamespace, 'w')
  const told: string[] = []
  const worker = work.worker({
    name: 'worker',
    leaseMs: () => Infinity,
    expired: () => void told.push('expired'),
    lost: () => void told.push('lost'),
  })
  worker.watch(queue)
  for (let left = count; left > 0; left--) await new Promise<void>(resolve => worker.reserve(() => resolve()))
  assert.equal(queue.reservedCount, count)
  worker.close()
  worker.close()
  const first = count - queue.reservedCount
  assert(first > 0 && first < count, `${first} are given back at once`)
  const other = work.worker({ name: 'other', leaseMs: () => Infinity })
  other.watch(queue)
  await turns()
  assert.deepEqual([queue.reservedCount, queue.readyCount, queue.consumerCount], [0, count, 1])
  let counted = 0
  while (other.hasReady) await new Promise<void>(resolve => other.reserve(() => resolve(void counted++)))
  assert.equal(counted, count)
  // The broker may end before all is given back.
  other.close()
  await broker.close()
  await turns()
  assert.deepEqual(told, [])
})

test('a queue whose messages were all given out has no memory for bodies', async t => {
  const { work, put } = await start(t)
  await Promise.all(Array.from({ length: 300 }, (_, index) => put('x'.repeat(4000), index % 3)))
  const queue = work.open(homeNamespace, 'w')
  const worker = work.worker({ name: 'w', leaseMs: () => 60_000 })
  worker.watch(queue)
  const bytesOf = (): number => queue.lanes.reduce((sum, { reader }) => sum + reader.bytes, 0)
  const reserve = (): Promise<unknown> => new Promise(resolve => worker.reserve(resolve))
  await reserve()
  assert(bytesOf() > 0)
  for (let left = 299; left > 0; left--) await reserve()
  assert.equal(worker.hasReady, false)
  assert.equal(bytesOf(), 0)
})

test('what a consumer was given stays as it is, whatever is read for others before and behind it', async t => {
  const { work, put } = await start(t)
  const body = (index: number): string => `${index} `.padEnd(4000, String(index))
  await Promise.all(Array.from({ length: 600 }, (_, index) => put(body(index), 5)))
  const queue = work.open(homeNamespace, 'w')
  const worker = work.worker({ name: 'w', leaseMs: () => 60_000 })
  worker.watch(queue)
  const reserve = (): Promise<string> =>
    new Promise(resolve => worker.reserve((_held, value) => resolve(String(value))))
  const kept: (Buffer | null)[] = []
  const consumable = work.consumable(homeNamespace, 'w')
  assert(consumable)
  const keeping = work.consume(
    consumable,
    { name: 'k', prefetch: 100, isSettled: true },
    { deliver: ({ value }) => void kept.push(value), ended: () => {} },
  )
  assert.equal(await reserve(), body(0))
  keeping.begin()
  for (let round = 0; kept.length < 500 && round < 1000; round++) {
    await turns(1)
    if (round % 5 === 0) kept.push(Buffer.from(await reserve()))
  }
  assert(kept.length >= 500)
  assert.deepEqual(
    kept.map(value => String(value)).toSorted(byNumber),
    kept.map((_, index) => body(index + 1)),
  )
})

const byNumber = (a: string, b: string): number => Number.parseInt(a) - Number.parseInt(b)
