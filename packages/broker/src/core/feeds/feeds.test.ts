import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { BrokerError } from '../errors.ts'

const namespace = '/'
const feed = { namespace, name: 'f', topic: 'orders', exchange: 'amq.topic' }

/** Publishes to the topic itself. */
async function publish({ core }: RunningBroker, key: string | null, value: string, name = 'orders'): Promise<void> {
  const message = { key: key === null ? null : Buffer.from(key), value: Buffer.from(value) }
  const destination = { kind: 'topic', namespace, name } as const
  await new Promise<void>(resolve => core.router.deliver([destination], '', message, () => resolve()))
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!isSo() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 5))
}

async function countBecomes({ core }: RunningBroker, name: string, count: number): Promise<void> {
  await until(() => (core.queues.get(namespace, name)?.readyCount ?? 0) >= count)
  assert.equal(core.queues.get(namespace, name)?.readyCount, count)
}

async function declare({ core }: RunningBroker, name: string, key: string, exchange = 'amq.topic'): Promise<void> {
  await core.queues.declare(namespace, name)
  await core.router.bind(namespace, { source: exchange, kind: 'queue', destination: name, key })
}

test('records of a topic go to an exchange by their keys, each once, also over restarts', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-feeds-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let broker = await startBroker({ data })
  await broker.core.topics.create(namespace, 'orders', { partitions: 3 })
  await declare(broker, 'all', '#')
  await declare(broker, 'eu', 'eu.*')
  await declare(broker, 'nameless', 'orders')
  await publish(broker, 'eu.before', 'was there before')
  await broker.core.feeds.set(feed)
  for (let at = 0; at < 40; at++) await publish(broker, at % 2 === 0 ? `eu.${at}` : `us.${at}`, String(at))
  await publish(broker, null, 'without a key')
  await countBecomes(broker, 'all', 41)
  await broker.close()
  broker = await startBroker({ data })
  for (let at = 0; at < 10; at++) await publish(broker, `eu.again`, String(at))
  await countBecomes(broker, 'all', 51)
  await countBecomes(broker, 'eu', 30)
  await countBecomes(broker, 'nameless', 1)
  assert.equal(await broker.core.feeds.remove(namespace, 'f'), true)
  assert.equal(await broker.core.feeds.remove(namespace, 'f'), false)
  await publish(broker, 'eu.late', 'nobody takes it')
  // Once more, it begins with what comes then.
  await broker.core.feeds.set(feed)
  await publish(broker, 'eu.late', 'late')
  await countBecomes(broker, 'all', 52)
  await broker.close()
})

test('topic and exchange may come later, and what came by the exchange does not go back', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { core } = broker
  await core.feeds.set({ ...feed, exchange: 'later' })
  await core.topics.create(namespace, 'orders', { partitions: 1 })
  await publish(broker, 'a', 'waits')
  await new Promise(resolve => setTimeout(resolve, 100))
  await core.router.declare(namespace, 'later', { kind: 'topic' })
  await core.router.bind(namespace, { source: 'later', kind: 'topic', destination: 'orders', key: '#' })
  await declare(broker, 'q', '#', 'later')
  await countBecomes(broker, 'q', 1)
  // The record, and its copy that came by the exchange.
  await endStays(broker, 'orders', 2)
  await countBecomes(broker, 'q', 1)
  // A topic of the same name is fed, too.
  await core.topics.remove(namespace, 'orders')
  await core.topics.create(namespace, 'orders', { partitions: 1 })
  await publish(broker, 'b', 'of the new one')
  await countBecomes(broker, 'q', 2)
})

/** It becomes so, and is no more a while later. */
async function endStays(broker: RunningBroker, name: string, count: number): Promise<void> {
  await until(() => endOf(broker, name) === count)
  await new Promise(resolve => setTimeout(resolve, 200))
  assert.equal(endOf(broker, name), count)
}

/** Records that ever came to a topic of one partition. */
function endOf({ core }: RunningBroker, name: string): number | undefined {
  const [stream] = core.topics.get(namespace, name)?.partitions ?? []
  return stream === undefined ? undefined : core.cell.bounds(stream)?.endOffset
}

test('a ring of feeds ends where a record was already', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { topics, router, feeds } = broker.core
  const ring = ['a', 'b', 'c']
  for (const name of ring) {
    await topics.create(namespace, name, { partitions: 1 })
    await router.declare(namespace, `to ${name}`, { kind: 'fanout' })
    await router.bind(namespace, { source: `to ${name}`, kind: 'topic', destination: name, key: '' })
  }
  for (const [at, topic] of ring.entries()) {
    await feeds.set({ namespace, name: topic, topic, exchange: `to ${ring[(at + 1) % 3]}` })
  }
  await declare(broker, 'q', '', 'to a')
  await publish(broker, 'k', 'goes round once', 'a')
  await countBecomes(broker, 'q', 1)
  await endStays(broker, 'a', 2)
  // It comes back to where it was published, and from there goes nowhere.
  assert.deepEqual(
    ring.map(name => endOf(broker, name)),
    [2, 1, 1],
  )
  await countBecomes(broker, 'q', 1)
})

test('a ring of a feed and a queue whose messages die ends, too', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { topics, router, queues, feeds } = broker.core
  await topics.create(namespace, 'orders', { partitions: 1 })
  await router.declare(namespace, 'back', { kind: 'fanout' })
  await router.bind(namespace, { source: 'back', kind: 'topic', destination: 'orders', key: '' })
  const config = new Map([
    ['message.ttl.ms', '0'],
    ['dead.letter.exchange', 'back'],
  ])
  await queues.declare(namespace, 'brief', config)
  await router.bind(namespace, { source: 'amq.topic', kind: 'queue', destination: 'brief', key: '#' })
  await declare(broker, 'q', '#')
  await feeds.set(feed)
  await publish(broker, 'k', 'dies once')
  await countBecomes(broker, 'q', 1)
  await endStays(broker, 'orders', 2)
  await countBecomes(broker, 'q', 1)
})

test('a feed gives no record up, however long its exchange is not there', async t => {
  const broker = await startBroker({ data: 'memory', shareDeliveryLimit: 2 })
  t.after(() => broker.close())
  const { topics, router, feeds, shareGroups } = broker.core
  await topics.create(namespace, 'orders', { partitions: 1 })
  await feeds.set({ ...feed, exchange: 'later' })
  await publish(broker, 'k', 'waits')
  const partition = () => {
    const id = topics.get(namespace, 'orders')?.id ?? ''
    return shareGroups.partition({ namespace, group: '~feed f' }, id, 0)
  }
  await until(() => (partition()?.cursor.deliveryCount(0) ?? 0) >= 3)
  assert((partition()?.cursor.deliveryCount(0) ?? 0) >= 3)
  await router.declare(namespace, 'later', { kind: 'topic' })
  await declare(broker, 'q', '#', 'later')
  await countBecomes(broker, 'q', 1)
})

test('a feed is of one topic, and has an exchange', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { feeds } = broker.core
  await feeds.set(feed)
  assert.deepEqual(feeds.list(namespace), [feed])
  await assert.rejects(feeds.set({ ...feed, topic: 'other' }), BrokerError)
  await assert.rejects(feeds.set({ ...feed, name: 'g', exchange: '' }), BrokerError)
  await assert.rejects(feeds.set({ ...feed, namespace: 'none', name: 'g' }), BrokerError)
  assert.deepEqual(feeds.list(), [feed])
})
