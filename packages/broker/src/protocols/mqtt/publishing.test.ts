import assert from 'node:assert/strict'
import test from 'node:test'
import type { RunningBroker } from '../../main.ts'
import { encodeAck } from './incoming.ts'
import { types, versions } from './messages.ts'
import { reasons } from './reasons.ts'
import { Statistics } from './statistics.ts'
import { connect, later, start } from './testing/bench.ts'

for (const version of [versions.mqtt31, versions.mqtt311, versions.mqtt5]) {
  test(`level ${version}: a message comes with the lesser of both qualities of service`, async t => {
    const broker = await start(t)
    const publisher = await connect(t, broker, { version, clientId: 'p' })
    for (const wanted of [0, 1, 2]) {
      const subscriber = await connect(t, broker, { version, clientId: `s${wanted}` })
      assert.equal(await subscriber.subscribe('a/+', wanted), wanted)
      for (const given of [0, 1, 2]) {
        assert.equal(await publisher.publish('a/b', `${given}`, { qos: given }), 0)
        const { topic, qos, payload, isRetained, isDuplicate } = await subscriber.message()
        assert.deepEqual(
          { topic, qos, payload: String(payload), isRetained, isDuplicate },
          { topic: 'a/b', qos: Math.min(wanted, given), payload: `${given}`, isRetained: false, isDuplicate: false },
        )
      }
      subscriber.disconnect()
    }
  })
}

test('what is published twice with one identifier is published once, until it is released', async t => {
  const broker = await start(t)
  const subscriber = await connect(t, broker, { clientId: 's' })
  await subscriber.subscribe('#', 0)
  const publisher = await connect(t, broker, { clientId: 'p', acknowledges: false })
  const bytes = publisher.publishBytes('t', 'once', { qos: 2, packetId: 7 })
  publisher.send(bytes)
  await publisher.ack(types.pubrec, 7)
  publisher.send(publisher.publishBytes('t', 'once', { qos: 2, packetId: 7, isDuplicate: true }))
  await publisher.ack(types.pubrec, 7)
  publisher.send(encodeAck(types.pubrel, 7, 0))
  assert.equal((await publisher.ack(types.pubcomp, 7)).reason, 0)
  publisher.send(encodeAck(types.pubrel, 7, 0))
  assert.equal((await publisher.ack(types.pubcomp, 7)).reason, reasons.packetIdNotFound)
  publisher.send(bytes)
  await publisher.ack(types.pubrec, 7)
  await subscriber.message()
  await subscriber.message()
  await publisher.publish('t', 'last')
  assert.equal(String((await subscriber.message()).payload), 'last')
})

test('a client of 5.0 hears that nobody has subscribed, and of wrong topics', async t => {
  const broker = await start(t)
  const publisher = await connect(t, broker)
  assert.equal(await publisher.publish('nobody', 'x', { qos: 1 }), reasons.noMatchingSubscribers)
  assert.equal(await publisher.publish('nobody', 'x', { qos: 2 }), reasons.noMatchingSubscribers)
  assert.equal(await publisher.publish('$SYS/x', 'x', { qos: 1 }), reasons.notAuthorized)
  await publisher.publish('a/#', 'x')
  assert.equal(await publisher.refusal(), reasons.topicInvalid)
})

test('properties come as they were sent, byte for byte, but for what is left of the time', async t => {
  const broker = await start(t)
  const subscriber = await connect(t, broker, { clientId: 's' })
  await subscriber.subscribe('a', 1, 0, { subscriptionIds: [300] })
  const publisher = await connect(t, broker, { clientId: 'p' })
  const properties = {
    payloadFormat: 1,
    contentType: 'text/plain',
    responseTopic: 'answers/1',
    correlationData: Buffer.of(0, 255, 1),
    userProperties: [
      ['b', '2'],
      ['a', '1'],
      ['b', 'ä€'],
      ['', ''],
    ] as [string, string][],
  }
  await publisher.publish('a', 'text', { qos: 1, properties: { ...properties, messageExpiry: 100 } })
  const { properties: found } = await subscriber.message()
  assert(found.messageExpiry !== undefined && found.messageExpiry <= 100 && found.messageExpiry > 90)
  assert.deepEqual(found, { ...properties, messageExpiry: found.messageExpiry, subscriptionIds: [300] })
  const old = await connect(t, broker, { version: versions.mqtt311, clientId: 'old' })
  await old.subscribe('a', 1)
  await publisher.publish('a', 'text', { qos: 1, properties })
  assert.deepEqual((await old.message()).properties, {})
})

test('aliases stand for topics, both ways', async t => {
  const broker = await start(t)
  const subscriber = await connect(t, broker, { clientId: 's', properties: { topicAliasMaximum: 1 } })
  await subscriber.subscribe('#', 1)
  const publisher = await connect(t, broker, { clientId: 'p' })
  assert((publisher.connack.properties.topicAliasMaximum ?? 0) >= 10)
  await publisher.publish('long/topic', '1', { properties: { topicAlias: 3 } })
  await publisher.publish('', '2', { qos: 1, properties: { topicAlias: 3 } })
  await publisher.publish('other', '3', { properties: { topicAlias: 3 } })
  await publisher.publish('', '4', { properties: { topicAlias: 3 } })
  const seen: [string, number | undefined][] = []
  for (let count = 0; count < 4; count++) {
    const { topic, properties } = await subscriber.message()
    seen.push([topic, properties.topicAlias])
  }
  assert.deepEqual(seen, [
    ['long/topic', 1],
    ['', 1],
    ['other', undefined],
    ['other', undefined],
  ])
  await publisher.publish('', 'x', { properties: { topicAlias: 4 } })
  assert.equal(await publisher.refusal(), reasons.protocolError)
})

test('a client has no more on its way than it takes, and no packet larger than it takes', async t => {
  const broker = await start(t)
  const properties = { receiveMaximum: 2, maximumPacketSize: 100 }
  const subscriber = await connect(t, broker, { clientId: 's', properties, acknowledges: false })
  await subscriber.subscribe('#', 2)
  const publisher = await connect(t, broker, { clientId: 'p' })
  await publisher.publish('large', 'x'.repeat(200), { qos: 1 })
  for (const qos of [1, 2, 1, 2]) await publisher.publish('t', `${qos}`, { qos })
  const [first, second] = [await subscriber.message(), await subscriber.message()]
  await later(30)
  assert.equal(subscriber.waitingMessages, 0)
  subscriber.send(encodeAck(types.puback, first.packetId, 0))
  const third = await subscriber.message()
  subscriber.send(encodeAck(types.pubrec, second.packetId, 0))
  await subscriber.ack(types.pubrel, second.packetId)
  await later(30)
  assert.equal(subscriber.waitingMessages, 0)
  subscriber.send(encodeAck(types.pubcomp, second.packetId, 0))
  const fourth = await subscriber.message()
  assert.deepEqual(
    [first, second, third, fourth].map(({ qos, payload }) => `${qos} ${String(payload)}`),
    ['1 1', '2 2', '1 1', '2 2'],
  )
})

test('what a slow subscriber has no room for is dropped and counted', async t => {
  for (const subscriberOverflow of ['drop-newest', 'drop-oldest'] as const) {
    const broker = await start(t, { subscriberMessagesMax: 3, subscriberOverflow })
    const subscriber = await connect(t, broker, {
      clientId: 's',
      properties: { receiveMaximum: 1 },
      acknowledges: false,
    })
    await subscriber.subscribe('t', 1)
    const publisher = await connect(t, broker, { clientId: 'p' })
    for (let number = 0; number < 8; number++) await publisher.publish('t', `${number}`, { qos: 1 })
    const texts: string[] = []
    for (let count = 0; count < 4; count++) {
      const { payload, packetId } = await subscriber.message()
      texts.push(String(payload))
      subscriber.send(encodeAck(types.puback, packetId, 0))
    }
    assert.deepEqual(texts, subscriberOverflow === 'drop-newest' ? ['0', '1', '2', '3'] : ['0', '5', '6', '7'])
    await subscriber.subscribe('$SYS/broker/publish/messages/dropped', 0)
    assert.equal(String((await subscriber.message()).payload), '4')
  }
})

test('a client that sends more than it may at a time is sent away', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  const max = client.connack.properties.receiveMaximum ?? 0
  for (let id = 1; id <= max + 1; id++) client.send(client.publishBytes('t', '', { qos: 2, packetId: id }))
  for (let id = 1; id <= max; id++) await client.ack(types.pubrec, id)
  assert.equal(await client.refusal(), reasons.receiveMaximum)
})

test('a message that is refused is not the last one of its topic, and does not remove that one', async t => {
  const broker = await start(t)
  const { queues, router } = broker.core
  const settings = new Map([
    ['length.max', '1'],
    ['overflow', 'reject-publish'],
  ])
  await queues.declare('/', 'full', settings)
  await router.bind('/', { source: 'amq.topic', kind: 'queue', destination: 'full', key: 'r', arguments: [] })
  const publisher = await connect(t, broker, { clientId: 'p' })
  const publish = (text: string): Promise<number> => publisher.publish('r', text, { qos: 1, isRetained: true })
  assert.equal(await publish('first'), 0)
  for (const text of ['second', '']) assert.equal(await publish(text), reasons.quotaExceeded)
  const subscriber = await connect(t, broker, { clientId: 's' })
  await subscriber.subscribe('r', 0)
  assert.equal(String((await subscriber.message()).payload), 'first')
})

/** Nothing becomes durable until `goOn`. */
function standStill({ core }: RunningBroker): () => void {
  const { ledger } = core
  const held: (() => void)[] = []
  const whenDurable = ledger.whenDurable.bind(ledger)
  ledger.whenDurable = (seq, run, argument) => void held.push(() => whenDurable(seq, run, argument))
  return () => {
    ledger.whenDurable = whenDurable
    for (const run of held.splice(0)) run()
  }
}

test('a message that a queue does not get because it is gone waits for the others', async t => {
  const broker = await start(t)
  const { router } = broker.core
  const { postTo } = router
  for (const version of [versions.mqtt311, versions.mqtt5]) {
    const publisher = await connect(t, broker, { clientId: 'p', version })
    for (const isRetained of [false, true])
      for (const qos of [1, 2]) {
        router.postTo = (...args) => ({ ...postTo.apply(router, args), isRouted: true, error: 'stream-not-found' })
        const goOn = standStill(broker)
        let reason: number | undefined
        const options = { qos, packetId: 10 * qos + (isRetained ? 1 : 0), isRetained }
        const done = publisher.publish('t', 'x', options).then(found => (reason = found))
        await later(20)
        assert.equal(reason, undefined)
        goOn()
        await done
        assert.equal(reason, 0)
      }
    publisher.destroy()
  }
  router.postTo = postTo
})

test('a client that says twice that it has taken a message is told once that this is known, when it is', async t => {
  const broker = await start(t)
  const manual = { clientId: 'c', cleanStart: false, acknowledges: false, properties: { sessionExpiry: 60 } }
  const client = await connect(t, broker, manual)
  await client.subscribe('t', 2)
  const publisher = await connect(t, broker, { clientId: 'p' })
  await publisher.publish('t', 'x', { qos: 2 })
  const { packetId } = await client.message()
  const goOn = standStill(broker)
  client.send(encodeAck(types.pubrec, packetId, 0), encodeAck(types.pubrec, packetId, 0))
  let isTold = false
  const told = client.ack(types.pubrel, packetId).then(() => (isTold = true))
  await later(20)
  assert(!isTold)
  goOn()
  await told
})

test('a client whose packets wait for the disk is not read for ever', async t => {
  const broker = await start(t)
  const { queues, router } = broker.core
  await queues.declare('/', 'q')
  await router.bind('/', { source: 'amq.topic', kind: 'queue', destination: 'q', key: 't' })
  const client = await connect(t, broker, { acknowledges: false })
  const goOn = standStill(broker)
  client.send(client.publishBytes('t', 'x', { qos: 1, packetId: 1 }))
  const count = 400_000
  const releases = Buffer.concat(Array.from({ length: 1000 }, () => encodeAck(types.pubrel, 7, 0)))
  for (let sent = 0; sent < count; sent += 1000) client.send(releases)
  await later(200)
  const { receivedPackets } = Statistics.of(broker.core)
  assert(receivedPackets < 200_000, `${receivedPackets} packets were read`)
  goOn()
  await client.ack(types.puback, 1)
  for (let answered = 0; answered < count; answered++) await client.ack(types.pubcomp, 7)
})

test('exactly once: nobody sees a message before it is known for good that it has come', async t => {
  const broker = await start(t)
  const subscriber = await connect(t, broker, { clientId: 's' })
  await subscriber.subscribe('#', 0)
  const properties = { sessionExpiry: 60 }
  const publisher = await connect(t, broker, { clientId: 'p', cleanStart: false, properties })
  for (const isRetained of [false, true]) {
    const goOn = standStill(broker)
    const done = publisher.publish('once', 'x', { qos: 2, packetId: 7, isRetained })
    const other = await connect(t, broker, { clientId: 'other' })
    await other.publish('now', 'x')
    assert.equal((await subscriber.message()).topic, 'now')
    goOn()
    assert.equal((await subscriber.message()).topic, 'once')
    assert.equal(await done, 0)
    other.destroy()
  }
})
