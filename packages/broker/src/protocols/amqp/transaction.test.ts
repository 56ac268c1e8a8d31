import assert from 'node:assert/strict'
import test from 'node:test'
import type { RunningBroker } from '../../main.ts'
import type { DriverChannel } from './driver.ts'
import { channelOf, connect, start } from './testing/bench.ts'

const messages = 6000

/** A channel that has `messages` messages to publish to `out`, and as many to acknowledge of `in`, with its next commit. */
async function prepare(channel: DriverChannel): Promise<void> {
  await channel.declare('in')
  await channel.declare('out')
  await channel.confirm()
  await Promise.all(Array.from({ length: messages }, (_, at) => channel.publish('', 'in', `in ${at}`)))
}

async function transact(channel: DriverChannel): Promise<void> {
  await channel.txSelect()
  const taken = await (await channel.consume('in')).take(messages)
  for (let at = 0; at < messages; at++) void channel.publish('', 'out', `out ${at}`)
  channel.ack(taken.at(-1)?.deliveryTag ?? 0, true)
  await channel.settled()
}

async function countBecomes({ core }: RunningBroker, name: string, count: number): Promise<void> {
  const ready = (): number | undefined => core.queues.get('/', name)?.readyCount
  for (const deadline = Date.now() + 10_000; ready() !== count && Date.now() < deadline;) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  assert.equal(ready(), count)
}

test('a commit of many messages lets others have their turn, and takes effect in order and as a whole', async t => {
  const broker = await start(t)
  await prepare(await (await connect(t, broker)).channel())
  const [channel, other] = [await (await connect(t, broker)).channel(), await (await connect(t, broker)).channel()]
  await transact(channel)
  const queue = broker.core.queues.get('/', 'out')
  const committed = channel.txCommit()
  let served = 0
  for (; queue?.readyCount === 0; served++) await other.settled()
  assert.equal(queue?.readyCount, messages, 'all of it is seen at once')
  assert(served >= 3, `another connection was served ${served} times meanwhile`)
  await committed
  const out = await (await other.consume('out', { noAck: true })).take(messages)
  assert.deepEqual(
    out.map(({ body }) => String(body)),
    Array.from({ length: messages }, (_, at) => `out ${at}`),
  )
  assert.equal(broker.core.queues.get('/', 'in')?.cursor.ackedCount, messages)
  await channel.txCommit()
})

test('a commit of many messages is whole, though the connection ends meanwhile', async t => {
  const broker = await start(t)
  await prepare(await (await connect(t, broker)).channel())
  const driver = await connect(t, broker)
  const channel = await driver.channel()
  await transact(channel)
  const { cursor } = broker.core.queues.get('/', 'in') ?? {}
  assert.equal(cursor?.inFlightCount, messages)
  const committed = channel.txCommit()
  void committed.catch(() => {})
  const out = broker.core.queues.get('/', 'out')
  while (out?.comingCount === 0) await new Promise(resolve => setImmediate(resolve))
  broker.core.connections.list().at(-1)?.close('now')
  assert(out?.readyCount === 0, 'it is not over yet')
  await countBecomes(broker, 'out', messages)
  while (broker.core.connections.list().length > 1) await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual([cursor.ackedCount, cursor.inFlightCount, cursor.returnedCount], [messages, 0, 0])
})

test('a commit of many messages that are refused in part says so', async t => {
  const channel = await channelOf(t)
  await channel.declare('small', {
    arguments: [
      { name: 'x-max-length', type: 'l', value: 500n },
      { name: 'x-overflow', type: 'S', value: Buffer.from('reject-publish') },
    ],
  })
  await channel.txSelect()
  for (let at = 0; at < 1000; at++) void channel.publish('', 'small', `m${at}`)
  await assert.rejects(channel.txCommit(), /partial tx completion/)
})

test('many that are settled together let others have their turn, and what is behind waits', async t => {
  const broker = await start(t)
  await prepare(await (await connect(t, broker)).channel())
  const queue = broker.core.queues.get('/', 'in')
  const channel = await (await connect(t, broker)).channel()
  const consumer = await channel.consume('in')
  const first = await consumer.take(messages)
  await channel.cancel(consumer.tag)
  channel.nack(first.at(-1)?.deliveryTag ?? 0, { multiple: true })
  while (queue?.readyCount === 0) await new Promise(resolve => setImmediate(resolve))
  assert((queue?.readyCount ?? 0) < messages, 'it takes more than a turn')
  const again = await channel.consume('in')
  for (const how of ['requeued', 'recovered']) {
    const taken = await again.take(messages)
    assert.deepEqual(
      taken.map(({ body, redelivered }) => `${body.toString()} ${redelivered}`),
      Array.from({ length: messages }, (_, at) => `in ${at} true`),
      how,
    )
    await channel.recover()
  }
})

test('many that are acknowledged together are, though the connection ends meanwhile', async t => {
  const broker = await start(t)
  await prepare(await (await connect(t, broker)).channel())
  const { cursor } = broker.core.queues.get('/', 'in') ?? {}
  assert(cursor)
  const channel = await (await connect(t, broker)).channel()
  const taken = await (await channel.consume('in')).take(messages)
  channel.ack(taken.at(-1)?.deliveryTag ?? 0, true)
  while (cursor.ackedCount === 0) await new Promise(resolve => setImmediate(resolve))
  assert(cursor.ackedCount < messages, 'it takes more than a turn')
  broker.core.connections.list().at(-1)?.close('now')
  while (broker.core.connections.list().length > 1) await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual([cursor.ackedCount, cursor.inFlightCount, cursor.returnedCount], [messages, 0, 0])
})

test('a commit that a full disk has no room for takes no effect, and closes its channel', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('in')
  await channel.declare('out')
  await channel.publish('', 'in', 'one')
  await countBecomes(broker, 'in', 1)
  await channel.txSelect()
  const got = await channel.get('in')
  await channel.publish('', 'out', got?.body ?? '')
  channel.ack(got?.deliveryTag ?? 0)
  await channel.settled()
  let isFull = true
  Object.defineProperty(broker.core.ledger, 'full', { get: () => isFull, configurable: true })
  await assert.rejects(channel.txCommit(), { code: 406 })
  isFull = false
  await countBecomes(broker, 'in', 1)
  assert.equal(broker.core.queues.get('/', 'out')?.readyCount, 0)
})
