import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import amqplib, { type Channel, type ConsumeMessage, type GetMessage } from 'amqplib'
import { startBroker } from '@dragoman/broker'

const options = { timeout: 120_000 }

interface Client {
  connect(): Promise<amqplib.ChannelModel>
  channel(): Promise<Channel>
  /** A new connection, and what cuts it. */
  frail(): Promise<[amqplib.ChannelModel, () => void]>
}

/** A broker of its own, and connections that end with the test. */
async function start(t: TestContext): Promise<Client> {
  const broker = await startBroker({ data: 'memory', amqp: 0 })
  const open: amqplib.ChannelModel[] = []
  const dial = async (): Promise<amqplib.ChannelModel> => {
    const connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${broker.port('amqp')}`)
    connection.on('error', () => undefined)
    return connection
  }
  const connect = async (): Promise<amqplib.ChannelModel> => {
    const connection = await dial()
    open.push(connection)
    return connection
  }
  t.after(async () => {
    await Promise.all(open.map(connection => connection.close().catch(() => undefined)))
    await broker.close()
  })
  return {
    connect,
    channel: async () => (await connect()).createChannel(),
    async frail() {
      const connection = await dial()
      const { stream } = connection.connection as unknown as { stream: Socket }
      return [connection, () => stream.destroy(new Error('cut'))]
    },
  }
}

/** Collects what is delivered; `next` waits for it. */
function inbox(): { take(message: ConsumeMessage | null): void; next(): Promise<ConsumeMessage> } {
  const came: ConsumeMessage[] = []
  const waiting: ((message: ConsumeMessage) => void)[] = []
  return {
    take(message) {
      assert(message)
      const waiter = waiting.shift()
      if (waiter) waiter(message)
      else came.push(message)
    },
    next() {
      const message = came.shift()
      return message ? Promise.resolve(message) : new Promise(resolve => waiting.push(resolve))
    },
  }
}

const text = (message: GetMessage | false): string => {
  assert(message)
  return message.content.toString()
}

test('amqplib: workers share a queue, each with one task at a time', options, async t => {
  const { channel } = await start(t)
  const boss = await channel()
  const { queue } = await boss.assertQueue('tasks')
  const names: string[] = []
  const workers = await Promise.all([channel(), channel()])
  const all = new Promise<void>(resolve => {
    for (const [index, worker] of workers.entries()) {
      void worker.prefetch(1)
      void worker.consume(queue, message => {
        assert(message)
        // The first one is slow: the other takes most of the work.
        const work = (): void => {
          worker.ack(message)
          names.push(`${index} ${message.content.toString()}`)
          if (names.length === 20) resolve()
        }
        setTimeout(work, index === 0 ? 40 : 1)
      })
    }
  })
  for (let task = 0; task < 20; task++) boss.sendToQueue(queue, Buffer.from(String(task)), { persistent: true })
  await all
  const done = names.map(name => Number(name.split(' ')[1])).toSorted((a, b) => a - b)
  assert.deepEqual(
    done,
    Array.from({ length: 20 }, (_, task) => task),
  )
  for (const worker of ['0', '1']) assert(names.some(name => name.startsWith(worker)))
})

test('amqplib: what a worker holds when its connection is lost goes to another, marked', options, async t => {
  const { channel, frail } = await start(t)
  const boss = await channel()
  await boss.assertQueue('tasks')
  boss.sendToQueue('tasks', Buffer.from('a'))
  const [lost, cut] = await frail()
  const worker = await lost.createChannel()
  const first = inbox()
  await worker.consume('tasks', message => first.take(message))
  assert.equal((await first.next()).fields.redelivered, false)
  cut()
  const second = inbox()
  await boss.consume('tasks', message => second.take(message))
  const again = await second.next()
  assert.equal(again.content.toString(), 'a')
  assert.equal(again.fields.redelivered, true)
  boss.ack(again)
})

test('amqplib: fanout, topic and headers exchanges, and one bound to another', options, async t => {
  const ch = await (await start(t)).channel()
  await ch.assertExchange('news', 'fanout', { durable: false })
  await ch.assertExchange('events', 'topic')
  await ch.assertExchange('typed', 'headers')
  await ch.bindExchange('news', 'events', 'alarm.#')
  const bound = async (exchange: string, pattern: string, args = {}): Promise<string> => {
    const { queue } = await ch.assertQueue('', { exclusive: true })
    await ch.bindQueue(queue, exchange, pattern, args)
    return queue
  }
  const [everything, alarms, europe] = [
    await bound('news', ''),
    await bound('events', 'alarm.*.high'),
    await bound('typed', '', { 'x-match': 'all', region: 'eu', size: 3 }),
  ]
  ch.publish('events', 'alarm.fire.high', Buffer.from('1'))
  ch.publish('events', 'alarm.fire.low', Buffer.from('2'))
  ch.publish('events', 'weather', Buffer.from('3'))
  ch.publish('typed', '', Buffer.from('4'), { headers: { region: 'eu', size: 3, more: true } })
  ch.publish('typed', '', Buffer.from('5'), { headers: { region: 'eu', size: 4 } })
  assert.equal(text(await ch.get(everything, { noAck: true })), '1')
  assert.equal(text(await ch.get(everything, { noAck: true })), '2')
  assert.equal(await ch.get(everything), false)
  assert.equal(text(await ch.get(alarms, { noAck: true })), '1')
  assert.equal(await ch.get(alarms), false)
  assert.equal(text(await ch.get(europe, { noAck: true })), '4')
  assert.equal(await ch.get(europe), false)
})

test('amqplib: a call by direct reply-to', options, async t => {
  const { channel } = await start(t)
  const server = await channel()
  await server.assertQueue('rpc')
  await server.consume('rpc', message => {
    assert(message)
    const { replyTo, correlationId } = message.properties as { replyTo: string; correlationId: string }
    const answer = String(Number(message.content.toString()) ** 2)
    server.sendToQueue(replyTo, Buffer.from(answer), { correlationId })
    server.ack(message)
  })
  const client = await channel()
  const answers = inbox()
  await client.consume('amq.rabbitmq.reply-to', message => answers.take(message), { noAck: true })
  for (const [id, question] of [
    ['a', '3'],
    ['b', '12'],
  ] as const) {
    client.sendToQueue('rpc', Buffer.from(question), { replyTo: 'amq.rabbitmq.reply-to', correlationId: id })
  }
  const [first, second] = [await answers.next(), await answers.next()]
  assert.deepEqual([first.properties.correlationId, first.content.toString()], ['a', '9'])
  assert.deepEqual([second.properties.correlationId, second.content.toString()], ['b', '144'])
})

test('amqplib: confirms come, and what cannot be routed is returned before its own', options, async t => {
  const { connect } = await start(t)
  const ch = await (await connect()).createConfirmChannel()
  await ch.assertQueue('q')
  const order: string[] = []
  ch.on('return', (message: GetMessage) => order.push(`returned ${message.content.toString()}`))
  const confirmed = new Promise<void>((resolve, reject) => {
    ch.publish('', 'nowhere', Buffer.from('lost'), { mandatory: true }, error => {
      order.push('confirmed')
      if (error === null) resolve()
      else reject(new Error('it was refused', { cause: error }))
    })
  })
  await confirmed
  assert.deepEqual(order, ['returned lost', 'confirmed'])
  for (let number = 0; number < 1000; number++) ch.sendToQueue('q', Buffer.from(String(number)))
  await ch.waitForConfirms()
  assert.equal((await ch.checkQueue('q')).messageCount, 1000)
})

test(
  'amqplib: messages that are rejected, or live too long, are dead-lettered with their history',
  options,
  async t => {
    const ch = await (await start(t)).channel()
    await ch.assertExchange('dead', 'direct')
    await ch.assertQueue('graveyard')
    await ch.bindQueue('graveyard', 'dead', 'work')
    await ch.assertQueue('work', { deadLetterExchange: 'dead' })
    await ch.assertQueue('short', { deadLetterExchange: 'dead', deadLetterRoutingKey: 'work', messageTtl: 20 })
    const dead = inbox()
    await ch.consume('graveyard', message => dead.take(message), { noAck: true })
    ch.sendToQueue('work', Buffer.from('poison'), { headers: { kept: 'yes' } })
    const poison = await ch.get('work')
    assert(poison)
    ch.reject(poison, false)
    const buried = await dead.next()
    assert.equal(buried.content.toString(), 'poison')
    const headers = buried.properties.headers ?? {}
    assert.equal(headers['kept'], 'yes')
    assert.equal(headers['x-first-death-reason'], 'rejected')
    const [death] = headers['x-death'] ?? []
    assert.deepEqual([death?.queue, death?.reason, death?.count], ['work', 'rejected', 1])
    ch.sendToQueue('short', Buffer.from('late'))
    assert.equal((await dead.next()).properties.headers?.['x-first-death-reason'], 'expired')
    ch.sendToQueue('work', Buffer.from('soon'), { expiration: '20' })
    assert.equal((await dead.next()).properties.headers?.['x-first-death-queue'], 'work')
  },
)

test('amqplib: urgent messages come first', options, async t => {
  const ch = await (await start(t)).channel()
  await ch.assertQueue('q', { maxPriority: 5 })
  for (const priority of [1, 5, 0, 3, 5, 9]) ch.sendToQueue('q', Buffer.from(String(priority)), { priority })
  const order: string[] = []
  for (let index = 0; index < 6; index++) order.push(text(await ch.get('q', { noAck: true })))
  assert.deepEqual(order, ['5', '5', '9', '3', '1', '0'])
})

test('amqplib: a message comes back with all that was said of it', options, async t => {
  const ch = await (await start(t)).channel()
  await ch.assertQueue('q')
  const properties = {
    contentType: 'application/json',
    contentEncoding: 'gzip',
    deliveryMode: 2,
    priority: 3,
    correlationId: 'c-1',
    replyTo: 'answers',
    expiration: '60000',
    messageId: 'm-1',
    timestamp: 1_700_000_000,
    type: 'order',
    userId: 'guest',
    appId: 'shop',
  }
  const headers = {
    text: 'ä',
    whole: 42,
    big: 2 ** 40,
    part: 1.5,
    yes: true,
    none: null,
    list: [1, 'two'],
    deep: { a: 1 },
  }
  const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  ch.sendToQueue('q', body, { ...properties, headers })
  const found = await ch.get('q')
  assert(found)
  assert.deepEqual(found.content, body)
  const { headers: cameHeaders, clusterId: _, ...came } = found.properties
  assert.deepEqual(came, properties)
  assert.deepEqual({ ...cameHeaders }, headers)
})

test('amqplib: refusals name what is wrong and end the channel alone', options, async t => {
  const { connect } = await start(t)
  const connection = await connect()
  const refusal = async (act: (ch: Channel) => Promise<unknown>): Promise<{ code: number; message: string }> => {
    const ch = await connection.createChannel()
    const closed = once(ch, 'error') as Promise<[{ code: number; message: string }]>
    await act(ch).catch(() => undefined)
    const [error] = await closed
    return error
  }
  const ch = await connection.createChannel()
  await ch.assertQueue('q', { durable: true, maxLength: 5 })
  const missing = await refusal(other => other.checkQueue('nowhere'))
  assert.equal(missing.code, 404)
  assert.match(missing.message, /no queue 'nowhere' in vhost '\/'/)
  const other = await refusal(again => again.assertQueue('q', { durable: true, maxLength: 6 }))
  assert.equal(other.code, 406)
  assert.match(other.message, /inequivalent arg 'x-max-length' for queue 'q' in vhost '\/'/)
  assert.equal(
    (await refusal(twice => Promise.resolve(twice.ack({ fields: { deliveryTag: 7 } } as ConsumeMessage)))).code,
    406,
  )
  assert.equal((await ch.checkQueue('q')).messageCount, 0)
})
