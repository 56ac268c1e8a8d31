import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { RespDriver } from './driver.ts'

const { network } = realRuntime()

interface World {
  broker: RunningBroker
  open(): Promise<RespDriver>
}

async function world(t: TestContext, options: Parameters<typeof startBroker>[0] = {}): Promise<World> {
  const broker = await startBroker({ data: 'memory', resp: 0, ...options })
  const drivers: RespDriver[] = []
  t.after(async () => {
    for (const driver of drivers) driver.close()
    await broker.close()
  })
  return {
    broker,
    async open() {
      const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
      drivers.push(driver)
      return driver
    },
  }
}

/** Words are separated by blanks; the answer is as a client of JavaScript has it, or an error. */
async function converse(driver: RespDriver, steps: readonly (readonly [string, unknown])[]): Promise<void> {
  for (const [line, wanted] of steps) {
    const got = await driver.text(...line.split(' ')).catch((error: unknown) => error)
    if (wanted instanceof RegExp) assert.match(String(got), wanted, line)
    else assert.deepEqual(got, wanted, line)
  }
}

test('an element that the other list does not take stays where it is', async t => {
  const { broker, open } = await world(t)
  const driver = await open()
  const settings = new Map([
    ['length.max', '1'],
    ['overflow', 'reject-publish'],
  ])
  await broker.core.queues.declare('/', 'full', settings)
  await converse(driver, [
    ['RPUSH l a b', 2],
    ['LMOVE l full LEFT RIGHT', 'a'],
    ['LMOVE l full LEFT RIGHT', /OOM/],
    ['LRANGE l 0 -1', ['b']],
    ['LMOVE l l LEFT RIGHT', 'b'],
    ['RPUSH l c', 2],
    ['LMOVE l l LEFT RIGHT', 'b'],
    ['LRANGE l 0 -1', ['c', 'b']],
  ])
})

const wrongType = /WRONGTYPE Operation against a key holding the wrong kind of value/

test('lists are pushed to, taken from and looked at at both ends and within', async t => {
  const driver = await (await world(t)).open()
  await converse(driver, [
    ['RPUSH l b c', 2],
    ['LPUSH l a z', 4],
    ['LRANGE l 0 -1', ['z', 'a', 'b', 'c']],
    ['LRANGE l -2 -1', ['b', 'c']],
    ['LRANGE l 5 9', []],
    ['LINDEX l -1', 'c'],
    ['LINDEX l 9', null],
    ['LSET l 0 y', 'OK'],
    ['LSET l 9 y', /ERR index out of range/],
    ['LSET none 0 y', /ERR no such key/],
    ['LINSERT l BEFORE b x', 5],
    ['LINSERT l AFTER nothing x', -1],
    ['LINSERT l ROUND b x', /ERR syntax error/],
    ['LPOS l x', 2],
    ['LPOS l nothing', null],
    ['RPUSH l x', 6],
    ['LPOS l x COUNT 0', [2, 5]],
    ['LPOS l x RANK -1', 5],
    ['LREM l -1 x', 1],
    ['LRANGE l 0 -1', ['y', 'a', 'x', 'b', 'c']],
    ['LTRIM l 1 3', 'OK'],
    ['LRANGE l 0 -1', ['a', 'x', 'b']],
    ['LMOVE l m LEFT RIGHT', 'a'],
    ['RPOPLPUSH l m', 'b'],
    ['LRANGE m 0 -1', ['b', 'a']],
    ['LMPOP 2 none m LEFT COUNT 5', ['m', ['b', 'a']]],
    ['LMPOP 1 m LEFT', null],
    ['RPOP l 5', ['x']],
    ['EXISTS l m', 0],
    ['LPUSHX l a', 0],
    ['LPOP l', null],
    ['LPOP l 2', null],
    ['LLEN l', 0],
    ['SET s 1', 'OK'],
    ['LPUSH s 1', wrongType],
    ['RPUSH l 1', 1],
    ['GET l', wrongType],
    ['TYPE l', 'list'],
    ['RPUSH l', /ERR wrong number of arguments for 'rpush' command/],
  ])
})

test('single values, and until when keys last', async t => {
  const driver = await (await world(t)).open()
  await converse(driver, [
    ['SET k v', 'OK'],
    ['SET k w NX', null],
    ['SET k w XX GET', 'v'],
    ['GET k', 'w'],
    ['SET lock me NX PX 100000', 'OK'],
    ['SET lock you NX PX 100000', null],
    ['TTL lock', 100],
    ['PERSIST lock', 1],
    ['TTL lock', -1],
    ['TTL none', -2],
    ['EXPIRE lock 10 XX', 0],
    ['EXPIRE lock 10 NX', 1],
    ['EXPIRE lock 5 GT', 0],
    ['EXPIRE lock 5 LT', 1],
    ['SET n 10', 'OK'],
    ['INCR n', 11],
    ['DECRBY n 20', -9],
    ['INCRBY n 9223372036854775807', Number('9223372036854775798')],
    ['INCRBY n 100', /ERR increment or decrement would overflow/],
    ['INCR k', /ERR value is not an integer or out of range/],
    ['INCRBYFLOAT f 0.1', '0.1'],
    ['APPEND k xyz', 4],
    ['STRLEN k', 4],
    ['GETRANGE k 1 -2', 'xy'],
    ['SETRANGE k 1 --', 4],
    ['GET k', 'w--z'],
    ['GETDEL k', 'w--z'],
    ['GET k', null],
    ['MSET a 1 b 2', 'OK'],
    ['MGET a none b', ['1', null, '2']],
    ['MSETNX c 1 a 2', 0],
    ['SETEX e 0 v', /ERR invalid expire time in 'setex' command/],
    ['GETEX none EX 0', null],
    ['EXPIRE none x AB', /ERR Unsupported option AB/],
    ['SET big 9223372036854775807', 'OK'],
    ['INCRBYFLOAT big 3', '9223372036854775810'],
    ['WATCH a', 'OK'],
    ['MULTI', 'OK'],
    ['EXEC now', /EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command/],
    ['EXEC', /ERR EXEC without MULTI/],
    ['SET e v PX 30', 'OK'],
  ])
  await new Promise(resolve => setTimeout(resolve, 60))
  assert.equal(await driver.text('GET', 'e'), null)
  assert.equal(await driver.text('RPUSH', 'l', 'a'), 1)
  assert.equal(await driver.text('PEXPIRE', 'l', 20), 1)
  await new Promise(resolve => setTimeout(resolve, 60))
  assert.equal(await driver.text('EXISTS', 'l'), 0)
})

test('keys are found, renamed and removed, whatever they name', async t => {
  const driver = await (await world(t)).open()
  await converse(driver, [
    ['MSET a:1 x a:2 y b:1 z', 'OK'],
    ['RPUSH a:l 1 2 3', 3],
    ['DBSIZE', 4],
    ['SCAN 0 MATCH b:* COUNT 100', ['0', ['b:1']]],
    ['RENAME a:l moved', 'OK'],
    ['LRANGE moved 0 -1', ['1', '2', '3']],
    ['RENAME none x', /ERR no such key/],
    ['RENAMENX a:1 a:2', 0],
    ['COPY moved copied', 1],
    ['LRANGE copied 0 -1', ['1', '2', '3']],
    ['DEL a:1 a:2 none', 2],
    ['UNLINK moved', 1],
    ['TYPE moved', 'none'],
    ['FLUSHALL', 'OK'],
    ['DBSIZE', 0],
  ])
  for (let at = 0; at < 100; at++) await driver.text('SET', `k${at}`, at)
  const seen = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = (await driver.text('SCAN', cursor, 'COUNT', 7)) as [string, string[]]
    for (const key of keys) seen.add(key)
    cursor = next
  } while (cursor !== '0')
  assert.equal(seen.size, 100)
})

test('what others have declared is a key like any other, but for FLUSHALL', async t => {
  const { open, broker } = await world(t)
  const driver = await open()
  await broker.core.queues.declare('/', 'declared')
  await broker.core.topics.create('/', 'topic')
  const forEver = new Map(['retentionMs', 'retentionBytes'].map(name => [name, '-1']))
  await broker.core.topics.create('/', 'kept', { partitions: 1, config: forEver })
  await converse(driver, [
    ['XADD kept 1-1 a b', '1-1'],
    ['XADD entries 1-1 a b', '1-1'],
    ['TYPE declared', 'none'],
    ['RPUSH declared a', 1],
    ['RPUSH made a', 1],
    ['SET s v', 'OK'],
    ['TYPE topic', 'stream'],
    ['FLUSHALL', 'OK'],
    ['EXISTS made s entries', 0],
    ['XLEN kept', 1],
    ['LRANGE declared 0 -1', ['a']],
    ['TYPE topic', 'stream'],
    ['DEL declared', 1],
    ['LLEN declared', 0],
  ])
  assert(broker.core.queues.get('/', 'declared'))
})

test('who waits first is served first, and with one element each', async t => {
  const { open } = await world(t)
  const [first, second, pusher] = [await open(), await open(), await open()]
  const waiting = [first.text('BLPOP', 'none', 'l', 0), second.text('BRPOP', 'l', 0)]
  await pusher.text('PING')
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(await pusher.text('RPUSH', 'l', 'a', 'b', 'c'), 3)
  assert.deepEqual(await Promise.all(waiting), [
    ['l', 'a'],
    ['l', 'c'],
  ])
  assert.deepEqual(await pusher.text('LRANGE', 'l', 0, -1), ['b'])
  const moved = first.text('BLMOVE', 'from', 'to', 'LEFT', 'RIGHT', 0)
  const chained = second.text('BLPOP', 'to', 0)
  await pusher.text('RPUSH', 'from', 'x')
  assert.deepEqual([await moved, await chained], ['x', ['to', 'x']])
  assert.equal(await first.text('BLPOP', 'l2', '0.02'), null)
  const early = first.text('BLPOP', 'fair', 0)
  await new Promise(resolve => setTimeout(resolve, 20))
  const pushed = pusher.text('LPUSH', 'fair', 'a')
  const late = pusher.text('BLPOP', 'fair', '0.02')
  assert.deepEqual([await early, await pushed, await late], [['fair', 'a'], 1, null])
  const held = first.text('BLPOP', 'l2', 0)
  const behind = first.text('PING')
  await pusher.text('RPUSH', 'l2', 'x')
  assert.deepEqual([await held, await behind], [['l2', 'x'], 'PONG'])
})

test('a transaction is carried out whole, or not at all when what it watches has changed', async t => {
  const { open } = await world(t)
  const [driver, other] = [await open(), await open()]
  await converse(driver, [
    ['MULTI', 'OK'],
    ['RPUSH l a b', 'QUEUED'],
    ['INCR n', 'QUEUED'],
    ['LPOP l', 'QUEUED'],
    ['BLPOP none 0', 'QUEUED'],
    ['EXEC', [2, 1, 'a', null]],
    ['WATCH n', 'OK'],
  ])
  await other.text('INCR', 'n')
  await converse(driver, [
    ['MULTI', 'OK'],
    ['SET n 100', 'QUEUED'],
    ['EXEC', null],
    ['GET n', '2'],
    ['MULTI', 'OK'],
    ['SET n', /ERR wrong number/],
    ['SET n 1', 'QUEUED'],
    ['EXEC', /EXECABORT Transaction discarded because of previous errors/],
    ['EXEC', /ERR EXEC without MULTI/],
    ['DISCARD', /ERR DISCARD without MULTI/],
  ])
})

test('what is published reaches those who are subscribed, in RESP2 and RESP3', async t => {
  const { open } = await world(t)
  const [two, three, publisher] = [await open(), await open(), await open()]
  await three.text('HELLO', 3)
  assert.deepEqual(await two.text('SUBSCRIBE', 'news'), ['subscribe', 'news', 1])
  assert.deepEqual(await three.text('PSUBSCRIBE', 'n*'), ['psubscribe', 'n*', 1])
  assert.equal(await publisher.text('PUBLISH', 'news', 'hello'), 2)
  assert.deepEqual((await two.push()).map(String), ['message', 'news', 'hello'])
  assert.deepEqual((await three.push()).map(String), ['pmessage', 'n*', 'news', 'hello'])
  await assert.rejects(two.text('GET', 'a'), /Can't execute 'get'/)
  assert.equal(await three.text('SET', 'a', 1), 'OK')
  assert.deepEqual(await publisher.text('PUBSUB', 'NUMSUB', 'news', 'other'), ['news', 1, 'other', 0])
  assert.equal(await publisher.text('PUBSUB', 'NUMPAT'), 1)
  assert.deepEqual(await two.text('UNSUBSCRIBE'), ['unsubscribe', 'news', 0])
  assert.equal(await publisher.text('PUBLISH', 'news', 'again'), 1)
  assert.deepEqual(await two.text('SSUBSCRIBE', 'news'), ['ssubscribe', 'news', 1])
  assert.equal(await publisher.text('SPUBLISH', 'news', 'sharded'), 1)
  assert.deepEqual((await two.push()).map(String), ['smessage', 'news', 'sharded'])
})

test('who subscribes is not told what was published just before', async t => {
  const { open } = await world(t)
  const [before, both] = [await open(), await open()]
  await before.text('SUBSCRIBE', 'news')
  await both.text('HELLO', 3)
  const told = [
    both.text('PUBLISH', 'news', 'old'),
    both.text('SUBSCRIBE', 'news'),
    both.text('PUBLISH', 'news', 'new'),
  ]
  assert.deepEqual(await Promise.all(told), [1, ['subscribe', 'news', 1], 2])
  assert.deepEqual((await both.push()).map(String), ['message', 'news', 'new'])
  for (const text of ['old', 'new']) assert.deepEqual((await before.push()).map(String), ['message', 'news', text])
})

test('channels tell what happens to keys', async t => {
  const { open } = await world(t)
  const [listener, driver] = [await open(), await open()]
  await driver.text('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
  await listener.text('PSUBSCRIBE', '__key*__:*')
  await driver.text('LPUSH', 'l', 'a')
  await driver.text('LPOP', 'l')
  const seen: string[] = []
  for (let count = 0; count < 6; count++) seen.push((await listener.push()).slice(2).join(' '))
  assert.deepEqual(seen, [
    '__keyspace@0__:l lpush',
    '__keyevent@0__:lpush l',
    '__keyspace@0__:l lpop',
    '__keyevent@0__:lpop l',
    '__keyspace@0__:l del',
    '__keyevent@0__:del l',
  ])
})

test('channels tell of keys that are new, and of those that are missed', async t => {
  const { open } = await world(t)
  const [listener, driver] = [await open(), await open()]
  await driver.text('CONFIG', 'SET', 'notify-keyspace-events', 'Emn')
  await listener.text('PSUBSCRIBE', '__key*__:*')
  for (const line of [
    'GET a',
    'SET a 1',
    'SET a 2',
    'GET a',
    'XADD s 1-1 a b',
    'XLEN t',
    'RENAME a b',
    'SET c 1 GET',
  ]) {
    await driver.text(...line.split(' '))
  }
  await assert.rejects(driver.text('GETRANGE', 'none', 'x', 'y'))
  await driver.text('OBJECT', 'ENCODING', 'none')
  await driver.text('LPUSH', 'last', 'x')
  const seen: string[] = []
  while (seen.at(-1) !== 'new last')
    seen.push((await listener.push()).slice(2).join(' ').replace('__keyevent@0__:', ''))
  assert.deepEqual(seen, ['keymiss a', 'new a', 'new s', 'keymiss t', 'new b', 'keymiss c', 'new c', 'new last'])
})

test('commands that are sent together are answered in their order', async t => {
  const driver = await (await world(t)).open()
  const answers = await Promise.all([
    driver.text('RPUSH', 'l', 'a'),
    driver.text('LPOP', 'l'),
    driver.text('LPOP', 'l'),
    driver.text('SET', 'k', 'v'),
    driver.text('GET', 'k'),
    driver.ask('WHAT', 'is', 'this').then(String),
    driver.text('PING'),
  ])
  const unknown = "Error: ERR unknown command 'WHAT', with args beginning with: 'is' 'this' "
  assert.deepEqual(answers, [1, 'a', null, 'OK', 'v', unknown, 'PONG'])
})

test('nobody does anything before they have said who they are, and then what they may', async t => {
  const { open } = await world(t, { users: 'ann:secret', authentication: 'on' })
  const driver = await open()
  await converse(driver, [
    ['PING', /NOAUTH Authentication required/],
    ['HELLO 3', /NOAUTH HELLO must be called/],
    ['AUTH ann wrong', /WRONGPASS/],
    ['AUTH ann secret', 'OK'],
    ['SET k v', 'OK'],
  ])
  const stranger = await open()
  await assert.rejects(stranger.text('SET', 'k', 'x'.repeat(20_000)), /unauthenticated bulk length/)
  await converse(driver, [['RESET', 'RESET']])
  await assert.rejects(driver.text('SET', 'k', 'x'.repeat(20_000)), /unauthenticated bulk length/)
})

test('who does not log in in time is closed, whatever else it says', async t => {
  const { open } = await world(t, { users: 'ann:secret', authentication: 'on', authenticationTimeoutMs: 500 })
  const [stranger, known] = [await open(), await open()]
  await converse(known, [['AUTH ann secret', 'OK']])
  await assert.rejects(stranger.text('PING'), /NOAUTH/)
  while (!stranger.isOver) await new Promise(resolve => setTimeout(resolve, 5))
  await converse(known, [['PING', 'PONG']])
})

test('what is no command of the protocol ends the connection, with a word', async t => {
  const { open } = await world(t)
  for (const [bytes, problem] of [
    ['*1\r\n:3\r\n', "expected '$', got ':'"],
    ['*99999999999\r\n', 'invalid multibulk length'],
    ['*1\r\n$-5\r\n', 'invalid bulk length'],
    ['*1\r\n$99999999999\r\n', 'invalid bulk length'],
    ['SET "a\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(70_000), 'too big inline request'],
  ] as const) {
    const driver = await open()
    const answer = await driver.send(Buffer.from(bytes))
    assert.equal(String(answer), `Error: ERR Protocol error: ${problem}`)
    await assert.rejects(driver.text('PING'))
  }
})

test('who was sent away takes nothing more, though its connection is not over yet', async t => {
  const { open } = await world(t)
  const [waiting, listening, other] = [await open(), await open(), await open()]
  const ids = [await waiting.ask('CLIENT', 'ID'), await listening.ask('CLIENT', 'ID')]
  void waiting.ask('BLPOP', 'l', 0).catch(() => {})
  await listening.ask('SUBSCRIBE', 'c')
  while ((await other.ask('PUBSUB', 'NUMSUB', 'c'))?.toString() !== 'c,1') await new Promise(setImmediate)
  const said = (await other.text('CLIENT', 'LIST')) as string
  assert.match(said, /cmd=blpop/)
  const lines = [...ids.map(id => `CLIENT KILL ID ${String(id)}`), 'RPUSH l a', 'LLEN l', 'PUBLISH c x']
  // All of it comes in one piece.
  const answers = await Promise.all(lines.map(line => other.text(...line.split(' '))))
  assert.deepEqual(answers, [1, 1, 1, 1, 0])
})

test('on a full disk, what is published and has to be stored is refused, and nobody is given it', async t => {
  const { broker, open } = await world(t)
  const { queues, router, ledger } = broker.core
  await queues.declare('/', 'q')
  await router.bind('/', { source: 'amq.topic', kind: 'queue', destination: 'q', key: 'kept' })
  const [listening, other] = [await open(), await open()]
  for (const channel of ['kept', 'passing']) await listening.ask('SUBSCRIBE', channel)
  Object.defineProperty(ledger, 'full', { get: () => true, configurable: true })
  await converse(other, [
    ['PUBLISH kept x', /MISCONF /],
    ['PUBLISH passing y', 1],
  ])
  Reflect.deleteProperty(ledger, 'full')
  await converse(other, [['PUBLISH kept z', 1]])
  assert.deepEqual(
    [await listening.push(), await listening.push()].map(([, channel, text]) => `${String(channel)} ${String(text)}`),
    ['passing y', 'kept z'],
  )
})

test('a key that names one thing is given to another, or nothing is changed', async t => {
  const { open, broker } = await world(t)
  const driver = await open()
  const { queues, router } = broker.core
  await queues.declare('/', 'declared', new Map())
  const message = { namespace: '/', exchange: '', key: 'declared', message: { value: Buffer.from('w') } }
  await new Promise<unknown>(resolve => router.publish(message, resolve))
  await converse(driver, [
    ['RPUSH l 1 2', 2],
    ['RPUSH k 1 2', 2],
    ['XADD s 1-1 f v', '1-1'],
    ['XADD c 1-1 f v', '1-1'],
    ['COPY c l REPLACE', 1],
    ['RENAME s k', 'OK'],
    ['XLEN k', 1],
    ['XLEN l', 1],
    ['SET v x', 'OK'],
    // Its messages are others', too.
    ['SET declared x', /WRONGTYPE/],
    ['RENAME v declared', /WRONGTYPE/],
    ['RENAME k declared', /WRONGTYPE/],
    ['COPY v declared REPLACE', /WRONGTYPE/],
    ['COPY k declared REPLACE', /WRONGTYPE/],
    ['LRANGE declared 0 -1', ['w']],
    ['GET v', 'x'],
    ['RPUSH l2 1', 1],
    ['SET l2 x', 'OK'],
    ['SET k x', 'OK'],
    ['MGET l2 k', ['x', 'x']],
  ])
})
