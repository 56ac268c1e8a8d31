import assert from 'node:assert/strict'
import test from 'node:test'
import { subscribe, types, versions } from './messages.ts'
import { reasons } from './reasons.ts'
import { connect, later, start } from './testing/bench.ts'

const [noLocal, retainAsPublished] = [4, 8]
const retainHandling = { ifNew: 0x10, never: 0x20 }

const textsOf = async (client: Awaited<ReturnType<typeof connect>>, count: number): Promise<string[]> => {
  const texts: string[] = []
  for (let left = count; left > 0; left--) {
    const { topic, payload, isRetained, qos } = await client.message()
    texts.push(`${topic} ${String(payload)} ${qos}${isRetained ? ' retained' : ''}`)
  }
  return texts
}

test('overlapping subscriptions: one message, the greatest quality, all identifiers', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  await client.subscribe('a/#', 0, 0, { subscriptionIds: [1] })
  await client.subscribe('a/+', 2, 0, { subscriptionIds: [2] })
  await client.subscribe('b', 1, 0, { subscriptionIds: [3] })
  await client.publish('a/b', 'x', { qos: 2 })
  const { qos, properties } = await client.message()
  assert.deepEqual([qos, properties.subscriptionIds], [2, [1, 2]])
  await client.publish('b', 'last')
  assert.deepEqual(await textsOf(client, 1), ['b last 0'])
})

test('a filter with characters that mean something elsewhere means itself', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  await client.subscribe('a/*', 0)
  await client.subscribe('b.c/+', 0)
  for (const topic of ['a/x', 'a/*', 'b/c/d', 'b.c/d', 'a.*']) await client.publish(topic, '')
  assert.deepEqual(await textsOf(client, 2), ['a/*  0', 'b.c/d  0'])
  await later(20)
  assert.equal(client.waitingMessages, 0)
})

test('a client need not hear itself', async t => {
  const broker = await start(t)
  for (const properties of [{}, { sessionExpiry: 60 }]) {
    const client = await connect(t, broker, { clientId: 'self', properties })
    const other = await connect(t, broker, { clientId: 'other' })
    await client.subscribe('t', 1, noLocal)
    for (const qos of [0, 1]) await client.publish('t', 'own', { qos })
    await other.publish('t', 'other', { qos: 1 })
    assert.deepEqual(await textsOf(client, 1), ['t other 1'])
    client.destroy()
    other.destroy()
  }
})

test('a shared subscription that leaves out what is local breaks the protocol, and takes effect nowhere', async t => {
  const broker = await start(t)
  const client = await connect(t, broker, { clientId: 'self', properties: { sessionExpiry: 60 } })
  const wanted = [
    { filter: 'fine', options: 1 },
    { filter: '$share/g/t', options: 1 | noLocal },
  ]
  client.send(subscribe.encode({ packetId: 1, properties: {}, wanted }, versions.mqtt5))
  assert.equal(await client.refusal(), reasons.protocolError)
  assert.equal(broker.core.sessions.get('/', 'self')?.subscriptions.size, 0)
})

test('what is retained comes with a subscription, as that asks for', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  await client.publish('r/a', '1', { isRetained: true, qos: 1 })
  await client.publish('r/b', '2', { isRetained: true, qos: 2 })
  await client.publish('r/b', '3', { isRetained: true, qos: 0 })
  await client.publish('r/c', '4', { isRetained: true })
  await client.publish('r/c', '', { isRetained: true })
  await client.subscribe('r/+', 1)
  assert.deepEqual(await textsOf(client, 2), ['r/a 1 1 retained', 'r/b 3 0 retained'])
  await client.subscribe('r/+', 2, retainHandling.ifNew)
  await client.subscribe('r/#', 2, retainHandling.never)
  await client.subscribe('r/a', 2, retainHandling.ifNew)
  assert.deepEqual(await textsOf(client, 1), ['r/a 1 1 retained'])
  // Later ones are messages like others, unless asked for as they were published.
  await client.publish('r/a', '5', { isRetained: true })
  assert.deepEqual(await textsOf(client, 1), ['r/a 5 0'])
  await client.subscribe('r/a', 0, retainAsPublished | retainHandling.never)
  await client.publish('r/a', '6', { isRetained: true })
  assert.deepEqual(await textsOf(client, 1), ['r/a 6 0 retained'])
})

test('what is retained expires', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  await client.publish('r/a', '1', { isRetained: true, qos: 1, properties: { messageExpiry: 1 } })
  await client.publish('r/b', '2', { isRetained: true, qos: 1, properties: { messageExpiry: 100 } })
  await later(1100)
  await client.subscribe('r/+', 1)
  const { topic, properties } = await client.message()
  assert.deepEqual([topic, (properties.messageExpiry ?? 0) < 100], ['r/b', true])
})

test('many retained messages come to one who reads slowly', async t => {
  const broker = await start(t, { subscriberBytesMax: 64 * 1024 })
  const client = await connect(t, broker)
  const payload = 'x'.repeat(1000)
  for (let number = 0; number < 500; number++)
    client.send(client.publishBytes(`many/${number}`, payload, { isRetained: true }))
  await client.publish('many/last', payload, { isRetained: true, qos: 1 })
  const slow = await connect(t, broker, { clientId: 'slow' })
  await slow.subscribe('many/#', 0)
  const topics = new Set<string>()
  while (topics.size < 501) topics.add((await slow.message()).topic)
})

test('subscriptions are answered one by one, and so is their end', async t => {
  const broker = await start(t)
  const client = await connect(t, broker)
  const old = await connect(t, broker, { version: versions.mqtt311, clientId: 'old' })
  for (const filter of ['a/#/b', '$share/g', '+a']) {
    assert.equal(await client.subscribe(filter), reasons.filterInvalid)
    assert.equal(await old.subscribe(filter), 0x80)
  }
  await client.subscribe('a')
  assert.equal(await client.unsubscribe('a'), 0)
  assert.equal(await client.unsubscribe('a'), reasons.noSubscriptionExisted)
  await client.publish('a', 'x')
  await later(20)
  assert.equal(client.waitingMessages, 0)
})

test('there are at most so many subscriptions', async t => {
  const broker = await start(t, { sessionSubscriptionsMax: 2 })
  const client = await connect(t, broker)
  assert.deepEqual([await client.subscribe('a'), await client.subscribe('b')], [2, 2])
  assert.equal(await client.subscribe('c'), reasons.quotaExceeded)
  assert.equal(await client.subscribe('a', 1), 1)
})

test('those who share a subscription get each message once', async t => {
  const broker = await start(t)
  for (const properties of [{}, { sessionExpiry: 60 }]) {
    const members = await Promise.all(
      [1, 2, 3].map(number => connect(t, broker, { clientId: `m${number}`, properties })),
    )
    for (const member of members) await member.subscribe('$share/g/w/+', 1)
    const alone = await connect(t, broker, { clientId: 'alone' })
    await alone.subscribe('w/#', 1)
    const publisher = await connect(t, broker, { clientId: 'p' })
    for (let number = 0; number < 60; number++) await publisher.publish(`w/${number}`, '', { qos: number % 2 })
    await textsOf(alone, 60)
    const countsNow = (): number[] => members.map(({ waitingMessages }) => waitingMessages)
    const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0)
    while (sumOf(countsNow()) < 60) await later(5)
    // None comes twice.
    await later(50)
    const counts = countsNow()
    assert.equal(sumOf(counts), 60, counts.join())
    assert(
      counts.every(count => count >= 10),
      counts.join(),
    )
    for (const client of [...members, alone, publisher]) {
      client.disconnect(0, properties.sessionExpiry === undefined ? {} : { sessionExpiry: 0 })
      await client.over().catch(() => {})
    }
  }
  assert.deepEqual(
    broker.core.queues.list().map(({ definition }) => definition.name),
    [],
  )
})

test('what a member held that has died goes to another', async t => {
  const broker = await start(t)
  const dying = await connect(t, broker, { clientId: 'dying', acknowledges: false })
  await dying.subscribe('$share/g/t', 1)
  const publisher = await connect(t, broker, { clientId: 'p' })
  for (const text of ['1', '2', '3']) await publisher.publish('t', text, { qos: 1 })
  await textsOf(dying, 3)
  const heir = await connect(t, broker, { clientId: 'heir' })
  await heir.subscribe('$share/g/t', 1)
  dying.destroy()
  assert.deepEqual((await textsOf(heir, 3)).toSorted(), ['t 1 1', 't 2 1', 't 3 1'])
})

test('an identifier that a member may still hold is released before it means another message', async t => {
  const broker = await start(t)
  const lasting = { clientId: 'a', cleanStart: false, properties: { sessionExpiry: 100 }, acknowledges: false }
  const member = await connect(t, broker, lasting)
  await member.subscribe('$share/g/t', 2)
  const publisher = await connect(t, broker, { clientId: 'p' })
  await publisher.publish('t', 'old', { qos: 2 })
  const { packetId } = await member.message()
  member.destroy()
  const heir = await connect(t, broker, { clientId: 'heir' })
  await heir.subscribe('$share/g/t', 2)
  assert.deepEqual(await textsOf(heir, 1), ['t old 2'])
  heir.destroy()
  const again = await connect(t, broker, lasting)
  await later(20)
  const seen: string[] = []
  again.listen({
    message: ({ payload, packetId: id }) => seen.push(`${String(payload)} as ${id}`),
    packet: ({ type, value }) => seen.push(`${type} of ${(value as { packetId: number }).packetId}`),
    over: () => {},
  })
  await publisher.publish('t', 'new', { qos: 2 })
  while (seen.length < 2) await later(5)
  assert.deepEqual(seen, [`${types.pubrel} of ${packetId}`, `new as ${packetId}`])
})

test('figures of the broker come to who asks for them', async t => {
  const broker = await start(t, { statusIntervalMs: 50 })
  const client = await connect(t, broker)
  await client.subscribe('#', 0)
  await client.subscribe('$SYS/broker/clients/connected', 0)
  assert.deepEqual(await textsOf(client, 2), ['$SYS/broker/clients/connected 1 0', '$SYS/broker/clients/connected 1 0'])
  assert.equal(await client.unsubscribe('$SYS/broker/clients/connected'), 0)
})
