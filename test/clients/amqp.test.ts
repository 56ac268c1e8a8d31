import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { AMQPClient } from '@cloudamqp/amqp-client'
import { Connection } from 'rabbitmq-client'
import { startBroker } from '@dragoman/broker'

const options = { timeout: 120_000 }

test(
  'rabbitmq-client: publisher and consumer go on after the broker was restarted, and nothing is lost',
  options,
  async t => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-clients-'))
    t.after(() => rmSync(data, { recursive: true, force: true }))
    let broker = await startBroker({ data, amqp: 0 })
    const port = broker.port('amqp')
    const connections = [0, 1].map(() => {
      const url = `amqp://guest:guest@127.0.0.1:${port}`
      return new Connection({ url, retryLow: 20, retryHigh: 50 }).on('error', () => undefined)
    })
    const [publishing, consuming] = connections
    assert(publishing && consuming)
    const seen = new Set<number>()
    const count = 200
    const publisher = publishing.createPublisher({
      confirm: true,
      maxAttempts: 50,
      queues: [{ queue: 'orders', durable: true }],
    })
    let done = (): void => {}
    const all = new Promise<void>(resolve => (done = resolve))
    const consumer = consuming.createConsumer(
      { queue: 'orders', queueOptions: { durable: true }, qos: { prefetchCount: 5 } },
      message => {
        seen.add((message.body as { number: number }).number)
        if (seen.size === count) done()
      },
    )
    consumer.on('error', () => undefined)
    const send = async (from: number, to: number): Promise<void> => {
      for (let number = from; number < to; number++) {
        await publisher.send({ routingKey: 'orders', durable: true }, { number })
      }
    }
    await send(0, count / 2)
    await broker.close()
    const rest = send(count / 2, count)
    broker = await startBroker({ data, amqp: port })
    await rest
    await all
    await publisher.close()
    await consumer.close()
    await Promise.all(connections.map(connection => connection.close()))
    await broker.close()
  },
)

test('rabbitmq-client: an RPC client and its server', options, async t => {
  const broker = await startBroker({ data: 'memory', amqp: 0 })
  t.after(() => broker.close())
  const rabbit = new Connection(`amqp://guest:guest@127.0.0.1:${broker.port('amqp')}`)
  const server = rabbit.createConsumer({ queue: 'double' }, async (message, reply) => {
    await reply((message.body as number) * 2)
  })
  await new Promise<void>(resolve => server.on('ready', () => resolve()))
  const client = rabbit.createRPCClient({ confirm: true })
  const answers = await Promise.all([1, 2, 3].map(number => client.send('double', number)))
  assert.deepEqual(
    answers.map(answer => answer.body as number),
    [2, 4, 6],
  )
  await client.close()
  await server.close()
  await rabbit.close()
})

test('@cloudamqp/amqp-client: publish, consume, get, transactions', options, async t => {
  const broker = await startBroker({ data: 'memory', amqp: 0 })
  t.after(() => broker.close())
  const client = new AMQPClient(`amqp://127.0.0.1:${broker.port('amqp')}`)
  const connection = await client.connect()
  const channel = await connection.channel()
  await channel.queueDeclare('q', { durable: true })
  await channel.confirmSelect()
  const big = Buffer.alloc(300_000, 'x')
  await channel.basicPublish('', 'q', big, { deliveryMode: 2, headers: { kind: 'big' } })
  const got = await channel.basicGet('q', { noAck: true })
  assert.equal(got?.bodySize, big.length)
  assert.deepEqual(Buffer.from(got.body ?? []), big)
  assert.equal(got.properties.headers?.['kind'], 'big')
  const bodies: string[] = []
  const both = new Promise<void>(resolve => {
    void channel.basicConsume('q', { noAck: false }, message => {
      bodies.push(message.bodyString() ?? '')
      void message.ack()
      if (bodies.length === 2) resolve()
    })
  })
  const other = await connection.channel()
  await other.txSelect()
  await other.basicPublish('', 'q', 'rolled back')
  await other.txRollback()
  await other.basicPublish('', 'q', 'one')
  await other.basicPublish('', 'q', 'two')
  await other.txCommit()
  await both
  assert.deepEqual(bodies, ['one', 'two'])
  await connection.close()
})
