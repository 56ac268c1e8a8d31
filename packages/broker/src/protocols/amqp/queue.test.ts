import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { AmqpDriver, type DriverChannel } from './driver.ts'
import {
  queueBind,
  queueBindOk,
  queueDeclare,
  queueDelete,
  queueDeleteOk,
  queuePurge,
  queueUnbind,
  queueUnbindOk,
} from './messages/queue.ts'
import type { FieldValue, Table } from './table.ts'
import { channelOf, connect, directory, network, refusal, start } from './testing/bench.ts'

const list = (given: Record<string, FieldValue>): Table =>
  Object.entries(given).map(([name, value]) => ({ name, ...value }))
const text = (value: string): FieldValue => ({ type: 'S', value })
const int = (value: number): FieldValue => ({ type: 'I', value })
const stream = list({ 'x-queue-type': text('stream') })
const quorum = list({ 'x-queue-type': text('quorum') })

type Flags = Parameters<DriverChannel['declare']>[1]

test('declare: what is there is told', async t => {
  const channel = await channelOf(t)
  assert.deepEqual(await channel.declare('q'), { queue: 'q', messageCount: 0, consumerCount: 0 })
  await channel.confirm()
  await channel.publish('', 'q', 'a')
  await channel.publish('', 'q', 'b')
  assert.deepEqual(await channel.declare('q'), { queue: 'q', messageCount: 2, consumerCount: 0 })
  await channel.consume('q', { noAck: true })
  assert.equal((await channel.declare('q', { passive: true })).consumerCount, 1)
})

test('declare: without a name, the server gives one, and methods without a name mean it', async t => {
  const channel = await channelOf(t)
  const { queue } = await channel.declare('', { exclusive: true })
  assert.match(queue, /^amq\.gen-[A-Za-z0-9_-]{22}$/)
  await channel.bind('', 'amq.direct', 'k')
  await channel.confirm()
  await channel.publish('amq.direct', 'k', 'a')
  assert.equal(await channel.purge(''), 1)
  // Neither queue nor key: both are the name.
  await channel.bind('', 'amq.direct', '')
  await channel.publish('amq.direct', queue, 'b')
  assert.equal(String((await channel.get(''))?.body), 'b')
  assert.equal(await channel.deleteQueue(''), 0)
})

test('declare: ends of lines in names are passed over', async t => {
  const channel = await channelOf(t)
  assert.equal((await channel.declare('a\r\nb')).queue, 'ab')
})

test('declare: without waiting, what follows finds the queue all the same', async t => {
  const channel = await channelOf(t)
  channel.tell(queueDeclare, { queue: 'q', flags: { durable: true, noWait: true } })
  channel.tell(queueBind, { queue: 'q', exchange: 'amq.fanout', flags: { noWait: true } })
  await channel.confirm()
  await channel.publish('amq.fanout', '', 'a')
  assert.equal(await channel.purge('q'), 1)
  channel.tell(queuePurge, { queue: 'q', flags: { noWait: true } })
  channel.tell(queueDelete, { queue: 'q', flags: { noWait: true } })
  const closed = channel.closed()
  channel.declare('q', { passive: true }).catch(() => {})
  assert.match((await closed).message, /^NOT_FOUND/)
})

const all: Table = list({
  'x-message-ttl': int(60_000),
  'x-expires': int(60_000),
  'x-max-length': int(10),
  'x-max-length-bytes': { type: 'l', value: 10_000n },
  'x-overflow': text('reject-publish'),
  'x-dead-letter-exchange': text('amq.fanout'),
  'x-dead-letter-routing-key': text('dead'),
  'x-single-active-consumer': { type: 't', value: true },
  'x-queue-mode': text('lazy'),
  'x-queue-version': int(2),
  'x-strange': text('is passed over'),
})

test('declare: all arguments may be given again, in other types and another order', async t => {
  const channel = await channelOf(t)
  await channel.declare('q', { arguments: all })
  const again = all.toReversed().map(field => {
    return field.type === 'I' ? ({ name: field.name, type: 'l', value: BigInt(field.value) } as const) : field
  })
  await channel.declare('q', { arguments: again })
  await channel.declare('q', { arguments: [...all, { name: 'x-queue-type', type: 'S', value: 'classic' }] })
})

for (const [what, first, second, told] of [
  [
    'durable',
    { durable: true },
    { durable: false },
    "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
  ],
  [
    'auto-delete',
    {},
    { autoDelete: true },
    "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
  ],
  [
    'an argument that is new',
    {},
    { arguments: list({ 'x-max-length': int(5) }) },
    "'x-max-length' for queue 'q' in vhost '/': received the value '5' of type 'signedint' but current is none",
  ],
  [
    'an argument that is left out',
    { arguments: list({ 'x-dead-letter-exchange': text('x') }) },
    {},
    "'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'x' of type 'longstr'",
  ],
  [
    'another value',
    { arguments: list({ 'x-message-ttl': int(1000) }) },
    { arguments: list({ 'x-message-ttl': int(2000) }) },
    "'x-message-ttl' for queue 'q' in vhost '/': received '2000' but current is '1000'",
  ],
  [
    'another type',
    {},
    { arguments: quorum },
    "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
  ],
  [
    'a queue where a stream is',
    { arguments: stream },
    {},
    "'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'stream'",
  ],
] as [string, Flags, Flags, string][]) {
  test(`declare again: ${what} is PRECONDITION_FAILED`, async t => {
    const broker = await start(t)
    await (await (await connect(t, broker)).channel()).declare('q', first)
    const told2 = await refusal(t, broker, channel => channel.declare('q', second))
    assert.equal(told2, `PRECONDITION_FAILED - inequivalent arg ${told}`)
  })
}

for (const [what, name, flags, told] of [
  ['a reserved name', 'amq.mine', {}, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"],
  ['a queue that is not there', 'x', { passive: true }, "NOT_FOUND - no queue 'x' in vhost '/'"],
  ['no queue at all', '', { passive: true }, "NOT_FOUND - no queue '' in vhost '/'"],
  [
    'a negative time to live',
    'q',
    { arguments: list({ 'x-message-ttl': int(-1) }) },
    "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'q' in vhost '/': value_negative: -1",
  ],
  [
    'a number that is a text',
    'q',
    { arguments: list({ 'x-max-length': text('5') }) },
    "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'q' in vhost '/': expected an integer, got a string",
  ],
  [
    'an unknown type',
    'q',
    { arguments: list({ 'x-queue-type': text('fast') }) },
    "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost '/': expected one of classic, quorum, stream, got 'fast'",
  ],
  [
    'a quorum queue that does not last',
    'q',
    { durable: false, arguments: quorum },
    "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'",
  ],
  [
    'an exclusive stream',
    'q',
    { exclusive: true, arguments: stream },
    "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'",
  ],
  [
    'a stream without a name',
    '',
    { arguments: stream },
    'PRECONDITION_FAILED - Cannot declare a server-named queue for type stream',
  ],
  [
    'a name with control characters',
    'a\tb',
    {},
    'PRECONDITION_FAILED - The name is not allowed: "a\\tb" has control characters',
  ],
] as [string, string, Flags, string][]) {
  test(`declare: ${what} is refused`, async t => {
    assert.equal(await refusal(t, await start(t), channel => channel.declare(name, flags)), told)
  })
}

test('declare: beyond the limit of the virtual host is refused, what is there is not', async t => {
  const broker = await start(t)
  await broker.core.namespaces.setLimit('/', 'queues', 1)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  await channel.declare('q')
  assert.match(await refusal(t, broker, other => other.declare('r')), /queue limit in vhost '\/' \(1\) is reached/)
})

test('an exclusive queue is its connection alone, and goes with it before close-ok', async t => {
  const broker = await start(t)
  const owner = await connect(t, broker)
  const channel = await owner.channel()
  await channel.declare('q', { exclusive: true })
  // Another channel of the same connection is no stranger.
  await (await owner.channel()).declare('q', { exclusive: true })
  const locked = /^RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '\/'\. It could be/
  for (const run of [
    (other: DriverChannel) => other.declare('q', { exclusive: true }),
    (other: DriverChannel) => other.declare('q'),
    (other: DriverChannel) => other.declare('q', { passive: true }),
    (other: DriverChannel) => other.bind('q', 'amq.direct'),
    (other: DriverChannel) => other.purge('q'),
    (other: DriverChannel) => other.deleteQueue('q'),
    (other: DriverChannel) => other.get('q'),
    (other: DriverChannel) => other.consume('q'),
  ]) {
    assert.match(await refusal(t, broker, run), locked)
  }
  await owner.close()
  assert.equal(broker.core.queues.get('/', 'q'), undefined)
})

test('an exclusive queue goes with a connection that is lost', async t => {
  const broker = await start(t)
  const owner = await connect(t, broker)
  await (await owner.channel()).declare('q', { exclusive: true })
  owner.destroy()
  while (broker.core.queues.get('/', 'q')) await new Promise(resolve => setImmediate(resolve))
})

test('bind and unbind: both ends must be there to bind, and need not be to unbind', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  assert.equal(
    await refusal(t, broker, other => other.bind('q', 'nowhere')),
    "NOT_FOUND - no exchange 'nowhere' in vhost '/'",
  )
  assert.equal(
    await refusal(t, broker, other => other.bind('nothing', 'amq.direct')),
    "NOT_FOUND - no queue 'nothing' in vhost '/'",
  )
  assert.equal(
    await refusal(t, broker, other => other.bind('q', '')),
    'ACCESS_REFUSED - operation not permitted on the default exchange',
  )
  const gone = { queue: 'nothing', exchange: 'nowhere', routingKey: 'k' }
  await channel.call(queueUnbind, gone, queueUnbindOk)
  await channel.call(queueBind, { queue: 'q', exchange: 'amq.topic', routingKey: 'a.#' }, queueBindOk)
  await channel.call(queueBind, { queue: 'q', exchange: 'amq.topic', routingKey: 'a.#' }, queueBindOk)
  assert.equal(broker.core.router.bindings('/', 'amq.topic').length, 1)
  await channel.call(queueUnbind, { queue: 'q', exchange: 'amq.topic', routingKey: 'a.#' }, queueUnbindOk)
  assert.equal(broker.core.router.bindings('/', 'amq.topic').length, 0)
})

test('delete: in use and not empty are refused when that is asked for; one that is not there is as good as deleted', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  await channel.confirm()
  await channel.publish('', 'q', 'a')
  const ask = (flags: { ifUnused?: boolean; ifEmpty?: boolean }) => (other: DriverChannel) =>
    other.call(queueDelete, { queue: 'q', flags }, queueDeleteOk)
  assert.equal(
    await refusal(t, broker, ask({ ifEmpty: true })),
    "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
  )
  const consumer = await channel.consume('q')
  assert.equal(await refusal(t, broker, ask({ ifUnused: true })), "PRECONDITION_FAILED - queue 'q' in vhost '/' in use")
  await consumer.next()
  channel.nack(1)
  await channel.cancel(consumer.tag)
  assert.equal(await channel.deleteQueue('q'), 1)
  assert.equal(await channel.deleteQueue('q'), 0)
})

test('purge and delete count what the channel has published before, confirmed or not', async t => {
  const channel = await channelOf(t)
  await channel.declare('q')
  for (let index = 0; index < 5; index++) void channel.publish('', 'q', 'a')
  assert.equal(await channel.purge('q'), 5)
  void channel.publish('', 'q', 'b')
  const asked = channel.call(queueDelete, { queue: 'q', flags: { ifEmpty: true } }, queueDeleteOk)
  const [closed] = await Promise.all([channel.closed(), asked.catch(() => {})])
  assert.equal(closed.message, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty")
})

test('a stream is a topic: it is declared, bound, counted and deleted, but not purged', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  const given = [
    ...stream,
    ...list({ 'x-max-age': text('1h'), 'x-max-length-bytes': { type: 'l', value: 1_000_000n } }),
  ]
  await channel.declare('s', { arguments: given })
  await channel.declare('s', { arguments: given })
  assert.equal(broker.core.topics.get('/', 's')?.config.get('retentionMs'), '3600000')
  await channel.bind('s', 'amq.fanout')
  await channel.confirm()
  await channel.publish('amq.fanout', '', 'a')
  assert.equal((await channel.declare('s', { passive: true })).messageCount, 1)
  assert.equal(
    await refusal(t, broker, other => other.purge('s')),
    "NOT_IMPLEMENTED - queue.purge not supported by stream queues queue 's' in vhost '/'",
  )
  await channel.deleteQueue('s')
  assert.equal(broker.core.topics.get('/', 's'), undefined)
})

test('the type of queues of which nothing is said is that of the virtual host, if they last', async t => {
  const broker = await start(t)
  await broker.core.namespaces.set('/', { defaultQueueType: 'quorum' })
  const channel = await (await connect(t, broker)).channel()
  await channel.declare('q')
  await channel.declare('q', { arguments: quorum })
  await channel.declare('', { exclusive: true })
  await channel.declare('t', { durable: false })
})

test('queues, their arguments and bindings are there after a restart; those that do not last are not', async t => {
  const data = directory()
  const broker = await startBroker({ data, amqp: 0 })
  const address = (of: RunningBroker): { host: string; port: number } => ({ host: '127.0.0.1', port: of.port('amqp') })
  const before = await AmqpDriver.connect(network, address(broker))
  const channel = await before.channel()
  await channel.declare('lasts', { arguments: all })
  await channel.declare('gone', { durable: false })
  await channel.declareExchange('e', 'x-consistent-hash', { arguments: list({ 'hash-header': text('h') }) })
  await channel.bind('lasts', 'e', '10', list({ a: int(1) }))
  await channel.bind('gone', 'e', '10')
  await before.close()
  await broker.close()
  const again = await start(t, { data })
  const after = await (await connect(t, again)).channel()
  await after.declare('lasts', { arguments: all })
  await after.declareExchange('e', 'x-consistent-hash', { arguments: list({ 'hash-header': text('h') }) })
  assert.deepEqual(again.core.router.bindings('/', 'e'), [
    { source: 'e', kind: 'queue', destination: 'lasts', key: '10', arguments: [{ name: 'a', value: 1n }] },
  ])
  assert.equal(
    await refusal(t, again, other => other.declare('gone', { passive: true })),
    "NOT_FOUND - no queue 'gone' in vhost '/'",
  )
})
