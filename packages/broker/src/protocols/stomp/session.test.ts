import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startBroker } from '../../main.ts'
import { StompDriver } from './driver.ts'
import { addressOf, bodies, connect, directory, network, refused, start } from './testing/bench.ts'

const options = { timeout: 120_000 }

describe('a connection', options, () => {
  test('agrees upon the newest version that both know', async t => {
    const broker = await start(t)
    const wishes: [string | undefined, string][] = [
      ['1.0,1.1,1.2', '1.2'],
      ['1.1,1.0', '1.1'],
      ['1.0', '1.0'],
      [undefined, '1.0'],
      ['2.0, 1.2', '1.2'],
    ]
    for (const [wish, version] of wishes) {
      const driver = await StompDriver.open(network, addressOf(broker))
      driver.send('CONNECT', wish === undefined ? {} : { 'accept-version': wish })
      assert.equal((await driver.expect('CONNECTED')).headers['version'], version)
      driver.close()
    }
  })

  test('begins with CONNECT, once', async t => {
    const broker = await start(t)
    const driver = await StompDriver.open(network, addressOf(broker))
    driver.send('SEND', { destination: '/queue/a' })
    await refused(driver, 'Not connected', /Expected CONNECT or STOMP, got "SEND"/)
    const again = await connect(t, broker)
    again.send('CONNECT')
    await refused(again, 'Already connected', /open already/)
  })

  test('is to a namespace; the name of a host is none', async t => {
    const broker = await start(t)
    await broker.core.namespaces.set('tenant')
    const tenant = await connect(t, broker, { host: 'tenant' })
    await tenant.ask('SEND', { destination: '/queue/q' }, 'x')
    assert(broker.core.queues.get('tenant', 'q'))
    const home = await connect(t, broker, { host: 'broker.example.org' })
    await home.ask('SEND', { destination: '/queue/home' }, 'x')
    assert(broker.core.queues.get('/', 'home'))
    const nobody = await StompDriver.open(network, addressOf(broker))
    nobody.send('CONNECT', { 'accept-version': '1.2', host: '/absent' })
    await refused(nobody, 'Bad CONNECT', /There is no virtual host "\/absent"/)
  })

  test('needs the right passcode where there are users, and is not told which was wrong', async t => {
    const broker = await start(t, { users: 'ann:secret' })
    await connect(t, broker, { login: 'ann', passcode: 'secret' })
    for (const given of [{ login: 'ann', passcode: 'wrong' }, { login: 'bob', passcode: 'secret' }, {}]) {
      const driver = await StompDriver.open(network, addressOf(broker))
      driver.send('CONNECT', { 'accept-version': '1.2', ...given })
      const { body } = await refused(driver, 'Bad CONNECT', /Access refused for user/)
      assert(!body.toString().includes('secret') && !body.toString().includes('wrong'))
    }
  })

  test('is kept alive by beats both ways, and given up without them', async t => {
    const broker = await start(t)
    const driver = await StompDriver.open(network, addressOf(broker))
    driver.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': '120,150' })
    assert.equal((await driver.expect('CONNECTED')).headers['heart-beat'], '150,120')
    const end = Date.now() + 700
    while (Date.now() < end || driver.beats < 4) {
      driver.sendBytes('\n')
      await new Promise(resolve => setTimeout(resolve, 60))
    }
    await refused(driver, 'heart-beat_timeout', /Nothing has come for twice 120 ms/)
    const wrong = await StompDriver.open(network, addressOf(broker))
    wrong.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': 'often' })
    await refused(wrong, 'invalid_header', /heart-beat takes two numbers/)
  })

  test('ends with the receipt of DISCONNECT, when all before it is done', async t => {
    const data = directory(t)
    const broker = await startBroker({ data, stomp: 0 })
    const driver = await StompDriver.connect(network, addressOf(broker))
    for (let index = 0; index < 100; index++) driver.send('SEND', { destination: '/queue/q' }, `${index}`)
    await driver.ask('DISCONNECT')
    await driver.gone()
    await broker.close()
    const second = await start(t, { data })
    assert.equal(second.core.queues.get('/', 'q')?.readyCount, 100)
  })

  test('is listed with its subscriptions, and can be ended', async t => {
    const broker = await start(t)
    const driver = await connect(t, broker, { 'client-id': 'me' })
    await driver.ask('SUBSCRIBE', { id: 's', destination: '/queue/q', ack: 'client', 'prefetch-count': '3' })
    const [info] = broker.core.connections.list()
    assert.equal(info?.protocol, 'STOMP 1.2')
    assert.equal(info.givenName, 'me')
    const [channel] = info.channels()
    const [consumer] = channel?.consumers() ?? []
    assert.deepEqual([consumer?.tag, consumer?.queue, consumer?.prefetchCount], ['s', 'q', 3])
    info.close('enough')
    await refused(driver, 'connection_forced', /enough/)
    assert.equal(broker.core.connections.list().length, 0)
  })
})

describe('what is wrong is told, and ends the connection', options, () => {
  const wrong: [what: string, frames: [string, Record<string, string>][], title: string, explanation: RegExp][] = [
    ['an unknown command', [['HELLO', {}]], 'Bad command', /There is no command "HELLO"/],
    ['a SEND without a destination', [['SEND', {}]], 'missing_header', /SEND needs the header destination/],
    [
      'a destination of no kind',
      [['SEND', { destination: 'x' }]],
      'unknown_destination',
      /begin with one of: \/queue\//,
    ],
    ['a destination of nothing', [['SEND', { destination: '/queue/' }]], 'invalid_destination', /names nothing/],
    ['a queue that is not there', [['SEND', { destination: '/amq/queue/x' }]], 'not_found', /no queue "x"/],
    ['an exchange that is not there', [['SEND', { destination: '/exchange/x/k' }]], 'not_found', /no exchange "x"/],
    [
      'a priority',
      [['SEND', { destination: '/queue/a', priority: 'high' }]],
      'invalid_header',
      /priority takes a whole number, not "high"/,
    ],
    [
      'a SUBSCRIBE without an id',
      [['SUBSCRIBE', { destination: '/queue/a' }]],
      'missing_header',
      /needs the header id/,
    ],
    [
      'an ack mode',
      [['SUBSCRIBE', { id: '1', destination: '/queue/a', ack: 'yes' }]],
      'invalid_header',
      /ack takes auto/,
    ],
    [
      'a selector',
      [['SUBSCRIBE', { id: '1', destination: '/queue/a', selector: 'a =' }]],
      'invalid_request',
      /position 4/,
    ],
    [
      'an id twice',
      [
        ['SUBSCRIBE', { id: '1', destination: '/queue/a' }],
        ['SUBSCRIBE', { id: '1', destination: '/queue/b' }],
      ],
      'duplicated_subscription',
      /There is a subscription "1" already/,
    ],
    [
      'an argument of a queue',
      [['SUBSCRIBE', { id: '1', destination: '/queue/a', 'x-message-ttl': 'x' }]],
      'precondition_failed',
      /x-message-ttl/,
    ],
    [
      'a name that only the broker gives',
      [['SEND', { destination: '/queue/amq.mine' }]],
      'access_refused',
      /begin with amq\. are given by the broker alone/,
    ],
    [
      'a kind of queue that must last',
      [['SUBSCRIBE', { id: '1', destination: '/queue/a', 'x-queue-type': 'quorum', exclusive: 'true' }]],
      'precondition_failed',
      /A queue of the type quorum is durable/,
    ],
    [
      'no-local',
      [['SUBSCRIBE', { id: '1', destination: '/topic/a', 'no-local': 'true' }]],
      'not_supported',
      /no-local/,
    ],
    ['no subscription', [['UNSUBSCRIBE', { id: '1' }]], 'not_found', /no subscription "1"/],
    ['an ACK of nothing', [['ACK', {}]], 'missing_header', /the header id/],
    ['an ACK of what was not delivered', [['ACK', { id: 'x' }]], 'not_found', /no message "x"/],
    [
      'a transaction that has not begun',
      [['COMMIT', { transaction: 't' }]],
      'invalid_transaction',
      /no transaction "t"/,
    ],
    [
      'a transaction twice',
      [
        ['BEGIN', { transaction: 't' }],
        ['BEGIN', { transaction: 't' }],
      ],
      'invalid_transaction',
      /has begun already/,
    ],
    [
      'a durable subscription without a client-id',
      [['SUBSCRIBE', { id: '1', destination: '/topic/a', 'activemq.subscriptionName': 'n' }]],
      'missing_header',
      /client-id/,
    ],
  ]
  for (const [what, frames, title, explanation] of wrong) {
    test(what, options, async t => {
      const driver = await connect(t, await start(t))
      for (const [command, headers] of frames) driver.send(command, { ...headers, receipt: `for ${command}` })
      const error = await refused(driver, title, explanation)
      assert.equal(error.headers['receipt-id'], `for ${frames.at(-1)?.[0]}`)
      assert.match(error.body.toString(), new RegExp(`-----\n${frames.at(-1)?.[0]}\n`))
    })
  }

  test('bytes that are no frame', options, async t => {
    const broker = await start(t, { messageBytesMax: 1024 * 1024 })
    const bytes: [string, RegExp][] = [
      ['SEND\ndestination\n\n\0', /form name:value, got "destination"/],
      ['SEND\ndestination:/queue/a\ncontent-length:2\n\nabc\0', /does not end with NUL/],
      ['SEND\ndestination:/queue/a\\t\n\n\0', /no escape that STOMP 1.2 knows/],
      ['SEND\ndestination:/queue/a\ncontent-length:1048577\n\n', /at most 1048576 bytes/],
    ]
    for (const [text, explanation] of bytes) {
      const driver = await connect(t, broker)
      driver.sendBytes(text)
      await refused(driver, 'malformed frame received', explanation)
    }
  })
})

describe('subscriptions', options, () => {
  test('auto: what was given is gone; client: all up to it; client-individual: it alone', async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    const send = async (queue: string): Promise<void> => {
      for (const body of ['1', '2', '3', '4']) await driver.ask('SEND', { destination: `/queue/${queue}` }, body)
    }
    for (const queue of ['auto', 'client', 'single']) await send(queue)
    await driver.ask('SUBSCRIBE', { id: 'a', destination: '/queue/auto' })
    assert.deepEqual(await bodies(driver, 'a', 4), ['1', '2', '3', '4'])
    const counts = (queue: string): unknown => {
      const found = broker.core.queues.get('/', queue)
      return [found?.readyCount, found?.inFlightCount]
    }
    assert.deepEqual(counts('auto'), [0, 0])
    for (const [queue, ack] of [
      ['client', 'client'],
      ['single', 'client-individual'],
    ] as const) {
      await driver.ask('SUBSCRIBE', { id: queue, destination: `/queue/${queue}`, ack })
      const ids: string[] = []
      for (let index = 0; index < 4; index++) ids.push((await driver.message(queue)).headers['ack'] ?? '')
      await driver.ask('ACK', { id: ids[2] ?? '' })
      assert.deepEqual(counts(queue), ack === 'client' ? [0, 1] : [0, 3])
    }
    await driver.ask('UNSUBSCRIBE', { id: 'single' })
    assert.deepEqual(counts('single'), [3, 0])
    assert.equal(broker.core.queues.get('/', 'single')?.consumerCount, 0)
  })

  test('NACK gives back, and drops where that is asked for', async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    await driver.ask('SUBSCRIBE', {
      id: '1',
      destination: '/queue/q',
      ack: 'client-individual',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    })
    await driver.ask('SUBSCRIBE', { id: 'dead', destination: '/queue/dead' })
    await driver.ask('SEND', { destination: '/queue/q', colour: 'red' }, 'x')
    const first = await driver.message('1')
    assert.equal(first.headers['redelivered'], undefined)
    driver.send('NACK', { id: first.headers['ack'] ?? '' })
    const second = await driver.message('1')
    assert.equal(second.headers['redelivered'], 'true')
    driver.send('NACK', { id: second.headers['ack'] ?? '', requeue: 'false' })
    const dead = await driver.message('dead')
    assert.equal(dead.headers['colour'], 'red')
    assert.equal(dead.headers['x-first-death-queue'], 'q')
    assert.equal(dead.headers['x-last-death-reason'], 'rejected')
  })

  test('what a connection holds comes back when it goes', async t => {
    const broker = await start(t)
    const one = await connect(t, broker)
    await one.ask('SUBSCRIBE', { id: '1', destination: '/queue/q', ack: 'client' })
    await one.ask('SEND', { destination: '/queue/q' }, 'x')
    await one.message('1')
    one.close()
    const two = await connect(t, broker)
    await two.ask('SUBSCRIBE', { id: '1', destination: '/queue/q', ack: 'client' })
    assert.equal((await two.message('1')).headers['redelivered'], 'true')
  })

  test('prefetch-count bounds what is held', async t => {
    const driver = await connect(t, await start(t))
    for (const body of ['1', '2', '3']) await driver.ask('SEND', { destination: '/queue/q' }, body)
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/queue/q', ack: 'client-individual', 'prefetch-count': '2' })
    await driver.message('1')
    const { headers } = await driver.message('1')
    await driver.ask('SEND', { destination: '/queue/other' }, 'x')
    assert.equal(driver.pending.length, 0)
    await driver.ask('ACK', { id: headers['ack'] ?? '' })
    assert.equal((await driver.message('1')).body.toString(), '3')
  })

  test('a selector leaves to others what it does not want', async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    const selector = "colour = 'red' AND size > 9"
    await driver.ask('SUBSCRIBE', { id: 'red', destination: '/queue/q', selector })
    for (const [colour, size] of [
      ['red', '10'],
      ['blue', '10'],
      ['red', '9'],
      ['red', '11'],
    ] as const) {
      await driver.ask('SEND', { destination: '/queue/q', colour, size }, `${colour} ${size}`)
    }
    assert.deepEqual(await bodies(driver, 'red', 2), ['red 10', 'red 11'])
    assert.equal(broker.core.queues.get('/', 'q')?.readyCount, 2)
    await driver.ask('SUBSCRIBE', { id: 'all', destination: '/queue/q' })
    assert.deepEqual(await bodies(driver, 'all', 2), ['blue 10', 'red 9'])
    await driver.ask('SUBSCRIBE', { id: 'live', destination: '/topic/t.*', selector: "hyphenated_props:a-b LIKE 'x%'" })
    for (const value of ['y', 'xy']) await driver.ask('SEND', { destination: '/topic/t.a', 'a-b': value }, value)
    assert.deepEqual(await bodies(driver, 'live', 1), ['xy'])
  })

  test('a version 1.0 client may do without ids', async t => {
    const driver = await connect(t, await start(t), {}, '1.0')
    await driver.ask('SUBSCRIBE', { destination: '/queue/q', ack: 'client' })
    await driver.ask('SEND', { destination: '/queue/q', a: 'b:c\\d' }, 'x')
    const message = await driver.expect('MESSAGE')
    assert.equal(message.headers['subscription'], undefined)
    assert.equal(message.headers['a'], 'b:c\\d')
    await driver.ask('ACK', { 'message-id': message.headers['message-id'] ?? '' })
    await driver.ask('UNSUBSCRIBE', { destination: '/queue/q' })
  })

  test('headers cross the versions', async t => {
    const broker = await start(t)
    const [old, middle, young] = [
      await connect(t, broker, {}, '1.0'),
      await connect(t, broker, {}, '1.1'),
      await connect(t, broker, {}, '1.2'),
    ]
    for (const driver of [old, middle, young]) {
      await driver.ask('SUBSCRIBE', { id: 't', destination: '/topic/t', durable: 'false' })
      await driver.ask('SUBSCRIBE', { id: 'q', destination: '/topic/t', ack: 'client' })
    }
    young.send('SEND', { destination: '/topic/t', 'a:b': 'c:d\\e\nf' }, 'x')
    old.send('SEND', { destination: '/topic/t', g: 'h:i\\n' }, 'y')
    for (const id of ['t', 'q']) {
      for (const driver of [middle, young]) {
        const found = [(await driver.message(id)).headers, (await driver.message(id)).headers]
        assert.equal(found.find(each => each['a:b'])?.['a:b'], 'c:d\\e\nf')
        assert.equal(found.find(each => each['g'])?.['g'], 'h:i\\n')
      }
      const found = [(await old.message(id)).headers, (await old.message(id)).headers]
      assert.equal(found.find(each => each['a_b'])?.['a_b'], 'c:d\\e f')
      assert.equal(found.find(each => each['g'])?.['g'], 'h:i\\n')
    }
  })
})

describe('transactions', options, () => {
  test('take effect together, or not at all', async t => {
    const broker = await start(t)
    const driver = await connect(t, broker)
    await driver.ask('SEND', { destination: '/queue/in' }, 'job')
    await driver.ask('SUBSCRIBE', { id: 'in', destination: '/queue/in', ack: 'client' })
    const { headers } = await driver.message('in')
    const act = async (transaction: string): Promise<void> => {
      await driver.ask('BEGIN', { transaction })
      await driver.ask('SEND', { destination: '/queue/out', transaction }, 'done')
      await driver.ask('ACK', { id: headers['ack'] ?? '', transaction })
    }
    const state = (): unknown => {
      const { queues } = broker.core
      return [queues.get('/', 'in')?.inFlightCount, queues.get('/', 'out')?.readyCount]
    }
    await act('1')
    assert.deepEqual(state(), [1, 0])
    await driver.ask('ABORT', { transaction: '1' })
    assert.deepEqual(state(), [1, 0])
    await act('2')
    await driver.ask('COMMIT', { transaction: '2' })
    assert.deepEqual(state(), [0, 1])
    driver.send('SEND', { destination: '/queue/out', transaction: '2' })
    await refused(driver, 'invalid_transaction', /There is no transaction "2"/)
  })

  test('are bounded', async t => {
    const driver = await connect(t, await start(t, { messageBytesMax: 1024 * 1024 }))
    await driver.ask('BEGIN', { transaction: '1' })
    const body = Buffer.alloc(1024 * 1024)
    for (let index = 0; index < 20; index++) driver.send('SEND', { destination: '/queue/q', transaction: '1' }, body)
    await refused(driver, 'limit_reached', /open transactions of the connection would take more than/)
  })
})
