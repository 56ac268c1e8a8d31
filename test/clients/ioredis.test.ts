import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { startBroker } from '@dragoman/broker'

async function world(t: TestContext): Promise<() => Redis> {
  const broker = await startBroker({ data: 'memory', resp: 0 })
  const clients: Redis[] = []
  t.after(async () => {
    for (const client of clients) client.disconnect()
    await broker.close()
  })
  return () => {
    const client = new Redis(broker.port('resp'), '127.0.0.1', { maxRetriesPerRequest: 1 })
    clients.push(client)
    return client
  }
}

test('ioredis: a worker takes from a list what others push, one for each', async t => {
  const open = await world(t)
  const [producer, worker] = [open(), open()]
  const taken: string[] = []
  const working = (async () => {
    while (taken.length < 100) {
      const item = await worker.brpoplpush('jobs', 'busy', 5)
      assert(item !== null)
      taken.push(item)
      await worker.lrem('busy', 1, item)
    }
  })()
  const pipeline = producer.pipeline()
  for (let at = 0; at < 100; at++) pipeline.lpush('jobs', `job ${at}`)
  const results = await pipeline.exec()
  assert.equal(results?.length, 100)
  await working
  assert.deepEqual(
    taken,
    Array.from({ length: 100 }, (_, at) => `job ${at}`),
  )
  assert.equal(await producer.exists('jobs', 'busy'), 0)
})

test('ioredis: subscribers of channels and patterns', async t => {
  const open = await world(t)
  const [subscriber, publisher] = [open(), open()]
  const seen: string[] = []
  const all = new Promise<void>(resolve => {
    const note = (text: string): void => {
      if (seen.push(text) === 3) resolve()
    }
    subscriber.on('message', (channel, message) => note(`${channel} ${message}`))
    subscriber.on('pmessage', (pattern, channel, message) => note(`${pattern} ${channel} ${message}`))
  })
  await subscriber.subscribe('news')
  await subscriber.psubscribe('n?ws*')
  assert.equal(await publisher.publish('news', 'one'), 2)
  assert.equal(await publisher.publish('news.local', 'two'), 1)
  await all
  assert.deepEqual(seen, ['news one', 'n?ws* news one', 'n?ws* news.local two'])
})

test('ioredis: a lock that ends by itself, and a transaction', async t => {
  const open = await world(t)
  const client = open()
  const lock = (owner: string) => client.set('lock', owner, 'PX', 100, 'NX')
  assert.deepEqual(await Promise.all([lock('me'), lock('you')]), ['OK', null])
  while ((await lock('you')) === null) await new Promise(resolve => setTimeout(resolve, 5))
  await client.set('lock', 'you')
  assert.deepEqual(await client.multi().incr('n').incrby('n', 5).rpush('l', 'a', 'b').lrange('l', '0', '-1').exec(), [
    [null, 1],
    [null, 6],
    [null, 2],
    [null, ['a', 'b']],
  ])
  const keys: string[] = []
  for await (const some of client.scanStream({ match: '*', count: 2 })) keys.push(...(some as string[]))
  assert.deepEqual(keys.sort(), ['l', 'lock', 'n'])
})

test('ioredis: channels of shards', async t => {
  const open = await world(t)
  const [subscriber, other, publisher] = [open(), open(), open()]
  const seen: string[] = []
  const both = new Promise<void>(resolve => {
    subscriber.on('smessage', (channel, message) => {
      if (seen.push(`${channel} ${message}`) === 2) resolve()
    })
  })
  // No ordinary subscriber hears of them, whatever it has asked for.
  const ordinary: string[] = []
  other.on('pmessage', (_pattern, _channel, message) => ordinary.push(message))
  await other.psubscribe('*')
  assert.equal(await subscriber.ssubscribe('a', 'b'), 2)
  assert.equal(await publisher.spublish('a', 'one'), 1)
  assert.equal(await publisher.publish('a', 'ordinary'), 1)
  assert.equal(await publisher.spublish('b', 'two'), 1)
  await both
  assert.deepEqual(seen, ['a one', 'b two'])
  await other.punsubscribe()
  assert.deepEqual(ordinary, ['ordinary'])
  assert.deepEqual(((await publisher.call('PUBSUB', 'SHARDCHANNELS')) as string[]).toSorted(), ['a', 'b'])
  assert.deepEqual(await publisher.call('PUBSUB', 'SHARDNUMSUB', 'a', 'none'), ['a', 1, 'none', 0])
  assert.equal(await subscriber.sunsubscribe('a'), 1)
  assert.equal(await publisher.spublish('a', 'nobody'), 0)
  assert.equal(await subscriber.sunsubscribe(), 0)
  assert.deepEqual(await publisher.call('PUBSUB', 'SHARDCHANNELS'), [])
})
