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
async function publish({ core }: RunningBroker, key: string | null, value: string): Promise<void> {
  const message = { key: key === null ? null : Buffer.from(key), value: Buffer.from(value) }
  const destination = { kind: 'topic', namespace, name: 'orders' } as const
  await new Promise<void>(resolve => core.router.deliver([destination], '', message, () => resolve()))
}

async function countBecomes({ core }: RunningBroker, name: string, count: number): Promise<void> {
  const deadline = Date.now() + 10_000
  while ((core.queues.get(namespace, name)?.readyCount ?? 0) < count && Date.now() < deadline) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
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
  await new Promise(resolve => setTimeout(resolve, 100))
  const [stream] = core.topics.get(namespace, 'orders')?.partitions ?? []
  // The record, and its copy that came by the exchange.
  assert.equal(stream !== undefined && core.cell.bounds(stream)?.endOffset, 2)
  await countBecomes(broker, 'q', 1)
  // A topic of the same name is fed, too.
  await core.topics.remove(namespace, 'orders')
  await core.topics.create(namespace, 'orders', { partitions: 1 })
  await publish(broker, 'b', 'of the new one')
  await countBecomes(broker, 'q', 2)
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
