import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import Jackd from 'jackd'
import { startBroker } from '@dragoman/broker'

const options = { timeout: 20_000 }
// Its module is CommonJS and its types are not: the class is the whole export at run time, or its member `default`.
const Client = ((Jackd as unknown as { default?: typeof Jackd }).default ?? Jackd) as unknown as typeof Jackd.default

async function start(t: TestContext, count: number): Promise<InstanceType<typeof Client>[]> {
  const broker = await startBroker({ data: 'memory', beanstalk: 0 })
  const clients = await Promise.all(
    Array.from({ length: count }, () => new Client().connect({ host: '127.0.0.1', port: broker.port('beanstalk') })),
  )
  t.after(async () => {
    for (const client of clients) client.socket.destroy()
    await broker.close()
  })
  return clients
}

test('jackd: urgent jobs first, delayed ones in time, and what is deleted is gone', options, async t => {
  const [producer, worker] = await start(t, 2)
  assert(producer && worker)
  await producer.use('mail')
  await worker.watch('mail')
  await worker.ignore('default')
  await producer.put('later', { delay: 1, priority: 0 })
  await producer.put('second', { priority: 20 })
  await producer.put('first', { priority: 10 })
  const order: string[] = []
  for (let index = 0; index < 3; index++) {
    const job = await worker.reserve()
    order.push(job.payload.toString())
    await worker.delete(job.id)
    await assert.rejects(worker.peek(job.id))
  }
  assert.deepEqual(order, ['first', 'second', 'later'])
})

test('jackd: a job is buried, kicked, released and touched', options, async t => {
  const [client] = await start(t, 1)
  assert(client)
  const id = await client.put('a\r\nb\0ä')
  const job = await client.reserve()
  assert.equal(job.id, id)
  assert.equal(job.payload.toString(), 'a\r\nb\0ä')
  await client.touch(id)
  await client.bury(id, 5)
  assert.equal((await client.peekBuried()).id, id)
  assert.equal(Number(await client.kick(10)), 1)
  await client.reserve()
  await client.release(id, { priority: 1, delay: 0 })
  assert.equal((await client.reserveWithTimeout(0)).id, id)
  await client.delete(id)
  await assert.rejects(client.reserveWithTimeout(0))
})

test('jackd: what a worker holds when it leaves goes to the next one', options, async t => {
  const [producer, worker, next] = await start(t, 3)
  assert(producer && worker && next)
  const id = await producer.put('job')
  assert.equal((await worker.reserve()).id, id)
  const waiting = next.reserve()
  worker.socket.destroy()
  assert.equal((await waiting).id, id)
  await next.delete(id)
})
