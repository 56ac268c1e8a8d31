import assert from 'node:assert/strict'
import test from 'node:test'
import type { DriverChannel, Refusal } from './driver.ts'
import type { Table } from './table.ts'
import { channelOf, connect, directory, start } from './testing/bench.ts'

async function fill(channel: DriverChannel, queue: string, count: number): Promise<void> {
  await channel.declare(queue)
  for (let index = 0; index < count; index++) await channel.publish('', queue, `m${index}`)
  await channel.settled()
}

async function refusalOf(run: Promise<unknown> | void, channel: DriverChannel): Promise<Refusal> {
  await Promise.resolve(run).catch(() => {})
  return channel.closed()
}

const text = (name: string, value: string): Table[number] => ({ name, type: 'S', value })
const integer = (name: string, value: number): Table[number] => ({ name, type: 'I', value })

test('prefetch is for each consumer, and acknowledgements make room', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'q', 10)
  await channel.qos(3)
  const consumer = await channel.consume('q')
  const first = await consumer.take(3)
  assert.deepEqual(
    first.map(({ deliveryTag, redelivered }) => [deliveryTag, redelivered]),
    [
      [1, false],
      [2, false],
      [3, false],
    ],
  )
  await channel.settled()
  assert.equal(consumer.waiting.length, 0)
  channel.ack(2, true)
  assert.deepEqual(
    (await consumer.take(2)).map(({ body }) => String(body)),
    ['m3', 'm4'],
  )
  channel.ack(0, true)
  assert.deepEqual(
    (await consumer.take(3)).map(({ body }) => String(body)),
    ['m5', 'm6', 'm7'],
  )
})

test('a limit of the channel holds for all its consumers together, until another takes its place', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'a', 5)
  await fill(channel, 'b', 5)
  await channel.qos(4, { global: true })
  const [one, other] = [await channel.consume('a'), await channel.consume('b')]
  while (one.waiting.length + other.waiting.length < 4) await channel.settled()
  await channel.settled()
  assert.equal(one.waiting.length + other.waiting.length, 4)
  assert.equal((await channel.get('a', { noAck: true })) === undefined, false)
  await channel.qos(0, { global: true })
  await one.take(4)
  await other.take(5)
  assert.equal((await refusalOf(channel.qos(1, { prefetchSize: 1 }), channel)).code, 540)
})

test('who does not acknowledge waits for room in the channel, and takes none', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'a', 2)
  await fill(channel, 'b', 5)
  await channel.qos(1, { global: true })
  const holding = await channel.consume('a')
  const [first] = await holding.take(1)
  const taking = await channel.consume('b', { noAck: true })
  for (let round = 0; round < 5; round++) await channel.settled()
  assert.equal(taking.waiting.length, 0)
  await channel.cancel(holding.tag)
  channel.ack(first?.deliveryTag ?? 0)
  await taking.take(5)
})

test('what is rejected, or given back, comes again and says so', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'q', 4)
  const consumer = await channel.consume('q')
  await consumer.take(4)
  channel.reject(1)
  channel.nack(3, { requeue: true })
  channel.reject(2, false)
  const again = await consumer.take(2)
  assert.deepEqual(
    again.map(({ body, redelivered, deliveryTag }) => [String(body), redelivered, deliveryTag]),
    [
      ['m0', true, 5],
      ['m2', true, 6],
    ],
  )
  await channel.recover()
  const recovered = await consumer.take(3)
  assert.deepEqual(
    recovered.map(({ body }) => String(body)),
    ['m0', 'm2', 'm3'],
  )
  channel.nack(0, { multiple: true, requeue: false })
  await channel.settled()
  assert.equal(await channel.get('q'), undefined)
})

test('a tag that is not there, or not there any more, ends the channel; its messages go back', async t => {
  const driver = await connect(t, await start(t))
  const other = await driver.channel()
  await fill(other, 'q', 2)
  for (const misuse of [
    (channel: DriverChannel) => channel.ack(2),
    (channel: DriverChannel) => channel.ack(2, true),
    (channel: DriverChannel) => channel.ack(0),
    (channel: DriverChannel) => channel.reject(7),
    (channel: DriverChannel) => {
      channel.ack(1)
      channel.nack(1)
    },
  ]) {
    const channel = await driver.channel()
    assert.equal((await channel.get('q'))?.deliveryTag, 1)
    const { code, message } = await refusalOf(misuse(channel), channel)
    assert.equal(code, 406)
    assert.match(message, /^PRECONDITION_FAILED - unknown delivery tag \d$/)
  }
  const left = await other.get('q')
  assert.deepEqual([String(left?.body), left?.redelivered, left?.messageCount], ['m1', false, 0])
})

test('messages of a channel, and of a connection, that ends go back to the queue', async t => {
  const broker = await start(t)
  const [driver, leaving] = [await connect(t, broker), await connect(t, broker)]
  const channel = await driver.channel()
  await fill(channel, 'q', 6)
  const [first, second] = [await leaving.channel(), await leaving.channel()]
  await (await first.consume('q', { tag: 'one' })).take(6)
  await first.close()
  const taken = await (await second.consume('q')).take(6)
  assert(taken.every(({ redelivered }) => redelivered))
  second.ack(1, true)
  await second.settled()
  leaving.destroy()
  const rest = await (await channel.consume('q')).take(5)
  assert.deepEqual(
    rest.map(({ body }) => String(body)),
    ['m1', 'm2', 'm3', 'm4', 'm5'],
  )
})

test('who does not acknowledge gets all, and it is gone', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'q', 300)
  await channel.qos(1)
  const consumer = await channel.consume('q', { noAck: true })
  await consumer.take(300)
  await channel.cancel(consumer.tag)
  assert.equal(await channel.get('q'), undefined)
  assert.equal((await refusalOf(channel.ack(1), channel)).code, 406)
})

test('tags are given by the server when there is none, and cannot be used twice', async t => {
  const driver = await connect(t, await start(t))
  const channel = await driver.channel()
  await channel.declare('q')
  const one = await channel.consume('q')
  assert.match(one.tag, /^amq\.ctag-.{10,}$/)
  await channel.consume('q', { tag: 'mine' })
  const { code, message } = await refusalOf(channel.consume('q', { tag: 'mine' }), channel)
  assert.equal(code, 530)
  assert.match(message, /^NOT_ALLOWED - attempt to reuse consumer tag 'mine'$/)
})

test('a consumer alone is alone', async t => {
  const driver = await connect(t, await start(t))
  const channel = await driver.channel()
  await channel.declare('q')
  const alone = await channel.consume('q', { exclusive: true })
  const refused = await driver.channel()
  const { code, message } = await refusalOf(refused.consume('q'), refused)
  assert.deepEqual([code, message], [403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"])
  await channel.cancel(alone.tag)
  await (await driver.channel()).consume('q')
  const late = await driver.channel()
  assert.equal((await refusalOf(late.consume('q', { exclusive: true }), late)).code, 403)
  const nowhere = await driver.channel()
  assert.match(
    (await refusalOf(nowhere.consume('none'), nowhere)).message,
    /^NOT_FOUND - no queue 'none' in vhost '\/'$/,
  )
})

test('who is cancelled keeps what they hold, and gets nothing more', async t => {
  const channel = await channelOf(t)
  await fill(channel, 'q', 3)
  await channel.qos(2)
  const consumer = await channel.consume('q')
  await consumer.take(2)
  await channel.cancel(consumer.tag)
  await channel.cancel(consumer.tag)
  channel.ack(1)
  channel.reject(2)
  const rest = [await channel.get('q'), await channel.get('q'), await channel.get('q')]
  assert.deepEqual(
    rest.map(got => got && [String(got.body), got.redelivered]),
    [['m1', true], ['m2', false], undefined],
  )
  const { consumerCount } = await channel.declare('q', { passive: true })
  assert.equal(consumerCount, 0)
})

test('consumers are told that their queue is gone; what they held can still be named', async t => {
  const driver = await connect(t, await start(t))
  const [channel, other] = [await driver.channel(), await driver.channel()]
  await fill(channel, 'q', 2)
  const consumer = await channel.consume('q', { tag: 'c' })
  await consumer.take(2)
  await other.deleteQueue('q')
  await channel.settled()
  assert.deepEqual(channel.cancelled, ['c'])
  channel.ack(1)
  channel.nack(2)
  await channel.settled()
  await channel.declare('q')
  await channel.consume('q', { tag: 'c' })
})

test('a queue that is to go with its last consumer does', async t => {
  const driver = await connect(t, await start(t))
  const channel = await driver.channel()
  await channel.declare('q', { autoDelete: true })
  await channel.publish('', 'q', 'm')
  const consumer = await channel.consume('q')
  await consumer.next()
  await channel.cancel(consumer.tag)
  channel.ack(1)
  await channel.settled()
  const { code } = await refusalOf(channel.declare('q', { passive: true }), channel)
  assert.equal(code, 404)
})

test('of consumers that stand by, one is served; priority decides among all', async t => {
  const channel = await channelOf(t)
  await channel.declare('single', { arguments: [{ name: 'x-single-active-consumer', type: 't', value: true }] })
  const [one, other] = [await channel.consume('single'), await channel.consume('single')]
  for (let index = 0; index < 4; index++) await channel.publish('', 'single', 'm')
  await one.take(4)
  assert.equal(other.waiting.length, 0)
  await channel.cancel(one.tag)
  channel.nack(4, { multiple: true })
  assert((await other.take(4)).every(({ redelivered }) => redelivered))

  await channel.declare('q')
  const low = await channel.consume('q', { arguments: [integer('x-priority', -1)] })
  const high = await channel.consume('q', { arguments: [integer('x-priority', 5)] })
  for (let index = 0; index < 20; index++) await channel.publish('', 'q', 'm')
  await high.take(20)
  assert.equal(low.waiting.length, 0)
  const wrong = channel.consume('q', { arguments: [text('x-priority', 'high')] })
  assert.match((await refusalOf(wrong, channel)).message, /invalid arg 'x-priority'/)
})

test('a message that died tells where, why and how often', async t => {
  const channel = await channelOf(t)
  await channel.declare('dead')
  await channel.bind('dead', 'amq.fanout')
  await channel.declare('q', { arguments: [text('x-dead-letter-exchange', 'amq.fanout')] })
  await channel.bind('q', 'amq.direct', 'k')
  await channel.publish('amq.direct', 'k', 'm', { expiration: '60000', headers: [text('own', 'header')] })
  const got = await channel.get('q')
  channel.reject(got?.deliveryTag ?? 0, false)
  const dead = await (await channel.consume('dead')).next()
  const { headers = [], expiration } = dead.properties
  assert.equal(expiration, undefined)
  const named = new Map(headers.map(field => [field.name, field.value]))
  assert.equal(named.get('own'), 'header')
  for (const which of ['first', 'last']) {
    assert.equal(named.get(`x-${which}-death-queue`), 'q')
    assert.equal(named.get(`x-${which}-death-reason`), 'rejected')
    assert.equal(named.get(`x-${which}-death-exchange`), 'amq.direct')
  }
  const deaths = headers.find(({ name }) => name === 'x-death')
  assert(deaths?.type === 'A' && deaths.value[0]?.type === 'F')
  const death = new Map(deaths.value[0].value.map(field => [field.name, field]))
  assert(Number(death.get('time')?.value) > 1_600_000_000)
  death.delete('time')
  assert.deepEqual(
    [...death.values()],
    [
      { name: 'count', type: 'l', value: 1n },
      text('reason', 'rejected'),
      text('queue', 'q'),
      text('exchange', 'amq.direct'),
      { name: 'routing-keys', type: 'A', value: [{ type: 'S', value: 'k' }] },
      text('original-expiration', '60000'),
    ],
  )
})

test('queues that count deliveries tell of them, and give up', async t => {
  const channel = await channelOf(t)
  const type = text('x-queue-type', 'quorum')
  const queues: [string, Table, unknown[]][] = [
    ['limited', [type, integer('x-delivery-limit', 1)], [undefined, 1n]],
    ['quorum', [type], [undefined, 1n, 2n]],
    ['classic', [], [undefined, undefined, undefined]],
  ]
  for (const [queue, given, expected] of queues) {
    await channel.declare(queue, { arguments: given })
    await channel.publish('', queue, 'm')
    const consumer = await channel.consume(queue)
    const counts: unknown[] = []
    while (counts.length < expected.length) {
      const { deliveryTag, properties } = await consumer.next()
      counts.push(properties.headers?.find(({ name }) => name === 'x-delivery-count')?.value)
      channel.reject(deliveryTag)
    }
    assert.deepEqual(counts, expected)
    await channel.cancel(consumer.tag)
  }
  assert.equal(await channel.get('limited'), undefined)
  assert.notEqual(await channel.get('quorum'), undefined)
})

test('a peer that takes nothing is given nothing more than fits, and goes on later', async t => {
  const broker = await start(t)
  const [driver, slow] = [await connect(t, broker), await connect(t, broker)]
  const channel = await driver.channel()
  await channel.confirm()
  await channel.declare('q')
  const body = Buffer.alloc(64 * 1024)
  await Promise.all(Array.from({ length: 400 }, () => channel.publish('', 'q', body)))
  const taking = await slow.channel()
  const consumer = await taking.consume('q', { noAck: true })
  await consumer.take(400)
})

test('get tells how many are left, and sees what the channel has just published', async t => {
  const channel = await channelOf(t)
  await channel.declare('q')
  assert.equal(await channel.get('q'), undefined)
  for (let index = 0; index < 50; index++) {
    await channel.publish('', 'q', `m${index}`)
    const got = await channel.get('q', { noAck: index % 2 === 0 })
    assert.deepEqual([String(got?.body), got?.messageCount, got?.deliveryTag], [`m${index}`, 0, index + 1])
  }
})

test('a consumer with small frames gets what fits', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  const small = await (await connect(t, broker, { frameMax: 4096 })).channel()
  await channel.declare('q')
  await channel.confirm()
  const headers = [text('long', 'x'.repeat(5000))]
  for (let index = 0; index < 2; index++) {
    await channel.publish('', 'q', Buffer.alloc(10_000, index), { headers, messageId: 'id' })
    const got = index === 0 ? await small.get('q') : await (await small.consume('q')).next()
    assert.deepEqual(got?.properties, { messageId: 'id' })
    assert.equal(got.body.length, 10_000)
  }
})

test('what only looks like properties of a message is a header', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  const { router } = broker.core
  // As whoever writes records of his own could have it.
  for (const forged of ['0102', '0102ffff', '01028000ff', '0102200000000005']) {
    const headers = [{ key: '~', value: Buffer.from(forged, 'hex') }]
    const message = { key: Buffer.alloc(256), value: Buffer.from('m'), headers, exchange: 'x'.repeat(256) }
    router.postTo(router.route('/', '', 'q') ?? [], 'q', message)
    await channel.settled()
    const consumer = await channel.consume('q', { noAck: true })
    const { body, properties, exchange, routingKey } = await consumer.next()
    assert.deepEqual([String(body), exchange, routingKey], ['m', '', ''])
    assert.deepEqual(properties.headers?.find(({ name }) => name === '~')?.value, Buffer.from(forged, 'hex'))
    await channel.cancel(consumer.tag)
  }
})

test('get finds what others have just published', async t => {
  const broker = await start(t, { data: directory() })
  const [publisher, channel] = [await (await connect(t, broker)).channel(), await (await connect(t, broker)).channel()]
  await channel.declare('q')
  for (let index = 0; index < 20; index++) {
    await publisher.publish('', 'q', `m${index}`)
    await publisher.settled()
    const got = await channel.get('q', { noAck: true })
    assert.equal(String(got?.body), `m${index}`)
  }
})

test('consumers that wait get what comes before those who ask, and limits count first', async t => {
  const channel = await channelOf(t)
  for (const exclusive of [true, false]) {
    const { queue } = await channel.declare('', { exclusive })
    const consumer = await channel.consume(queue, { noAck: true })
    await channel.publish('', queue, 'm')
    assert.equal(await channel.get(queue), undefined)
    await consumer.next()
    const limited = await channel.declare('', { exclusive, arguments: [integer('x-max-length', 1)] })
    for (const body of ['first', 'second']) await channel.publish('', limited.queue, body)
    const got = await channel.get(limited.queue)
    assert.deepEqual([String(got?.body), got?.messageCount], ['second', 0])
  }
})

test('a queue of numbered messages takes one exclusive consumer, serves by priority, and puts aside what is rejected', async t => {
  const broker = await start(t)
  const { work } = broker.core
  const put = (value: string): Promise<unknown> =>
    new Promise(resolve => {
      work.open('/', 'w').put({ value: Buffer.from(value) }, { priority: 1, delayMs: 0 }, resolve)
    })
  await put('a')
  const driver = await connect(t, broker)
  const channel = await driver.channel()
  const alone = await channel.consume('w', { exclusive: true })
  const [first] = await alone.take(1)
  assert.equal(String(first?.body), 'a')
  channel.reject(first?.deliveryTag ?? 0, false)
  await channel.settled()
  assert.equal(work.get('/', 'w')?.asideCount, 1)
  const other = await driver.channel()
  const refused = await refusalOf(other.consume('w'), other)
  assert.equal(refused.message, "ACCESS_REFUSED - queue 'w' in vhost '/' in exclusive use")
  await channel.cancel(alone.tag)
  const low = await channel.consume('w')
  const high = await channel.consume('w', { arguments: [integer('x-priority', 9)] })
  for (const value of ['b', 'c']) await put(value)
  assert.deepEqual(
    (await high.take(2)).map(({ body }) => String(body)),
    ['b', 'c'],
  )
  assert.equal(low.waiting.length, 0)
})
