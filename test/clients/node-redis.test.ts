import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { createClient } from 'redis'
import { startBroker } from '@dragoman/broker'

type Client = ReturnType<typeof connected> extends Promise<infer C> ? C : never

// eslint-disable-next-line typescript/explicit-function-return-type -- The types of this client are its own affair.
async function connected(port: number) {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP: 3 })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function world(t: TestContext): Promise<() => Promise<Client>> {
  const broker = await startBroker({ data: 'memory', resp: 0 })
  const clients: Client[] = []
  t.after(async () => {
    for (const client of clients) client.destroy()
    await broker.close()
  })
  return async () => {
    const client = await connected(broker.port('resp'))
    clients.push(client)
    return client
  }
}

test('node-redis with RESP3: lists, and who waits for them', async t => {
  const open = await world(t)
  const [client, waiter] = [await open(), await open()]
  const waiting = waiter.blPop('l', 5)
  assert.equal(await client.rPush('l', ['a', 'b', 'c']), 3)
  assert.deepEqual({ ...(await waiting) }, { key: 'l', element: 'a' })
  assert.equal(await client.lMove('l', 'm', 'LEFT', 'RIGHT'), 'b')
  assert.deepEqual(await client.lRange('l', 0, -1), ['c'])
  assert.deepEqual(await client.lPopCount('m', 5), ['b'])
})

test('node-redis with RESP3: channels, keys and transactions', async t => {
  const open = await world(t)
  const [client, subscriber] = [await open(), await open()]
  const seen = new Promise<string>(resolve => void subscriber.subscribe('news', message => resolve(message)))
  while ((await client.publish('news', 'hello')) === 0) await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(await seen, 'hello')
  // The connection goes on to be used for commands.
  assert.equal(await subscriber.set('k', 'v', { expiration: { type: 'EX', value: 100 } }), 'OK')
  assert.equal(await client.ttl('k'), 100)
  const results = await client.multi().incr('n').get('k').exec()
  assert.deepEqual(results, [1, 'v'])
})

test('node-redis with RESP3: channels of shards', async t => {
  const open = await world(t)
  const [client, subscriber] = [await open(), await open()]
  const seen: string[] = []
  const both = new Promise<void>(resolve => {
    const note = (message: string, channel: string): void => {
      if (seen.push(`${channel} ${message}`) === 2) resolve()
    }
    void subscriber.sSubscribe(['a', 'b'], note)
  })
  while ((await client.pubSubShardNumSub(['b']))['b'] !== 1) await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(await client.sPublish('a', 'one'), 1)
  assert.equal(await client.sPublish('b', 'two'), 1)
  await both
  assert.deepEqual(seen, ['a one', 'b two'])
  assert.deepEqual((await client.pubSubShardChannels()).toSorted(), ['a', 'b'])
  await subscriber.sUnsubscribe('a')
  assert.equal(await client.sPublish('a', 'nobody'), 0)
  await subscriber.sUnsubscribe()
  assert.deepEqual(await client.pubSubShardChannels('*'), [])
})
