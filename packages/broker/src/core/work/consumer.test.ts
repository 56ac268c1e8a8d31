import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { TopicSubscriber } from '../reading/contract.ts'
import { startBroker } from '../../main.ts'
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

async function start(t: TestContext) {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { work, queues } = broker.core
  const put = (value: string, priority: number, delayMs = 0): Promise<number | string> =>
    new Promise(resolve =>
      work.open(homeNamespace, 'w').put({ value: Buffer.from(value) }, { priority, delayMs }, resolve),
    )
  const consume = (prefetch = 0, isSettled = false) => {
    const queue = work.consumable(homeNamespace, 'w')
    assert(queue)
    const seen = new Seen()
    return { seen, consumer: work.consume(queue, { name: 'c', prefetch, isSettled }, seen) }
  }
  return { work, queues, put, consume }
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
