import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Writer } from '@dragoman/wire'
import { logIn } from '../../core/identity/sasl/client.ts'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../main.ts'
import { protocolHeader } from './framing.ts'
import {
  connectionClose,
  connectionCloseOk,
  connectionOpen,
  connectionOpenOk,
  connectionSecure,
  connectionSecureOk,
  connectionStart,
  connectionTune,
  connectionTuneOk,
  connectionUpdateSecret,
  connectionUpdateSecretOk,
} from './messages/connection.ts'
import { channelOpen, channelOpenOk } from './messages/channel.ts'
import { queueDeclare, queueDeclareOk } from './messages/queue.ts'
import { table, type Table } from './table.ts'
import { directory, network, start } from './testing/bench.ts'
import { AmqpDriver } from './driver.ts'
import { Peer, type LoginOptions } from './testing/peer.ts'

const tellsFailure: Table = [
  { name: 'capabilities', type: 'F', value: [{ name: 'authentication_failure_close', type: 't', value: true }] },
]
const users = 'ann:secret'

async function connect(t: TestContext, options: BrokerOptions = {}): Promise<Peer> {
  const peer = await Peer.connect(await start(t, options))
  t.after(() => peer.destroy())
  return peer
}

for (const [what, header] of [
  ['AMQP 1.0', 'AMQP\0\x01\0\0'],
  ['SASL of AMQP 1.0', 'AMQP\x03\x01\0\0'],
  ['AMQP 0-8', 'AMQP\x01\x01\x08\0'],
  ['HTTP', 'GET / HT'],
] as const) {
  test(`who begins with ${what} is told the version that is spoken, and sent away`, async t => {
    const peer = await connect(t)
    peer.bytes(Buffer.from(header, 'latin1'))
    assert.deepEqual(await peer.rest(), protocolHeader)
  })
}

test('the header of 0-9 is taken for that of 0-9-1', async t => {
  const peer = await connect(t)
  peer.bytes(Buffer.from('AMQP\x01\x01\0\x09', 'latin1'))
  assert.equal((await peer.expect(connectionStart)).versionMinor, 9)
})

test('start tells what clients look for', async t => {
  const peer = await connect(t)
  peer.bytes(protocolHeader)
  const { mechanisms, locales, serverProperties } = await peer.expect(connectionStart)
  assert.equal(mechanisms, 'PLAIN AMQPLAIN')
  assert.equal(locales, 'en_US')
  const textOf = (name: string): unknown => serverProperties.find(property => property.name === name)?.value
  assert.deepEqual([textOf('product'), textOf('version'), textOf('platform')], ['RabbitMQ', '3.13.7', 'Dragoman'])
  const capabilities = serverProperties.find(({ name }) => name === 'capabilities')
  assert(capabilities?.type === 'F')
  assert(capabilities.value.every(({ type, value }) => type === 't' && value === true))
  assert.deepEqual(
    capabilities.value.map(({ name }) => name),
    [
      'publisher_confirms',
      'exchange_exchange_bindings',
      'basic.nack',
      'consumer_cancel_notify',
      'connection.blocked',
      'consumer_priorities',
      'authentication_failure_close',
      'per_consumer_qos',
      'direct_reply_to',
    ],
  )
})

test('without users, any name and password will do, by PLAIN and by AMQPLAIN', async t => {
  const broker = await start(t)
  const writer = new Writer()
  table.write(writer, [
    { name: 'LOGIN', type: 'S', value: 'guest' },
    { name: 'PASSWORD', type: 'S', value: 'guest' },
  ])
  const amqplain = writer.take().subarray(4)
  for (const options of [{}, { mechanism: 'AMQPLAIN', response: amqplain }]) {
    const peer = await Peer.open(broker, options)
    assert.equal(broker.core.connections.list()[0]?.user, 'guest')
    peer.destroy()
    while (broker.core.connections.list().length > 0) await new Promise(resolve => setImmediate(resolve))
  }
})

const amqplainOf = (user: string, password: string): Buffer => {
  const writer = new Writer()
  table.write(writer, [
    { name: 'LOGIN', type: 'S', value: user },
    { name: 'PASSWORD', type: 'S', value: password },
  ])
  return writer.take().subarray(4)
}

for (const [what, options, isRight] of [
  ['PLAIN', { response: Buffer.from('\0ann\0secret') }, true],
  ['PLAIN with another password', { response: Buffer.from('\0ann\0guess') }, false],
  ['AMQPLAIN', { mechanism: 'AMQPLAIN', response: amqplainOf('ann', 'secret') }, true],
  ['AMQPLAIN with another password', { mechanism: 'AMQPLAIN', response: amqplainOf('ann', 'guess') }, false],
] as [string, LoginOptions, boolean][]) {
  test(`with users, ${what} is ${isRight ? 'taken' : 'refused with 403, and its answer is held back'}`, async t => {
    const peer = await connect(t, { users })
    await peer.login({ ...options, clientProperties: tellsFailure })
    if (isRight) return void (await peer.expect(connectionTune))
    const mechanism = options.mechanism ?? 'PLAIN'
    assert.equal(
      await peer.refusal(),
      `403 ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`,
    )
    peer.send(connectionCloseOk, {})
    assert.equal(await peer.next(), undefined)
  })
}

test('a client that does not want to know why it could not log in is only sent away', async t => {
  const peer = await connect(t, { users })
  await peer.login({ response: Buffer.from('\0ann\0guess') })
  assert.equal(await peer.next(), undefined)
})

test('SCRAM needs two rounds, and a third in which the server proves who it is', async t => {
  const peer = await connect(t, { users })
  const mechanism = 'SCRAM-SHA-256'
  let isFirst = true
  await logIn({ mechanism, user: 'ann', password: 'secret', nonce: 'abcdef' }, async response => {
    if (isFirst) assert.match((await peer.login({ mechanism, response })).mechanisms, /PLAIN AMQPLAIN.* SCRAM-SHA-256/)
    else peer.send(connectionSecureOk, { response })
    isFirst = false
    return (await peer.expect(connectionSecure)).challenge
  })
  peer.send(connectionSecureOk, { response: Buffer.alloc(0) })
  await peer.expect(connectionTune)
})

test('a mechanism that is not offered is COMMAND_INVALID', async t => {
  const peer = await connect(t)
  await peer.login({ mechanism: 'EXTERNAL' })
  assert.equal(await peer.refusal(), "503 COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL'")
})

test('while nobody must log in, the name of a user needs its password, and others need none', async t => {
  const broker = await start(t)
  const secret = { kind: 'password', password: 'secret' } as const
  await broker.core.identity.governance.setUser('ann', { tags: [], secret })
  const stranger = await Peer.open(broker)
  stranger.destroy()
  const ann = await Peer.connect(broker)
  t.after(() => ann.destroy())
  await ann.login({ response: Buffer.from('\0ann\0guess'), clientProperties: tellsFailure })
  assert.match(await ann.refusal(), /^403 ACCESS_REFUSED/)
})

test('who has shown a certificate need say nothing more', async t => {
  const pathOf = (name: string): string =>
    new URL(`../../../../../test/support/certificates/${name}`, import.meta.url).pathname
  const pem = (name: string): string => readFileSync(pathOf(name), 'utf8')
  const files = { tlsCert: pathOf('server.crt'), tlsKey: pathOf('server.key'), tlsCa: pathOf('authority.crt') }
  const broker = await start(t, { amqpTls: 0, ...files, tlsClientAuth: 'want' })
  const identity = { cert: pem('client.crt'), key: pem('client.key') }
  const peer = await Peer.connect(broker, { ca: pem('authority.crt'), identity })
  t.after(() => peer.destroy())
  await open(peer, '/', { mechanism: 'EXTERNAL', response: Buffer.alloc(0) })
  await peer.expect(connectionOpenOk)
  const [shown] = broker.core.connections.list()
  assert.equal(shown?.isSecure, true)
  assert.match(shown.user, /CN=app/)
  const bare = await Peer.connect(broker, { ca: pem('authority.crt') })
  t.after(() => bare.destroy())
  await bare.login({ mechanism: 'EXTERNAL' })
  assert.match(await bare.refusal(), /^503 COMMAND_INVALID/)
})

test('a token is shown as a password, prolonged by update-secret, and ends the connection when it is over', async t => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const path = directory()
  writeFileSync(join(path, 'keys'), JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] }))
  const broker = await start(t, { tokenKeys: join(path, 'keys') })
  const tokenFor = (sub: string, seconds: number): string => {
    const parts = [
      { alg: 'ES256', kid: 'one' },
      { sub, exp: Math.floor(Date.now() / 1000) + seconds },
    ]
    const signed = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }
  const plain = (token: string): Buffer => Buffer.from(`\0anything\0${token}`)
  const forged = await Peer.connect(broker)
  t.after(() => forged.destroy())
  await forged.login({ response: plain(`${tokenFor('ann', 60)}x`), clientProperties: tellsFailure })
  assert.match(await forged.refusal(), /^403 ACCESS_REFUSED/)
  const peer = await Peer.open(broker, { response: plain(tokenFor('ann', 60)) })
  t.after(() => peer.destroy())
  assert.equal(broker.core.connections.list()[0]?.user, 'ann')
  peer.send(connectionUpdateSecret, { newSecret: Buffer.from(tokenFor('ann', 1)), reason: 'soon over' })
  await peer.expect(connectionUpdateSecretOk)
  assert.equal(await peer.refusal(), '320 CONNECTION_FORCED - credential expired')
  const other = await Peer.open(broker, { response: plain(tokenFor('ann', 60)) })
  t.after(() => other.destroy())
  other.send(connectionUpdateSecret, { newSecret: Buffer.from(tokenFor('bob', 60)), reason: 'somebody else' })
  assert.match(await other.refusal(), /^530 NOT_ALLOWED - New secret was refused/)
})

for (const [what, limits, reason] of [
  ['frame_max below the least', { frameMax: 4095 }, 'frame_max = 4095 is lower than the minimum allowed value (4096)'],
  ['no frame_max', { frameMax: 0 }, 'frame_max = 0 (no limit) is higher than the maximum allowed value (131072)'],
  ['too much frame_max', { frameMax: 131_073 }, 'frame_max = 131073 is higher than the maximum allowed value (131072)'],
  ['no channel_max', { channelMax: 0 }, 'channel_max = 0 (no limit) is higher than the maximum allowed value (2047)'],
] as const) {
  test(`${what} cannot be agreed upon`, async t => {
    const peer = await connect(t)
    await peer.login()
    await peer.expect(connectionTune)
    peer.send(connectionTuneOk, { channelMax: 10, frameMax: 4096, heartbeat: 0, ...limits })
    assert.equal(await peer.refusal(), `530 NOT_ALLOWED - negotiated ${reason}`)
  })
}

async function open(peer: Peer, virtualHost: string, options: LoginOptions = {}): Promise<void> {
  await peer.login(options)
  const tune = await peer.expect(connectionTune)
  peer.send(connectionTuneOk, tune)
  peer.send(connectionOpen, { virtualHost })
}

test('a virtual host that is not there is NOT_ALLOWED, and one that is made is there', async t => {
  const broker = await start(t)
  const peer = await Peer.connect(broker)
  await open(peer, 'orders')
  assert.equal(await peer.refusal(), '530 NOT_ALLOWED - vhost orders not found')
  await broker.core.namespaces.set('orders')
  const other = await Peer.connect(broker)
  await open(other, 'orders')
  await other.expect(connectionOpenOk)
  assert.equal(broker.core.connections.count({ namespace: 'orders' }), 1)
  peer.destroy()
  other.destroy()
})

test('connections to a virtual host that is deleted are closed, and others are not', async t => {
  const broker = await start(t)
  await broker.core.namespaces.set('orders')
  const [one, other] = [await Peer.connect(broker), await Peer.open(broker)]
  t.after(() => one.destroy())
  t.after(() => other.destroy())
  await open(one, 'orders')
  await one.expect(connectionOpenOk)
  one.send(channelOpen, {}, 1)
  await one.expect(channelOpenOk, 1)
  one.send(queueDeclare, { queue: 'q', flags: { exclusive: true } }, 1)
  await one.expect(queueDeclareOk, 1)
  const removed = broker.core.namespaces.remove('orders')
  assert.equal(await one.refusal(), '320 CONNECTION_FORCED - the namespace "orders" was removed')
  await removed
  assert.deepEqual(broker.core.queues.list('orders'), [])
  other.send(channelOpen, {}, 1)
  await other.expect(channelOpenOk, 1)
})

test('connections are refused at the limit of their virtual host', async t => {
  const broker = await start(t)
  await broker.core.namespaces.setLimit('/', 'connections', 1)
  const one = await Peer.open(broker)
  const other = await Peer.connect(broker)
  await open(other, '/')
  assert.equal(
    await other.refusal(),
    "530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached",
  )
  one.destroy()
  other.destroy()
})

test('methods out of their turn are CHANNEL_ERROR', async t => {
  const peer = await connect(t)
  peer.bytes(protocolHeader)
  await peer.expect(connectionStart)
  peer.send(connectionOpen, { virtualHost: '/' })
  assert.equal(
    await peer.refusal(),
    '504 CHANNEL_ERROR - unexpected method connection.open in connection state starting',
  )
})

test('frames of channels before the connection is open are unexpected', async t => {
  const peer = await connect(t)
  peer.bytes(protocolHeader)
  await peer.expect(connectionStart)
  peer.send(channelOpen, {}, 1)
  assert.match(await peer.refusal(), /^505 UNEXPECTED_FRAME - type 1 on channel 1/)
})

test('a table that is cut off is FRAME_ERROR', async t => {
  const peer = await connect(t)
  peer.bytes(protocolHeader)
  await peer.expect(connectionStart)
  peer.frame(1, 0, Buffer.from('000a000bffffffff', 'hex'))
  assert.match(await peer.refusal(), /^501 FRAME_ERROR - Cannot take a table/)
})

test('a new secret is taken when it is right, and ends the connection when it is not', async t => {
  const broker: RunningBroker = await start(t, { users, sessionLifetimeMs: 3_600_000 })
  const peer = await Peer.open(broker, { response: Buffer.from('\0ann\0secret') })
  t.after(() => peer.destroy())
  peer.send(connectionUpdateSecret, { newSecret: Buffer.from('secret'), reason: 'because' })
  await peer.expect(connectionUpdateSecretOk)
  peer.send(connectionUpdateSecret, { newSecret: Buffer.from('guess'), reason: 'because' })
  assert.equal(await peer.refusal(), '530 NOT_ALLOWED - New secret was refused by one of the backends')
})

test('where logins do not end, no new secret is looked at', async t => {
  const broker: RunningBroker = await start(t, { users })
  const peer = await Peer.open(broker, { response: Buffer.from('\0ann\0secret') })
  t.after(() => peer.destroy())
  peer.send(connectionUpdateSecret, { newSecret: Buffer.from('guess'), reason: 'because' })
  await peer.expect(connectionUpdateSecretOk)
})

test('a connection is shown while it is open, and is closed with the reason that is given', async t => {
  const broker = await start(t)
  const clientProperties: Table = [{ name: 'connection_name', type: 'S', value: 'orders' }]
  const peer = await Peer.open(broker, { clientProperties, heartbeat: 30 })
  t.after(() => peer.destroy())
  peer.send(channelOpen, {}, 5)
  await peer.expect(channelOpenOk, 5)
  const [shown] = broker.core.connections.list()
  assert(shown)
  const { givenName, user, namespace, protocol, mechanism, state, frameMax, channelMax, heartbeatSeconds } = shown
  assert.deepEqual(
    { givenName, user, namespace, protocol, mechanism, state, frameMax, channelMax, heartbeatSeconds },
    {
      givenName: 'orders',
      user: 'guest',
      namespace: '/',
      protocol: 'AMQP 0-9-1',
      mechanism: 'PLAIN',
      state: 'running',
      frameMax: 131_072,
      channelMax: 2047,
      heartbeatSeconds: 30,
    },
  )
  assert.match(shown.name, /^127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+$/)
  assert(shown.receivedBytes > 0 && shown.sentBytes > 0)
  assert.deepEqual(
    shown.channels().map(({ number, state: of, unacked }) => ({ number, of, unacked })),
    [{ number: 5, of: 'running', unacked: 0 }],
  )
  shown.close('closed by an operator')
  assert.equal(await peer.refusal(), '320 CONNECTION_FORCED - closed by an operator')
  peer.send(connectionCloseOk, {})
  assert.equal(await peer.next(), undefined)
  assert.equal(broker.core.connections.list().length, 0)
})

test('when the broker stops, clients are told', async () => {
  const broker = await startBroker({ data: 'memory', amqp: 0 })
  const peer = await Peer.open(broker)
  const closed = broker.close()
  assert.equal(await peer.refusal(), "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
  peer.destroy()
  await closed
})

test('when the broker stops, what was published before is confirmed first', async () => {
  const broker = await startBroker({ data: directory(), amqp: 0 })
  const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: broker.port('amqp') })
  const channel = await driver.channel()
  await channel.declare('q')
  const consumer = await channel.consume('q', { noAck: true })
  await channel.confirm()
  const sent = Array.from({ length: 200 }, (_, index) => channel.publish('', 'q', `${index}`))
  // All of it has arrived; not all of it need be on the disk.
  await channel.settled()
  const [confirmed, reason] = await Promise.all([Promise.all(sent), channel.closed(), broker.close()])
  assert(confirmed.every(Boolean))
  assert.match(reason.message, /^CONNECTION_FORCED/)
  assert.deepEqual(channel.cancelled, [])
  await assert.rejects(consumer.take(201))
})

test('close is answered, and nothing after it', async t => {
  const peer = await Peer.open(await start(t))
  peer.send(connectionClose, { replyCode: 200 })
  peer.send(channelOpen, {}, 1)
  await peer.expect(connectionCloseOk)
  // The peer is to end the socket.
  assert.equal(await Promise.race([peer.next(), new Promise(resolve => setTimeout(resolve, 50, 'silence'))]), 'silence')
})
