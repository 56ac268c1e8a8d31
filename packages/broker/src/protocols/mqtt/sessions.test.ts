import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { MqttDriver, type DriverOptions } from './driver.ts'
import { encodeAck } from './incoming.ts'
import { types, versions, type Publish } from './messages.ts'
import { reasons } from './reasons.ts'
import { addressOf, connect, directory, later, network, start } from './testing/bench.ts'

const lasting: DriverOptions = { clientId: 'lasting', cleanStart: false, properties: { sessionExpiry: 3600 } }
function assertSame(found: Publish, expected: Publish): void {
  const of = ({ packetId, payload, qos }: Publish) => [packetId, String(payload), qos]
  assert.deepEqual(of(found), of(expected))
}

const manual: DriverOptions = { ...lasting, acknowledges: false }

test('messages wait for a client that comes back, those without acknowledgement do not', async t => {
  const broker = await start(t)
  for (const version of [versions.mqtt311, versions.mqtt5]) {
    const options = { ...lasting, version, clientId: `c${version}` }
    const first = await connect(t, broker, options)
    assert.equal(first.connack.flags, 0)
    await first.subscribe('a/+', 1)
    await first.subscribe('b', 0)
    first.disconnect()
    await first.over()
    const publisher = await connect(t, broker, { clientId: 'p' })
    for (const qos of [0, 1, 2]) for (const topic of ['a/1', 'b']) await publisher.publish(topic, `${qos}`, { qos })
    const again = await connect(t, broker, options)
    assert.equal(again.connack.flags, 1)
    for (const text of ['1', '2']) {
      const { topic, payload, qos, isDuplicate } = await again.message()
      assert.deepEqual([topic, String(payload), qos, isDuplicate], ['a/1', text, 1, false])
    }
    await publisher.publish('a/x', 'live')
    assert.equal(String((await again.message()).payload), 'live')
    again.destroy()
    const clean = await connect(t, broker, { ...options, cleanStart: true, properties: {} })
    assert.equal(clean.connack.flags, 0)
    await publisher.publish('a/1', 'gone', { qos: 1 })
    await later(20)
    assert.equal(clean.waitingMessages, 0)
    clean.disconnect()
    await clean.over()
    publisher.destroy()
  }
  assert.equal(broker.core.sessions.count, 0)
  assert.deepEqual(broker.core.queues.list(), [])
})

test('what was not acknowledged comes again, with its identifier, also after a restart', async () => {
  const data = directory()
  let broker = await startBroker({ data, mqtt: 0, logLevel: 'error' })
  const dial = (options: DriverOptions) => MqttDriver.connect(network, addressOf(broker), options)
  let client = await dial(manual)
  await client.subscribe('t', 2)
  const publisher = await dial({ clientId: 'p' })
  for (const [text, qos] of [
    ['1', 1],
    ['2', 2],
    ['3', 2],
    ['4', 1],
  ] as const)
    await publisher.publish('t', text, { qos })
  const seen: Publish[] = []
  for (let count = 0; count < 4; count++) seen.push(await client.message())
  const [first, second, third, fourth] = seen
  assert(first && second && third && fourth)
  // The second is taken, of which the client has not heard; the first is done.
  client.send(encodeAck(types.puback, first.packetId, 0))
  client.send(encodeAck(types.pubrec, second.packetId, 0))
  await client.ack(types.pubrel, second.packetId)
  const held: readonly Publish[] = [third, fourth]
  for (const restarts of [false, true]) {
    client.destroy()
    if (restarts) {
      await broker.close()
      broker = await startBroker({ data, mqtt: 0, logLevel: 'error' })
    } else await later(20)
    client = await dial(manual)
    assert.equal(client.connack.flags, 1)
    await client.ack(types.pubrel, second.packetId)
    for (const expected of held) assertSame(await client.message(), expected)
  }
  client.send(encodeAck(types.pubcomp, second.packetId, 0))
  client.send(encodeAck(types.pubrec, third.packetId, 0))
  await client.ack(types.pubrel, third.packetId)
  client.send(encodeAck(types.pubcomp, third.packetId, 0), encodeAck(types.puback, fourth.packetId, 0))
  client.disconnect()
  await client.over()
  client = await dial(manual)
  await client.publish('t', 'last', { qos: 1 })
  assert.equal(String((await client.message()).payload), 'last')
  client.destroy()
  await broker.close()
})

test('what a client has sent exactly once is not published again after a restart', async () => {
  const data = directory()
  let broker = await startBroker({ data, mqtt: 0, logLevel: 'error' })
  const dial = (options: DriverOptions) => MqttDriver.connect(network, addressOf(broker), options)
  let subscriber = await dial({ ...lasting, clientId: 'subscriber' })
  await subscriber.subscribe('t', 1)
  let client = await dial(manual)
  client.send(client.publishBytes('t', 'once', { qos: 2, packetId: 5 }))
  await client.ack(types.pubrec, 5)
  assert.equal(String((await subscriber.message()).payload), 'once')
  client.destroy()
  subscriber.destroy()
  await later(20)
  await broker.close()
  broker = await startBroker({ data, mqtt: 0, logLevel: 'error' })
  client = await dial(manual)
  subscriber = await dial({ ...lasting, clientId: 'subscriber' })
  client.send(client.publishBytes('t', 'once', { qos: 2, packetId: 5, isDuplicate: true }))
  await client.ack(types.pubrec, 5)
  client.send(encodeAck(types.pubrel, 5, 0))
  assert.equal((await client.ack(types.pubcomp, 5)).reason, 0)
  await client.publish('t', 'next', { qos: 1 })
  assert.equal(String((await subscriber.message()).payload), 'next')
  client.destroy()
  subscriber.destroy()
  await broker.close()
})

test('a session is taken over by a second connection, and ends in its time', async t => {
  const broker = await start(t)
  const first = await connect(t, broker, lasting)
  await first.subscribe('t', 1)
  const second = await connect(t, broker, lasting)
  assert.equal(await first.refusal(), reasons.takenOver)
  assert.equal(second.connack.flags, 1)
  await second.publish('t', 'x', { qos: 1 })
  await second.message()
  second.disconnect(0, { sessionExpiry: 1 })
  await second.over()
  assert.equal(broker.core.sessions.count, 1)
  while (broker.core.sessions.count > 0) await later(10)
  const short = await connect(t, broker, { clientId: 'short' })
  short.disconnect(0, { sessionExpiry: 10 })
  assert.equal(await short.refusal(), reasons.protocolError)
})

test('what is retained waits, too, when it is to be acknowledged by a client that may come back', async t => {
  const broker = await start(t)
  const publisher = await connect(t, broker, { clientId: 'p' })
  await publisher.publish('r', 'kept', { qos: 1, isRetained: true })
  const client = await connect(t, broker, manual)
  await client.subscribe('r', 1)
  const { packetId } = await client.message()
  client.destroy()
  await later(20)
  const again = await connect(t, broker, manual)
  const { payload, isRetained, isDuplicate, ...rest } = await again.message()
  assert.deepEqual([String(payload), isRetained, isDuplicate, rest.packetId], ['kept', true, true, packetId])
})

const will = (more = {}) => ({
  qos: 1,
  isRetained: false,
  properties: {},
  topic: 'w',
  payload: Buffer.from('lost'),
  ...more,
})

test('a will is published when its client is lost, and not when it leaves', async t => {
  const broker = await start(t)
  const subscriber = await connect(t, broker, { clientId: 's' })
  await subscriber.subscribe('w/#', 1)
  const client = (number: number, options: DriverOptions) =>
    connect(t, broker, { clientId: `c${number}`, will: will({ topic: `w/${number}` }), ...options })
  ;(await client(1, {})).disconnect()
  ;(await client(2, lasting)).disconnect()
  ;(await client(3, {})).destroy()
  assert.equal((await subscriber.message()).topic, 'w/3')
  ;(await client(4, lasting)).destroy()
  assert.equal((await subscriber.message()).topic, 'w/4')
  ;(await client(5, {})).disconnect(reasons.disconnectWithWill)
  assert.equal((await subscriber.message()).topic, 'w/5')
  ;(await client(6, { keepAliveSeconds: 1 })).send(Buffer.alloc(0))
  assert.equal((await subscriber.message()).topic, 'w/6')
  const delayed = { properties: { willDelay: 1, userProperties: [['a', 'b']] as [string, string][] }, topic: 'w/7' }
  const options: DriverOptions = { ...lasting, clientId: 'c7', will: will(delayed) }
  ;(await connect(t, broker, options)).destroy()
  await later(50)
  ;(await connect(t, broker, options)).destroy()
  await later(500)
  assert.equal(subscriber.waitingMessages, 0)
  const { topic, properties } = await subscriber.message()
  assert.deepEqual([topic, properties], ['w/7', { userProperties: [['a', 'b']] }])
})

test('on a full disk, what is retained reaches a client that may come back as long as it is there', async t => {
  const broker = await start(t)
  const publisher = await connect(t, broker, { clientId: 'p' })
  const client = await connect(t, broker, lasting)
  await client.subscribe('other', 1)
  await publisher.publish('r', 'kept', { qos: 1, isRetained: true })
  Object.defineProperty(broker.core.ledger, 'full', { get: () => true })
  await client.subscribe('r', 1)
  const { payload, isRetained, qos } = await client.message()
  assert.deepEqual([String(payload), isRetained, qos], ['kept', true, 1])
})

test('a client that may hold a message which has ended is told so, and takes the next one of its identifier', async t => {
  const broker = await start(t)
  const first = await connect(t, broker, manual)
  await first.subscribe('t', 2)
  const publisher = await connect(t, broker, { clientId: 'p' })
  const expiring = { qos: 2, properties: { messageExpiry: 1 } }
  await publisher.publish('t', 'sent', expiring)
  const sent = await first.message()
  first.disconnect()
  await first.over()
  await publisher.publish('t', 'never sent', expiring)
  await later(1100)
  const second = await connect(t, broker, manual)
  await second.ack(types.pubrel, sent.packetId)
  second.send(encodeAck(types.pubcomp, sent.packetId, 0))
  await publisher.publish('t', 'next', { qos: 2 })
  const held = await second.message()
  assert.equal(String(held.payload), 'next')
  second.disconnect()
  await second.over()
  // What an operator removes is not told of while the client is away. Then the identifiers come round.
  const [queue] = broker.core.queues.list()
  assert(queue)
  const removed = (count: number): Promise<unknown> =>
    new Promise(resolve =>
      queue.publish(
        Array.from({ length: count }, () => ({ value: Buffer.from('x') })),
        resolve,
      ),
    )
  await removed(idsOfQueues - 1)
  queue.purge()
  await publisher.publish('t', 'reuses it', { qos: 2 })
  const third = await connect(t, broker, manual)
  await third.ack(types.pubrel, held.packetId)
  const reusing = await third.message()
  assert.deepEqual(
    [String(reusing.payload), reusing.packetId, reusing.isDuplicate],
    ['reuses it', held.packetId, false],
  )
})

/** So many identifiers are for messages of queues. */
const idsOfQueues = 32_767
