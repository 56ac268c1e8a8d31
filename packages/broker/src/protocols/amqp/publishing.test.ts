import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { startBroker } from '../../main.ts'
import { AmqpDriver, type DriverChannel, type Refusal } from './driver.ts'
import { basicPublish, properties as propertiesCodec, type Properties } from './messages/basic.ts'
import { exchangeBind, exchangeBindOk } from './messages/exchange.ts'
import type { Table } from './table.ts'
import { channelOf, connect, directory, network, start } from './testing/bench.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

async function refusalOf(run: (channel: DriverChannel) => unknown, channel: DriverChannel): Promise<Refusal> {
  const closed = channel.closed()
  await Promise.resolve(run(channel)).catch(() => {})
  return closed
}

test(`a message comes as it was published: every property, every type (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('q')
  for (let round = 0; round < 200; round++) {
    const given = propertiesCodec.sample(random)
    delete given.expiration
    delete given.userId
    const body = random.bytes(random.below(3000))
    assert.equal(await channel.publish('', 'q', body, given), true)
    const got = await channel.get('q', { noAck: true })
    assert.deepEqual(got?.properties, given)
    assert.deepEqual(got?.body, body)
    assert.deepEqual([got.exchange, got.routingKey, got.redelivered], ['', 'q', false])
  }
})

test('bodies of no bytes, of one frame to the byte, and of many frames come whole', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('q')
  const consumer = await channel.consume('q')
  for (const size of [0, 1, 4088, 131_064, 131_065, 262_128, 3_000_000]) {
    const body = Buffer.alloc(size, size % 251)
    assert.equal(await channel.publish('', 'q', body), true)
    const got = await consumer.next()
    assert.equal(got.body.length, size)
    assert(got.body.equals(body))
    channel.ack(got.deliveryTag)
  }
})

test('confirms come for all messages, also for those that led nowhere', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('q')
  const taken = await Promise.all(
    Array.from({ length: 3000 }, (_, index) => channel.publish('', index % 3 === 0 ? 'nowhere' : 'q', `m${index}`)),
  )
  assert(taken.every(isTaken => isTaken))
  assert.equal((await channel.declare('q', { passive: true })).messageCount, 2000)
})

test('a mandatory message that leads nowhere is returned before it is confirmed', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  const given: Properties = { contentType: 'text/plain', headers: [{ name: 'a', type: 'I', value: 1 }] }
  const isTaken = channel.publish('amq.direct', 'nobody', 'body', given, { mandatory: true })
  assert.equal(await isTaken, true)
  const [returned] = channel.returned
  assert.deepEqual(
    { ...returned, body: String(returned?.body) },
    {
      replyCode: 312,
      replyText: 'NO_ROUTE',
      exchange: 'amq.direct',
      routingKey: 'nobody',
      properties: given,
      body: 'body',
      unconfirmed: [1],
    },
  )
})

test('returns come between the confirms of what was published before and behind', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('q')
  const keys = ['q', 'nowhere', 'q', 'nowhere', 'q']
  await Promise.all(keys.map(key => channel.publish('', key, 'm', {}, { mandatory: true })))
  const outstanding = channel.returned.map(each => each.unconfirmed)
  assert(outstanding[0]?.includes(2), String(outstanding))
  assert(outstanding[1]?.includes(4), String(outstanding))
})

test('what cannot be published ends the channel, in the words that clients know', async t => {
  const driver = await connect(t, await start(t, { messageBytesMax: 1000 }))
  const cases: [(channel: DriverChannel) => unknown, number, RegExp][] = [
    [channel => channel.publish('none', 'k', ''), 404, /^NOT_FOUND - no exchange 'none' in vhost '\/'$/],
    [
      async channel => {
        await channel.declareExchange('inner', 'fanout', { internal: true })
        await channel.publish('inner', 'k', '')
      },
      403,
      /^ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '\/'$/,
    ],
    [
      channel => channel.publish('', 'q', Buffer.alloc(1001)),
      406,
      /^PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000$/,
    ],
    [channel => channel.publish('', 'q', '', { expiration: 'soon' }), 406, /invalid expiration 'soon': no_integer$/],
    [
      channel => channel.publish('', 'q', '', { expiration: '12s' }),
      406,
      /invalid expiration '12s': \{leftover_string,"s"\}$/,
    ],
    [channel => channel.publish('', 'q', '', { expiration: '-1' }), 406, /\{value_negative,-1\}$/],
    [
      channel => channel.publish('', 'q', '', { userId: 'other' }),
      406,
      /user_id property set to 'other' but authenticated user was 'guest'$/,
    ],
    [
      channel => channel.publish('', 'q', '', { headers: [{ name: 'CC', type: 'S', value: 'a' }] }),
      406,
      /invalid message: header 'CC' must be an array/,
    ],
    [
      channel => channel.publish('', 'q', '', { replyTo: 'amq.rabbitmq.reply-to' }),
      406,
      /fast reply consumer does not exist$/,
    ],
  ]
  for (const [run, code, text] of cases) {
    const refusal = await refusalOf(run, await driver.channel())
    assert.equal(refusal.code, code)
    assert.match(refusal.message, text)
  }
  const refusal = await refusalOf(
    channel => channel.publish('', 'q', '', {}, { immediate: true }),
    await driver.channel(),
  )
  assert.equal(refusal.code, 540)
  assert.match(refusal.message, /^NOT_IMPLEMENTED - immediate=true$/)
})

test('frames of a message in another order end the connection', async t => {
  const broker = await start(t)
  for (const frames of [
    (driver: AmqpDriver) => driver.content(1, {}, Buffer.from('body')),
    (driver: AmqpDriver) => {
      const [header = Buffer.alloc(0), body = Buffer.alloc(0)] = driver.content(1, {}, Buffer.from('body'))
      return [publishFrame, body, header]
    },
    () => [publishFrame, publishFrame],
  ]) {
    const driver = await connect(t, broker)
    const channel = await driver.channel()
    driver.send(...frames(driver))
    assert.equal((await channel.closed()).code, 505)
  }
})

/** basic.publish on channel 1, to the default exchange with the key `q`. */
const publishFrame = Buffer.from('0100010000000a003c002800000001' + '7100' + 'ce', 'hex')

test('further keys of the headers are routed by; those of BCC are not told', async t => {
  const channel = await channelOf(t)
  for (const queue of ['a', 'b', 'c']) await channel.declare(queue)
  const keys = (name: string, ...values: string[]): Table[number] => {
    return { name, type: 'A', value: values.map(value => ({ type: 'S', value })) }
  }
  const given = { headers: [keys('CC', 'b', 'a'), keys('BCC', 'c'), { name: 'x', type: 'I', value: 5 } as const] }
  await channel.publish('', 'a', 'm', given)
  for (const queue of ['a', 'b', 'c']) {
    const got = await channel.get(queue)
    assert.deepEqual(
      got?.properties.headers?.map(({ name }) => name),
      ['CC', 'x'],
    )
    assert.equal(got?.routingKey, 'a')
    assert.equal(got.messageCount, 0)
  }
})

test('every exchange on the way goes by all keys of a message', async t => {
  const channel = await channelOf(t)
  await channel.declare('q')
  const asked = { destination: 'amq.topic', source: 'amq.direct', routingKey: 'one', arguments: [] }
  await channel.call(exchangeBind, asked, exchangeBindOk)
  await channel.bind('q', 'amq.topic', 'two.*')
  const keys = (name: string, value: string): Table[number] => ({ name, type: 'A', value: [{ type: 'S', value }] })
  const given = { headers: [keys('CC', 'one'), keys('BCC', 'two.three')] }
  await channel.publish('amq.direct', '', 'm', given)
  await channel.publish('amq.direct', '', 'm', { headers: [keys('CC', 'two.three')] })
  const got = await channel.get('q')
  assert.deepEqual([String(got?.body), got?.messageCount], ['m', 0])
})

test('headers exchanges see headers as bindings have them', async t => {
  const channel = await channelOf(t)
  await channel.declare('q')
  const match = { name: 'x-match', type: 'S', value: 'all' } as const
  await channel.bind('q', 'amq.headers', '', [match, { name: 'n', type: 'I', value: 7 }])
  await channel.publish('amq.headers', '', 'yes', { headers: [{ name: 'n', type: 'l', value: 7n }] })
  await channel.publish('amq.headers', '', 'no', { headers: [{ name: 'n', type: 'S', value: '7' }] })
  const got = await channel.get('q')
  assert.deepEqual([String(got?.body), got?.exchange, got?.messageCount], ['yes', 'amq.headers', 0])
})

test('answers go to who asked, without a queue', async t => {
  const driver = await connect(t, await start(t))
  const [asking, answering] = [await driver.channel(), await driver.channel()]
  await answering.declare('rpc')
  const requests = await answering.consume('rpc', { noAck: true })
  const answers = await asking.consume('amq.rabbitmq.reply-to', { noAck: true })
  for (let round = 0; round < 3; round++) {
    const correlationId = `c${round}`
    await asking.publish('', 'rpc', `question ${round}`, { replyTo: 'amq.rabbitmq.reply-to', correlationId })
    const { properties, body } = await requests.next()
    assert.match(properties.replyTo ?? '', /^amq\.rabbitmq\.reply-to\./)
    await answering.publish('', properties.replyTo ?? '', `answer to ${body.toString()}`, { correlationId })
    const answer = await answers.next()
    assert.deepEqual(
      [String(answer.body), answer.properties.correlationId],
      [`answer to question ${round}`, correlationId],
    )
  }
  await asking.cancel(answers.tag)
  await answering.confirm()
  assert.equal(await answering.publish('', 'amq.rabbitmq.reply-to.gone', 'm', {}, { mandatory: true }), true)
  assert.equal(answering.returned.length, 1)
  const acknowledging = await driver.channel()
  await assert.rejects(acknowledging.consume('amq.rabbitmq.reply-to'), /reply consumer cannot acknowledge/)
})

test('a queue that refuses is told of by nack', async t => {
  const channel = await channelOf(t)
  await channel.confirm()
  await channel.declare('full', {
    arguments: [
      { name: 'x-max-length', type: 'I', value: 2 },
      { name: 'x-overflow', type: 'S', value: 'reject-publish' },
    ],
  })
  const taken = await Promise.all(Array.from({ length: 5 }, () => channel.publish('', 'full', 'm')))
  assert.deepEqual(taken, [true, true, false, false, false])
})

test('a return leaves together with its confirm', async t => {
  const channel = await (await connect(t, await start(t))).channel()
  await channel.confirm()
  for (let round = 1; round <= 20; round++) {
    let isConfirmed = false
    const published = channel.publish('', 'nobody', 'm', {}, { mandatory: true }).then(() => (isConfirmed = true))
    while (channel.returned.length < round) await new Promise(resolve => setImmediate(resolve))
    assert(isConfirmed, `return ${round} came alone`)
    await published
  }
})

test('a transaction takes effect as a whole, or not at all', async t => {
  const driver = await connect(t, await start(t))
  const [channel, other] = [await driver.channel(), await driver.channel()]
  await channel.declare('q')
  for (let index = 0; index < 3; index++) await channel.publish('', 'q', `m${index}`)
  await channel.txSelect()
  const consumer = await channel.consume('q')
  const messages = await consumer.take(3)
  await channel.publish('', 'q', 'new')
  channel.ack(messages[0]!.deliveryTag)
  await channel.settled()
  assert.equal(await other.get('q'), undefined)
  await channel.txRollback()
  channel.ack(messages[0]!.deliveryTag)
  channel.reject(messages[1]!.deliveryTag)
  await channel.publish('', 'q', 'again')
  await channel.txCommit()
  const more = await consumer.take(2)
  assert.deepEqual(
    more.map(({ body, redelivered }) => [String(body), redelivered]),
    [
      ['m1', true],
      ['again', false],
    ],
  )
  channel.ack(more[0]!.deliveryTag)
  await channel.txCommit()
  // What is not committed goes back with the channel.
  channel.ack(messages[2]!.deliveryTag)
  await channel.close()
  const left = [await other.get('q'), await other.get('q'), await other.get('q')]
  assert.deepEqual(
    left.map(got => got && [String(got.body), got.redelivered]),
    [['m2', true], ['again', true], undefined],
  )
  await other.confirm()
  assert.match((await refusalOf(of => of.txSelect(), other)).message, /cannot switch from confirm to tx mode$/)
  const plain = await driver.channel()
  assert.match((await refusalOf(of => of.txCommit(), plain)).message, /channel is not transactional$/)
})

test('the time to live of a message begins with the commit', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  await channel.txSelect()
  await channel.publish('', 'q', 'm', { expiration: '300000' })
  await channel.settled()
  await new Promise(resolve => setTimeout(resolve, 3))
  const before = Date.now()
  await channel.txCommit()
  const [message] = (await broker.core.queues.get('/', 'q')?.browse(0, 1)) ?? []
  assert((message?.stamp.expiresMs ?? 0) >= before + 300_000)
})

test('what was confirmed is there after a restart, with its properties', async t => {
  const data = directory()
  const first = await startBroker({ data, amqp: 0 })
  const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: first.port('amqp') })
  const channel = await driver.channel()
  await channel.confirm()
  await channel.declare('q')
  await channel.declareExchange('x', 'topic')
  await channel.bind('q', 'x', 'a.#')
  const given: Properties = { deliveryMode: 2, messageId: 'id', headers: [{ name: 'h', type: 'd', value: 0.5 }] }
  await Promise.all(Array.from({ length: 500 }, (_, index) => channel.publish('x', `a.${index}`, `m${index}`, given)))
  const consumer = await channel.consume('q')
  for (const { deliveryTag } of await consumer.take(100)) channel.ack(deliveryTag)
  await channel.settled()
  await driver.close()
  await first.close()

  const again = await (await connect(t, await start(t, { data }))).channel()
  assert.equal((await again.declare('q', { passive: true })).messageCount, 400)
  const rest = await (await again.consume('q')).take(400)
  assert.deepEqual(
    rest.map(({ body, routingKey, exchange }) => [String(body), routingKey, exchange]),
    Array.from({ length: 400 }, (_, index) => [`m${index + 100}`, `a.${index + 100}`, 'x']),
  )
  assert.deepEqual(rest[0]?.properties, given)
})

test('an exchange that holds messages back does so for as long as they say', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.confirm()
  const inner = { name: 'x-delayed-type', type: 'S', value: 'direct' } as const
  await channel.declareExchange('later', 'x-delayed-message', { arguments: [inner] })
  await channel.declare('q')
  await channel.bind('q', 'later', 'k')
  const delay = (value: number): Properties => ({ headers: [{ name: 'x-delay', type: 'I', value }], messageId: 'id' })
  assert.equal(await channel.publish('later', 'k', 'in an hour', delay(3_600_000), { mandatory: true }), true)
  assert.equal(broker.core.delayed.count, 1)
  assert.equal(channel.returned.length, 0)
  assert.equal(await channel.get('q'), undefined)
  assert.equal(await channel.publish('later', 'k', 'soon', delay(2)), true)
  const consumer = await channel.consume('q', { noAck: true })
  const { body, properties, exchange, routingKey } = await consumer.next()
  assert.deepEqual([String(body), exchange, routingKey], ['soon', 'later', 'k'])
  assert.deepEqual(properties, { headers: [{ name: 'x-delay', type: 'I', value: -2 }], messageId: 'id' })
  for (const now of [{}, delay(0), delay(-5)]) {
    await channel.publish('later', 'k', 'now', now)
    assert.deepEqual((await consumer.next()).properties, now)
  }
})

test('names that are not UTF-8 cannot be told again', async t => {
  const broker = await start(t)
  const bytes = Buffer.alloc(200, 0xff)
  for (const name of ['exchange', 'routingKey'] as const) {
    const driver = await connect(t, broker)
    const channel = await driver.channel()
    const given = {
      exchange: '',
      routingKey: '',
      flags: { mandatory: true, immediate: false },
      [name]: 'x'.repeat(200),
    }
    const frame = driver.frame(basicPublish, 1, given)
    bytes.copy(frame, frame.indexOf('xxx'))
    driver.send(frame, ...driver.content(1, {}, Buffer.alloc(0)))
    assert.equal((await channel.closed()).code, 502)
  }
})

test('what a connection keeps of messages is bounded', async t => {
  const broker = await start(t, { messageBytesMax: 1024 * 1024 })
  const driver = await connect(t, broker)
  const channel = await driver.channel()
  await channel.declare('q')
  await channel.txSelect()
  const body = Buffer.alloc(1024 * 1024)
  for (let count = 0; count < 10; count++) await channel.publish('', 'q', body)
  await channel.txRollback()
  for (let count = 0; count < 10; count++) await channel.publish('', 'q', body)
  await channel.txCommit()
  assert.equal((await channel.declare('q', { passive: true })).messageCount, 10)
  const closed = channel.closed()
  for (let count = 0; count < 20 && !channel.gone; count++) await channel.publish('', 'q', body)
  const { code, message } = await closed
  assert.equal(code, 506)
  assert.match(message, /^RESOURCE_ERROR - unfinished messages and transactions of the connection/)
  const other = await (await connect(t, broker)).channel()
  assert.equal((await other.declare('q', { passive: true })).messageCount, 10)
})

test('messages that go to many queues come in their order, and let others have their turn', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  const channel = await driver.channel()
  await channel.confirm()
  const queues = Array.from({ length: 500 }, (_, index) => `q${index}`)
  for (const queue of queues) {
    void channel.declare(queue, { exclusive: true })
    void channel.bind(queue, 'amq.fanout')
  }
  await channel.settled()
  const publishes = Array.from({ length: 40 }, (_, index) => channel.publish('amq.fanout', '', `m${index}`))
  const { messageCount } = await channel.declare('q0', { passive: true })
  assert.equal(messageCount, 40)
  assert((await Promise.all(publishes)).every(isTaken => isTaken))
  const bodies: string[] = []
  for (let left = 40; left > 0; left--) bodies.push(String((await channel.get('q499', { noAck: true }))?.body))
  assert.deepEqual(
    bodies,
    Array.from({ length: 40 }, (_, index) => `m${index}`),
  )
})
