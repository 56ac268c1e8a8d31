import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startBroker } from '../../main.ts'
import { StompDriver } from './driver.ts'
import { neutralAddress, ownAddress, parseDestination, publishedTo, queueDestination } from './destinations.ts'
import { addressOf, bodies, connect, directory, network, refused, start } from './testing/bench.ts'

const options = { timeout: 120_000 }

test('destinations are read', () => {
  const read = (text: string): string => JSON.stringify(parseDestination(text)).replaceAll('"', '')
  assert.equal(read('/queue/a/b%2Fc%25'), '{kind:queue,name:a/b/c%,isMade:true}')
  assert.equal(read('/amq/queue/a'), '{kind:queue,name:a,isMade:false}')
  assert.equal(read('/topic/a.>'), '{kind:exchange,exchange:amq.topic,key:a.#}')
  assert.equal(read('/topic/>'), '{kind:exchange,exchange:amq.topic,key:#}')
  assert.equal(read('/exchange/a%2Fb/c/d'), '{kind:exchange,exchange:a/b,key:c/d}')
  assert.equal(read('/exchange/a'), '{kind:exchange,exchange:a}')
  assert.equal(read('/temp-queue/a'), '{kind:temporary,of:queue,name:a}')
  assert.equal(read('queue://a'), '{kind:queue,name:a,isMade:true}')
  for (const wrong of ['a', '/', '/queue', '/queue/', '/exchange/', '/exchange//k', '/Queue/a']) {
    assert.throws(() => parseDestination(wrong), wrong)
  }
  assert.equal(queueDestination('a%b'), '/queue/a%25b')
  assert.deepEqual(parseDestination(publishedTo('a/b%', 'c/d') ?? ''), {
    kind: 'exchange',
    exchange: 'a/b%',
    key: 'c/d',
  })
  assert.equal(neutralAddress(ownAddress('a%b')), 'a%b')
  assert.equal(neutralAddress('/topic/a'), '/topic/a')
})

describe('destinations', options, () => {
  test('/queue is durable, made by who names it first, and named to all', options, async t => {
    const data = directory(t)
    const broker = await startBroker({ data, stomp: 0 })
    const driver = await StompDriver.connect(network, addressOf(broker))
    await driver.ask('SEND', { destination: '/queue/q', 'x-message-ttl': '600000', priority: '7' }, 'kept')
    assert.equal(broker.core.queues.get('/', 'q')?.config.messageTtlMs, 600_000)
    await driver.ask('SUBSCRIBE', { id: 'p', destination: '/queue/p', 'x-max-priority': '9' })
    await driver.ask('UNSUBSCRIBE', { id: 'p' })
    for (const priority of ['1', '9', '5']) await driver.ask('SEND', { destination: '/queue/p', priority }, priority)
    await broker.close()
    const second = await start(t, { data })
    const again = await connect(t, second)
    await again.ask('SUBSCRIBE', { id: '1', destination: '/amq/queue/q' })
    assert.deepEqual(await bodies(again, '1', 1), ['kept'])
    await again.ask('SUBSCRIBE', { id: '2', destination: '/queue/p' })
    assert.deepEqual(await bodies(again, '2', 3), ['9', '5', '1'])
    again.send('SUBSCRIBE', { id: '3', destination: '/queue/p', 'x-max-priority': '8' })
    await refused(again, 'precondition_failed', /has priority\.max 9, not 8/)
  })

  test('/topic reaches those who are there, also by patterns, and by other exchanges', options, async t => {
    const broker = await start(t)
    await broker.core.router.declare('/', 'logs', { kind: 'fanout' })
    const driver = await connect(t, broker)
    const subscribe = (id: string, destination: string): Promise<void> => driver.ask('SUBSCRIBE', { id, destination })
    await subscribe('exact', '/topic/a.b')
    await subscribe('one', '/topic/a.*')
    await subscribe('rest', '/topic/a.>')
    await subscribe('logs', '/exchange/logs')
    await driver.ask('SEND', { destination: '/topic/a.b' }, '1')
    await driver.ask('SEND', { destination: '/topic/a.b.c' }, '2')
    await driver.ask('SEND', { destination: '/exchange/amq.topic/a.x' }, '3')
    await driver.ask('SEND', { destination: '/exchange/logs/any' }, '4')
    assert.deepEqual(await bodies(driver, 'exact', 1), ['1'])
    assert.deepEqual(await bodies(driver, 'one', 2), ['1', '3'])
    assert.deepEqual(await bodies(driver, 'rest', 3), ['1', '2', '3'])
    const { headers, body } = await driver.message('logs')
    assert.deepEqual([headers['destination'], body.toString()], ['/exchange/logs/any', '4'])
    await driver.ask('UNSUBSCRIBE', { id: 'one' })
    await driver.ask('SEND', { destination: '/topic/a.b' }, '5')
    await driver.ask('DISCONNECT')
    assert.deepEqual(new Set(driver.pending.map(each => each.headers['subscription'])), new Set(['exact', 'rest']))
    assert.equal(broker.core.router.reach('/', 'amq.topic', 'a.b'), 0)
  })

  test('/topic with acknowledgements is a queue of the connection, and goes with it', options, async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    const wish = { ack: 'client-individual', exclusive: 'false', 'auto-delete': 'false', durable: 'false' }
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/topic/a', ...wish, selector: "n <> '2'" })
    for (const n of ['1', '2', '3']) await driver.ask('SEND', { destination: '/topic/a', n }, n)
    const first = await driver.message('1')
    driver.send('NACK', { id: first.headers['ack'] ?? '' })
    assert.deepEqual((await bodies(driver, '1', 2)).toSorted(), ['1', '3'])
    assert.equal(broker.core.queues.list().length, 1)
    assert.equal(broker.core.queues.list()[0]?.readyCount, 0)
    driver.close()
    while (broker.core.queues.list().length > 0) await new Promise(resolve => setTimeout(resolve, 5))
  })

  for (const [kind, subscribe, unsubscribe] of [
    ['durable, under a name of its own', { durable: 'true', 'x-queue-name': 'my news' }, { durable: 'true' }],
    ['durable', { durable: 'true', 'auto-delete': 'false' }, { durable: 'true', destination: '/topic/news.*' }],
    ['named', { 'activemq.subscriptionName': 'news' }, { 'activemq.subscriptionName': 'news' }],
  ] as const) {
    test(`a ${kind} subscription gets what came while nobody was there, also over a restart`, options, async t => {
      const data = directory(t)
      const broker = await startBroker({ data, stomp: 0 })
      const reader = await StompDriver.connect(network, addressOf(broker), { 'client-id': 'me' })
      const asked = { id: '1', destination: '/topic/news.*', ...subscribe }
      await reader.ask('SUBSCRIBE', asked)
      await reader.ask('DISCONNECT')
      const writer = await StompDriver.connect(network, addressOf(broker))
      await writer.ask('SEND', { destination: '/topic/news.today' }, '1')
      await broker.close()
      const second = await start(t, { data })
      const again = await connect(t, second, { 'client-id': 'me' })
      await again.ask('SUBSCRIBE', asked)
      const message = await again.message('1')
      assert.deepEqual([message.headers['destination'], message.body.toString()], ['/topic/news.today', '1'])
      await again.ask('UNSUBSCRIBE', { id: '1', ...unsubscribe })
      assert.equal(second.core.queues.list().length, 0)
    })
  }

  test('answers come by a temporary queue that nobody else can read', options, async t => {
    const broker = await start(t)
    const [asking, answering] = [await connect(t, broker), await connect(t, broker)]
    await answering.ask('SUBSCRIBE', { id: '1', destination: '/queue/questions' })
    await asking.ask(
      'SEND',
      { destination: '/queue/questions', 'reply-to': '/temp-queue/mine', 'correlation-id': '7' },
      '?',
    )
    const question = await answering.message('1')
    const replyTo = question.headers['reply-to'] ?? ''
    assert.match(replyTo, /^\/reply-queue\//)
    await answering.ask('SEND', { destination: replyTo, 'correlation-id': '7' }, '!')
    const answer = await asking.message('/temp-queue/mine')
    assert.deepEqual([answer.headers['correlation-id'], answer.body.toString()], ['7', '!'])
    answering.send('SUBSCRIBE', { id: '2', destination: replyTo })
    await refused(answering, 'resource_locked', /belongs to another connection/)
    asking.close()
    while (broker.core.queues.list().length > 1) await new Promise(resolve => setTimeout(resolve, 5))
  })

  test('a topic is read from where one likes, and shared by a group', options, async t => {
    const broker = await start(t)
    await broker.core.topics.create('/', 'log', { partitions: 1 })
    const driver = await connect(t, broker)
    for (const body of ['1', '2', '3']) await driver.ask('SEND', { destination: '/queue/log', n: body }, body)
    await driver.ask('SUBSCRIBE', { id: 'all', destination: '/queue/log', 'x-stream-offset': 'first' })
    assert.deepEqual(await bodies(driver, 'all', 3), ['1', '2', '3'])
    await driver.ask('SUBSCRIBE', { id: 'two', destination: '/queue/log', 'x-stream-offset': '1', selector: 'n <> 2' })
    const { headers, body } = await driver.message('two')
    assert.deepEqual([headers['x-stream-offset'], body.toString()], ['2', '3'])
    const group = { destination: '/queue/log', 'x-group': 'g', ack: 'client-individual', 'prefetch-count': '1' }
    await driver.ask('SUBSCRIBE', { id: 'g1', ...group })
    await driver.ask('SUBSCRIBE', { id: 'g2', ...group })
    for (const text of ['4', '5']) await driver.ask('SEND', { destination: '/queue/log' }, text)
    const found = [(await driver.message('g1')).body.toString(), (await driver.message('g2')).body.toString()]
    assert.deepEqual(found.toSorted(), ['4', '5'])
  })

  test('what is to be sent later waits, and what expires is gone', options, async t => {
    const driver = await connect(t, await start(t))
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/queue/q' })
    const before = Date.now()
    await driver.ask('SEND', { destination: '/queue/q', AMQ_SCHEDULED_DELAY: '300' }, 'later')
    await driver.ask('SEND', { destination: '/queue/q' }, 'now')
    assert.deepEqual(await bodies(driver, '1', 2), ['now', 'later'])
    assert(Date.now() - before >= 295)
    const repeated = { AMQ_SCHEDULED_DELAY: '50', AMQ_SCHEDULED_PERIOD: '50', AMQ_SCHEDULED_REPEAT: '2' }
    await driver.ask('SEND', { destination: '/queue/q', ...repeated }, 'again')
    assert.deepEqual(await bodies(driver, '1', 3), ['again', 'again', 'again'])
    await driver.ask('SEND', { destination: '/queue/e', expires: String(Date.now() - 1) }, 'old')
    await driver.ask('SEND', { destination: '/queue/e', expires: String(Date.now() + 60_000) }, 'new')
    await driver.ask('SUBSCRIBE', { id: 'e', destination: '/queue/e' })
    assert.deepEqual(await bodies(driver, 'e', 1), ['new'])
    driver.send('SEND', { destination: '/queue/q', AMQ_SCHEDULED_CRON: 'never' }, 'x')
    await driver.expect('ERROR')
  })

  test('who is subscribed is told when the queue is removed', options, async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/queue/q' })
    await broker.core.queues.remove('/', 'q')
    await refused(driver, 'subscription_ended', /What "\/queue\/q" led to was removed/)
  })
})
