import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { createClient } from 'redis'
import { startBroker, type RunningBroker } from '@dragoman/broker'

async function world(t: TestContext): Promise<{ broker: RunningBroker; open: () => Redis }> {
  const broker = await startBroker({ data: 'memory', resp: 0, kafka: 0 })
  const clients: Redis[] = []
  t.after(async () => {
    for (const client of clients) client.disconnect()
    await broker.close()
  })
  return {
    broker,
    open: () => {
      const client = new Redis(broker.port('resp'), '127.0.0.1', { maxRetriesPerRequest: 1 })
      clients.push(client)
      return client
    },
  }
}

type Read = [string, [string, string[]][]][] | null

test('ioredis: a group of workers, one of which dies, does all the work once', async t => {
  const { open } = await world(t)
  const [producer, dying, living] = [open(), open(), open()]
  await producer.xgroup('CREATE', 'work', 'workers', '$', 'MKSTREAM')
  const pipeline = producer.pipeline()
  for (let at = 0; at < 100; at++) pipeline.xadd('work', '*', 'number', at)
  await pipeline.exec()
  const first = (await dying.xreadgroup('GROUP', 'workers', 'dying', 'COUNT', 10, 'STREAMS', 'work', '>')) as Read
  assert.equal(first?.[0]?.[1].length, 10)
  dying.disconnect()
  const done: number[] = []
  const finish = async (entries: [string, string[]][]): Promise<void> => {
    for (const [id, [, number]] of entries) {
      done.push(Number(number))
      assert.equal(await living.xack('work', 'workers', id), 1)
    }
  }
  for (;;) {
    const words = ['COUNT', 7, 'BLOCK', 100, 'STREAMS', 'work', '>'] as const
    const read = (await living.xreadgroup('GROUP', 'workers', 'living', ...words)) as Read
    if (!read) break
    await finish(read[0]?.[1] ?? [])
  }
  const [next, claimed] = (await living.xautoclaim('work', 'workers', 'living', 0, '0')) as [string, Read & []]
  assert.equal(next, '0-0')
  await finish(claimed as unknown as [string, string[]][])
  assert.deepEqual(
    done.sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, at) => at),
  )
  assert.deepEqual(await producer.xpending('work', 'workers'), [0, null, null, null])
})

test('node-redis: streams and groups over RESP3', async t => {
  const { broker } = await world(t)
  const client = createClient({ url: `redis://127.0.0.1:${broker.port('resp')}`, RESP: 3 })
  client.on('error', () => {})
  await client.connect()
  t.after(() => client.destroy())
  const ids = await Promise.all(['a', 'b', 'c'].map(name => client.xAdd('s', '*', { name, body: `of ${name}` })))
  assert.equal(await client.xLen('s'), 3)
  const all = (await client.xRange('s', '-', '+')) ?? []
  assert.deepEqual(
    all.map(({ id, message }) => [id, { ...message }]),
    ids.map((id, at) => [id, { name: 'abc'[at], body: `of ${'abc'[at]}` }]),
  )
  await client.xGroupCreate('s', 'g', '0')
  const read = (await client.xReadGroup('g', 'one', { key: 's', id: '>' }, { COUNT: 2 })) as unknown
  assert.equal(JSON.stringify(read).match(/"id"/g)?.length, 2)
  const pending = await client.xPending('s', 'g')
  assert.equal(pending.pending, 2)
  assert.deepEqual(
    pending.consumers?.map(({ name, deliveriesCounter }) => [name, deliveriesCounter]),
    [['one', 2]],
  )
  assert.equal(await client.xAck('s', 'g', ids), 2)
  const [group] = await client.xInfoGroups('s')
  assert.equal(group?.name, 'g')
  assert.equal(group?.lag, 1)
  assert.equal(await client.xDel('s', ids[0] ?? ''), 1)
  assert.equal(await client.xTrim('s', 'MAXLEN', 1), 1)
  const info = await client.xInfoStream('s')
  assert.equal(info.length, 1)
  assert.equal(info['last-generated-id'], ids[2])
})

test('kafkajs and ioredis: records are entries, and entries are records', async t => {
  const { broker, open } = await world(t)
  const redis = open()
  const kafka = new Kafka({ brokers: [`127.0.0.1:${broker.port('kafka')}`], logLevel: logLevel.NOTHING })
  await redis.xadd('orders', '*', 'body', 'from redis', 'key', 'k1', 'origin', 'redis')
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({
    topic: 'orders',
    messages: [{ key: 'k2', value: 'from kafka', headers: { origin: 'kafka' } }],
  })
  await producer.disconnect()
  const entries = await redis.xrange('orders', '-', '+')
  assert.deepEqual(
    entries.map(([, fields]) => fields),
    [
      ['body', 'from redis', 'key', 'k1', 'origin', 'redis'],
      ['key', 'k2', 'body', 'from kafka', 'origin', 'kafka'],
    ],
  )
  const consumer = kafka.consumer({ groupId: 'g' })
  await consumer.connect()
  t.after(() => consumer.disconnect())
  await consumer.subscribe({ topic: 'orders', fromBeginning: true })
  const seen: string[][] = []
  await new Promise<void>(resolve => {
    void consumer.run({
      eachMessage: async ({ message: { key, value, headers } }) => {
        if (seen.push([String(key), String(value), String(headers?.['origin'])]) === 2) resolve()
      },
    })
  })
  assert.deepEqual(seen, [
    ['k1', 'from redis', 'redis'],
    ['k2', 'from kafka', 'kafka'],
  ])
})
