import assert from 'node:assert/strict'
import test from 'node:test'
import { homeNamespace } from '../../core/broker.ts'
import type { RunningBroker } from '../../main.ts'
import { makeBatch, type NewRecord } from '../../storage/record-batch.ts'
import type { DriverChannel, Received, Refusal } from './driver.ts'
import { channelOf, connect, start } from './testing/bench.ts'
import { fieldOf, type FieldValue, type Table } from './table.ts'

const text = (value: string): FieldValue => ({ type: 'S', value })
const args = (fields: Record<string, FieldValue>): Table =>
  Object.entries(fields).map(([name, field]) => ({ name, ...field }))
const stream = { arguments: args({ 'x-queue-type': text('stream') }) }
const from = (field: FieldValue) => ({ arguments: args({ 'x-stream-offset': field }) })

const bodies = (messages: readonly Received[]): string[] => messages.map(({ body }) => String(body))
const header = ({ properties }: Received, name: string): unknown => fieldOf(properties.headers ?? [], name)?.value

async function publish(channel: DriverChannel, queue: string, values: readonly string[], more = {}): Promise<void> {
  for (const value of values) assert.equal(await channel.publish('', queue, value, more), true)
}

/** As a client of a log would: without anything of this protocol. */
async function append(broker: RunningBroker, name: string, partition: number, records: NewRecord[]): Promise<void> {
  const { topics, cell } = broker.core
  const id = topics.get(homeNamespace, name)?.partitions[partition] ?? assert.fail('no partition')
  const { error } = await new Promise<{ error?: string }>(done => cell.append(id, makeBatch(records), done))
  assert.equal(error, undefined)
}

async function refusalOf(run: Promise<unknown>, channel: DriverChannel): Promise<Refusal> {
  run.catch(() => {})
  return channel.closed()
}

test('consumers of a stream get every message from where they begin, with its offset', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  assert.equal((await channel.declare('log', stream)).messageCount, 0)
  await publish(channel, 'log', ['a', 'b', 'c'], { contentType: 'text/plain' })
  await channel.qos(10)
  const first = await channel.consume('log', from(text('first')))
  const second = await channel.consume('log', from({ type: 'l', value: 1n }))
  const next = await channel.consume('log', from(text('next')))
  const all = await first.take(3)
  assert.deepEqual(bodies(all), ['a', 'b', 'c'])
  assert.deepEqual(
    all.map(message => header(message, 'x-stream-offset')),
    [0n, 1n, 2n],
  )
  assert.deepEqual([all[0]?.properties.contentType, all[0]?.routingKey, all[0]?.exchange], ['text/plain', 'log', ''])
  assert.deepEqual(bodies(await second.take(2)), ['b', 'c'])
  await publish(channel, 'log', ['d'])
  for (const consumer of [first, second, next]) assert.deepEqual(bodies([await consumer.next()]), ['d'])
  assert.equal((await channel.declare('log', { ...stream, passive: true })).messageCount, 4, 'nothing was taken')
})

test('a consumer of a stream holds no more than its prefetch, and acknowledges for more', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('log', stream)
  await channel.qos(2)
  const consumer = await channel.consume('log', from(text('first')))
  await publish(channel, 'log', ['a', 'b', 'c', 'd'])
  const [a, b] = await consumer.take(2)
  await channel.settled()
  assert.equal(consumer.waiting.length, 0)
  channel.ack(a?.deliveryTag ?? 0)
  assert.deepEqual(bodies([await consumer.next()]), ['c'])
  channel.ack(b?.deliveryTag ?? 0)
  assert.deepEqual(bodies([await consumer.next()]), ['d'])
})

test('who filters gets what was published for it', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('log', stream)
  await channel.qos(1)
  const filter = { 'x-stream-offset': text('first'), 'x-stream-filter': text('eu') }
  const consumer = await channel.consume('log', { arguments: args(filter) })
  const loose = args({ ...filter, 'x-stream-match-unfiltered': { type: 't', value: true } })
  const more = await channel.consume('log', { arguments: loose, noAck: true })
  for (const value of ['eu', 'us', '', 'eu']) {
    const headers = value === '' ? [] : args({ 'x-stream-filter-value': text(value) })
    assert(await channel.publish('', 'log', value || 'none', { headers }))
  }
  assert.deepEqual(bodies(await more.take(3)), ['eu', 'none', 'eu'])
  const one = await consumer.next()
  channel.ack(one.deliveryTag)
  assert.deepEqual(bodies([one, await consumer.next()]), ['eu', 'eu'])
})

test('consumers of a group share a topic: each message is taken once, and comes back when it is given back', async t => {
  const broker = await start(t)
  await broker.core.topics.create(homeNamespace, 'orders', { partitions: 2 })
  const one = await (await connect(t, broker)).channel()
  const two = await (await connect(t, broker)).channel()
  await one.qos(2)
  await two.qos(2)
  const group = { arguments: args({ 'x-group': text('workers') }) }
  const consumerOne = await one.consume('orders', group)
  const consumerTwo = await two.consume('orders', group)
  const record = (value: string): NewRecord => ({ value: Buffer.from(value), timestampMs: 1 })
  await append(broker, 'orders', 0, [record('a'), record('b')])
  await append(broker, 'orders', 1, [record('c'), record('d')])
  const [held, other] = [await consumerOne.take(2), await consumerTwo.take(2)]
  assert.deepEqual(bodies([...held, ...other]).sort(), ['a', 'b', 'c', 'd'])
  for (const { deliveryTag } of other) two.ack(deliveryTag)
  one.ack(held[0]?.deliveryTag ?? 0)
  one.nack(held[1]?.deliveryTag ?? 0, { requeue: true })
  await one.cancel(consumerOne.tag)
  const again = await Promise.race([consumerTwo.next(), consumerOne.next()])
  assert.deepEqual([String(again.body), again.redelivered], [String(held[1]?.body), true])
})

test('what a group gives up of a log goes to a queue, with its history', async t => {
  const broker = await start(t)
  await broker.core.topics.create(homeNamespace, 'orders')
  const channel = await (await connect(t, broker)).channel()
  await channel.qos(1)
  await channel.declare('failed')
  const given = {
    'x-group': text('workers'),
    'x-dead-letter-exchange': text(''),
    'x-dead-letter-routing-key': text('failed'),
  }
  const consumer = await channel.consume('orders', { arguments: args(given) })
  const failed = await channel.consume('failed')
  const headers = [{ key: 'trace', value: Buffer.from('7') }]
  await append(broker, 'orders', 0, [
    { key: Buffer.from('k'), value: Buffer.from('bad'), headers, timestampMs: 1000 },
    { value: Buffer.from('poison'), timestampMs: 1000 },
    { value: Buffer.from('good'), timestampMs: 1000 },
  ])
  channel.reject((await consumer.next()).deliveryTag, false)
  const bad = await failed.next()
  assert.deepEqual([String(bad.body), String(header(bad, 'trace'))], ['bad', '7'])
  assert.deepEqual([header(bad, 'x-first-death-queue'), header(bad, 'x-first-death-reason')], ['orders', 'rejected'])
  channel.ack(bad.deliveryTag)
  for (let round = 0; round < 5; round++) {
    const poison = await consumer.next()
    assert.equal(String(poison.body), 'poison')
    channel.reject(poison.deliveryTag, true)
  }
  assert.equal(String((await consumer.next()).body), 'good')
  const poison = await failed.next()
  assert.deepEqual([String(poison.body), header(poison, 'x-first-death-reason')], ['poison', 'delivery_limit'])
})

test('records of logs have their keys and headers, and tell their partition', async t => {
  const broker = await start(t)
  await broker.core.topics.create(homeNamespace, 'events', { partitions: 2 })
  const channel = await (await connect(t, broker)).channel()
  const consumer = await channel.consume('events', from(text('first')))
  const headers = [
    { key: 'content-type', value: Buffer.from('application/json') },
    { key: 'trace', value: Buffer.from('7') },
  ]
  await append(broker, 'events', 1, [
    { key: Buffer.from('user 1'), value: Buffer.from('{}'), headers, timestampMs: 5000 },
  ])
  const message = await consumer.next()
  assert.deepEqual([message.routingKey, message.properties.contentType], ['user 1', 'application/json'])
  assert.equal(message.properties.timestamp, 5)
  assert.deepEqual([header(message, 'x-stream-partition'), header(message, 'x-stream-offset')], [1, 0n])
  assert.equal(String(header(message, 'trace')), '7')
})

test('a consumer is told when its topic is gone, and what a stream cannot do is refused', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  const channel = await driver.channel()
  await channel.declare('log', stream)
  const consumer = await channel.consume('log', from(text('first')))
  await channel.deleteQueue('log')
  while (channel.cancelled.length === 0) await channel.settled()
  assert.deepEqual(channel.cancelled, [consumer.tag])
  await channel.declare('log', stream)
  const worse = await driver.channel()
  const refusal = await refusalOf(worse.consume('log', from(text('soon'))), worse)
  assert.match(refusal.message, /invalid arg 'x-stream-offset'/)
  // This one ends the connection.
  await assert.rejects(channel.get('log'), /NOT_IMPLEMENTED - basic\.get not supported by stream queues/)
})
