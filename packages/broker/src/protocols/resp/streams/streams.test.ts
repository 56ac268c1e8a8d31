import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { homeNamespace } from '../../../core/broker.ts'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { makeBatch, type NewRecord } from '../../../storage/record-batch.ts'
import { RespDriver } from '../driver.ts'

const { network } = realRuntime()

async function start(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', resp: 0, ...options })
  t.after(() => broker.close())
  return broker
}

async function connect(t: TestContext, broker: RunningBroker): Promise<RespDriver> {
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
  t.after(() => driver.close())
  return driver
}

/** Sends what is written, word by word. */
const say = (driver: RespDriver, line: string): Promise<unknown> => driver.text(...line.split(' '))

async function refusal(driver: RespDriver, line: string): Promise<string> {
  const answer = await driver.ask(...line.split(' '))
  assert(answer instanceof Error, `"${line}" was not refused`)
  return answer.message
}

/** As a client of a log would write them. */
function publish({ core }: RunningBroker, name: string, ...records: Partial<NewRecord>[]): Promise<void> {
  const [stream] = core.topics.get(homeNamespace, name)?.partitions ?? []
  assert(stream !== undefined)
  const batch = makeBatch(records.map(record => ({ key: null, value: null, timestampMs: 77, ...record })))
  return new Promise(resolve => {
    core.cell.append(stream, batch, ({ error }) => {
      assert.equal(error, undefined)
      resolve()
    })
  })
}

test('entries come back as they went in, whatever their fields are', async t => {
  const driver = await connect(t, await start(t))
  const rows: (string | Buffer)[][] = [
    ['a', '1'],
    ['body', 'text', 'key', 'k', 'x', 'y'],
    ['data', '1', 'data', '2'],
    ['key', 'only'],
    ['key', '1', 'key', '2', 'body', ''],
    ['', ''],
    [Buffer.from([0, 255, 13, 10]), Buffer.from([255, 254])],
    ['a', 'x'.repeat(100_000), 'b', 'y'.repeat(40)],
    Array.from({ length: 300 }, (_, index) => `part ${index}`),
  ]
  const ids = await Promise.all(rows.map(row => driver.ask('XADD', 's', '*', ...row)))
  const found = await driver.ask('XRANGE', 's', '-', '+')
  assert.deepEqual(
    found,
    rows.map((row, index) => [ids[index], row.map(part => Buffer.from(part))]),
  )
})

test('a reader of what it has just added sees it, in one pipeline and in a transaction', async t => {
  const driver = await connect(t, await start(t))
  const answers = [
    'XADD s 1-1 a b',
    'XRANGE s - +',
    'XADD s 2-1 a b',
    'XREAD STREAMS s 1-1',
    'XLEN s',
    'XDEL s 2-1',
    'XLEN s',
  ]
  const told = await Promise.all(answers.map(line => say(driver, line)))
  assert.deepEqual(told, ['1-1', [['1-1', ['a', 'b']]], '2-1', [['s', [['2-1', ['a', 'b']]]]], 2, 1, 1])
  const before = ['XADD early 1-1 a b', 'MULTI', 'XRANGE early - +', 'EXEC'].map(line => say(driver, line))
  assert.deepEqual((await Promise.all(before)).at(-1), [[['1-1', ['a', 'b']]]])
  const within = ['MULTI', 'XDEL early 1-1', 'XINFO GROUPS early', 'XTRIM early MINID 1', 'XLEN early', 'EXEC']
  assert.deepEqual((await Promise.all(within.map(line => say(driver, line)))).at(-1), [1, [], 0, 0])
  await say(driver, 'MULTI')
  for (const line of ['XADD s 3-1 c d', 'XADD s 3-2 e f', 'XREVRANGE s + - COUNT 2', 'XLEN s']) await say(driver, line)
  assert.deepEqual(await say(driver, 'EXEC'), [
    '3-1',
    '3-2',
    [
      ['3-2', ['e', 'f']],
      ['3-1', ['c', 'd']],
    ],
    3,
  ])
})

test('who waits gets an entry when it is durable, by group in turn, and leaves when its time is over', async t => {
  const broker = await start(t)
  const [writer, first, second, plain] = await Promise.all([1, 2, 3, 4].map(() => connect(t, broker)))
  assert(writer && first && second && plain)
  await say(writer, 'XGROUP CREATE s g $ MKSTREAM')
  const waiting = [
    say(first, 'XREADGROUP GROUP g a BLOCK 10000 COUNT 1 STREAMS s >'),
    say(plain, 'XREAD BLOCK 10000 STREAMS none s $ $'),
  ]
  await say(second, 'PING')
  const later = say(second, 'XREADGROUP GROUP g b BLOCK 10000 COUNT 1 STREAMS s >')
  await say(writer, 'PING')
  await say(writer, 'XADD s 1-1 x 1')
  assert.deepEqual(await Promise.all(waiting), [[['s', [['1-1', ['x', '1']]]]], [['s', [['1-1', ['x', '1']]]]]])
  await say(writer, 'XADD s 2-1 x 2')
  assert.deepEqual(await later, [['s', [['2-1', ['x', '2']]]]])
  assert.equal(await say(first, 'XREADGROUP GROUP g a BLOCK 20 STREAMS s >'), null)
  const gone = first.ask('XREADGROUP', 'GROUP', 'g', 'a', 'BLOCK', 10_000, 'STREAMS', 's', '>')
  await say(second, 'PING')
  await say(writer, 'XGROUP DESTROY s g')
  const answer = await gone
  assert(answer instanceof Error)
  assert.match(answer.message, /^NOGROUP /)
})

for (const [how, end] of [
  ['CLIENT UNBLOCK', (id: unknown) => `CLIENT UNBLOCK ${String(id)}`],
  ['CLIENT UNBLOCK with an error', (id: unknown) => `CLIENT UNBLOCK ${String(id)} ERROR`],
  ['CLIENT KILL', (id: unknown) => `CLIENT KILL ID ${String(id)}`],
  ['its time', () => 'PING'],
] as const) {
  test(`entries that are read from the disk for one whose waiting is ended by ${how} are answered or not delivered`, async t => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
    t.after(() => rmSync(data, { recursive: true, force: true }))
    const before = await startBroker({ data, resp: 0 })
    const old = await RespDriver.connect(network, { host: '127.0.0.1', port: before.port('resp') })
    for (let id = 1; id <= 100; id++) await say(old, `XADD s ${id}-0 a 1`)
    await say(old, 'XGROUP CREATE s g $')
    old.close()
    await before.close()
    const broker = await start(t, { data })
    const [waiting, other] = [await connect(t, broker), await connect(t, broker)]
    const id = await say(waiting, 'CLIENT ID')
    // Long enough for the reading to begin, also on a busy machine.
    const timeoutMs = how === 'its time' ? 2000 : 0
    const overMs = performance.now() + timeoutMs + 50
    let isOver = false
    const answer = waiting
      .ask(...`XREADGROUP GROUP g alice BLOCK ${timeoutMs} STREAMS s >`.split(' '))
      .catch((error: unknown) => error)
      .finally(() => (isOver = true))
    // All that is new is on the disk alone, and the waiting ends while it is being read.
    const { cell } = broker.core
    const fetch = cell.fetch.bind(cell)
    const held: (() => void)[] = []
    cell.fetch = (request, done) => fetch(request, result => void held.push(() => done(result)))
    await say(other, 'XGROUP SETID s g 0')
    await say(other, 'XADD s 200-0 a 1')
    while (held.length === 0 && !isOver) await new Promise(resolve => setImmediate(resolve))
    assert(held.length > 0, 'its time was over before the reading began')
    cell.fetch = fetch
    await say(other, end(id))
    if (timeoutMs > 0) await new Promise(resolve => setTimeout(resolve, overMs - performance.now()))
    for (const goOn of held) goOn()
    const entries = ((await answer) as [unknown, unknown[]][] | null | Error) ?? []
    const answered = entries instanceof Error ? 0 : entries.flatMap(([, some]) => some).length
    for (let left = 20; left > 0; left--) await new Promise(resolve => setImmediate(resolve))
    const [pending] = (await say(other, 'XPENDING s g')) as [number]
    assert.equal(pending, answered)
    const found = (await say(other, 'XREADGROUP GROUP g bob STREAMS s >')) as [string, unknown[]][] | null
    assert.equal((found?.[0]?.[1].length ?? 0) + answered, 101)
  })
}

test('what consumers hold is there after a kill, with holders, counts and ids', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const before = await startBroker({ data, resp: 0 })
  const old = await RespDriver.connect(network, { host: '127.0.0.1', port: before.port('resp') })
  await say(old, 'XADD s 1-1 a 1')
  await say(old, 'XADD s 2-2 a 2')
  await say(old, 'XADD s 3-3 a 3')
  await say(old, 'XGROUP CREATE s g 0')
  await say(old, 'XREADGROUP GROUP g alice COUNT 2 STREAMS s >')
  await say(old, 'XREADGROUP GROUP g bob STREAMS s >')
  await say(old, 'XCLAIM s g bob 0 2-2')
  await say(old, 'XACK s g 1-1')
  await say(old, 'XDEL s 3-3')
  old.close()
  await before.close()
  const driver = await connect(t, await start(t, { data }))
  assert.deepEqual(await say(driver, 'XPENDING s g'), [2, '2-2', '3-3', [['bob', '2']]])
  const rows = (await say(driver, 'XPENDING s g - + 10')) as unknown[][]
  assert.deepEqual(
    rows.map(([id, holder, , count]) => [id, holder, count]),
    [
      ['2-2', 'bob', 2],
      ['3-3', 'bob', 1],
    ],
  )
  assert.deepEqual(await say(driver, 'XREADGROUP GROUP g bob STREAMS s 0'), [
    [
      's',
      [
        ['2-2', ['a', '2']],
        ['3-3', null],
      ],
    ],
  ])
  assert.match(await refusal(driver, 'XADD s 3-3 a b'), /equal or smaller/)
  assert.deepEqual(await say(driver, 'XAUTOCLAIM s g carol 0 -'), ['0-0', [['2-2', ['a', '2']]], ['3-3']])
})

test('records of others are entries, and entries are messages to others', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  await broker.core.topics.create(homeNamespace, 'log', { partitions: 1 })
  await publish(
    broker,
    'log',
    { value: Buffer.from('plain') },
    { key: Buffer.from('k'), value: Buffer.from('v'), headers: [{ key: 'h', value: Buffer.from('1') }] },
  )
  const found = (await say(driver, 'XRANGE log - +')) as [string, string[]][]
  assert.deepEqual(
    found.map(([, fields]) => fields),
    [
      ['body', 'plain'],
      ['key', 'k', 'body', 'v', 'h', '1'],
    ],
  )
  await say(driver, 'XADD log * payload text key id content-type text/plain x y')
  await say(driver, 'XADD log * a 1 b 2')
  assert.deepEqual(((await say(driver, 'XRANGE log - +')) as unknown[]).slice(0, 2), found)
  const messages: unknown[] = []
  const stream = broker.core.entryStreams.get(homeNamespace, 'log')
  assert(stream)
  await stream.range({ ms: 0, seq: 0 }, stream.state.lastId, ({ record }) => {
    const { key, value, timestampMs } = record
    const message = broker.core.origins.messageOf({ key, value, timestampMs, headers: record.headers() })
    const { body, contentType, headers } = message
    messages.push({ key: message.key && String(message.key), body: String(body), contentType, headers })
    return true
  })
  assert.deepEqual(messages.slice(2), [
    { key: 'id', body: 'text', contentType: 'text/plain', headers: [{ name: 'x', value: 'y' }] },
    { key: null, body: '{"a":"1","b":"2"}', contentType: undefined, headers: [] },
  ])
})

test('a group reads what a client of a log has written, and waits for more of it', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  await say(driver, 'XGROUP CREATE log g $ MKSTREAM')
  const waiting = say(driver, 'XREADGROUP GROUP g a BLOCK 10000 STREAMS log >')
  const other = await connect(t, broker)
  await say(other, 'PING')
  await publish(broker, 'log', { value: Buffer.from('one') }, { value: Buffer.from('two') })
  const [[, entries]] = (await waiting) as [[string, [string, string[]][]]]
  assert.deepEqual(
    entries.map(([, fields]) => fields),
    [
      ['body', 'one'],
      ['body', 'two'],
    ],
  )
  assert.equal(await say(driver, `XACK log g ${entries.map(([id]) => id).join(' ')}`), 2)
})

test('XDELEX and XACKDEL say what becomes of entries that somebody holds', async t => {
  const driver = await connect(t, await start(t))
  for (let ms = 1; ms <= 4; ms++) await say(driver, `XADD s ${ms}-0 a b`)
  for (const group of ['g', 'h']) {
    await say(driver, `XGROUP CREATE s ${group} 0`)
    await say(driver, `XREADGROUP GROUP ${group} c COUNT 3 STREAMS s >`)
  }
  assert.deepEqual(await say(driver, 'XACKDEL s g ACKED IDS 2 1-0 9-0'), [2, -1])
  assert.deepEqual(await say(driver, 'XACKDEL s h ACKED IDS 1 1-0'), [1])
  assert.deepEqual(await say(driver, 'XDELEX s DELREF IDS 2 2-0 1-0'), [1, -1])
  assert.deepEqual(await say(driver, 'XPENDING s h'), [1, '3-0', '3-0', [['c', '1']]])
  assert.deepEqual(await say(driver, 'XDELEX s ACKED IDS 1 4-0'), [2])
  assert.deepEqual(await say(driver, 'XDELEX s KEEPREF IDS 1 3-0'), [1])
  assert.deepEqual(await say(driver, 'XACKDEL none g IDS 1 3-0'), [-1])
  assert.match(await refusal(driver, 'XDELEX s IDS 3 1-0'), /numids/)
  assert.match(await refusal(driver, 'XDELEX s IDS 0 1-0'), /positive/)
})

test('what is removed and trimmed is gone, exactly or in whole hundreds', async t => {
  const driver = await connect(t, await start(t))
  await Promise.all(Array.from({ length: 555 }, (_, index) => say(driver, `XADD s ${index + 1}-0 a b`)))
  assert.equal(await say(driver, 'XTRIM s MAXLEN ~ 300'), 200)
  assert.equal(await say(driver, 'XTRIM s MINID ~ 399 LIMIT 100'), 100)
  assert.equal(await say(driver, 'XTRIM s MINID 310'), 9)
  assert.equal(await say(driver, 'XDEL s 311 400 9999'), 2)
  assert.equal(await say(driver, 'XTRIM s MAXLEN 100'), 144)
  assert.equal(await say(driver, 'XLEN s'), 100)
  await say(driver, 'XADD s MAXLEN 5 1000-0 a b')
  const left = (await say(driver, 'XRANGE s - +')) as [string][]
  assert.deepEqual(
    left.map(([id]) => id),
    ['552-0', '553-0', '554-0', '555-0', '1000-0'],
  )
})

test('keys of other kinds, and topics that cannot be streams, are refused', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  await say(driver, 'SET text v')
  await say(driver, 'RPUSH list v')
  await broker.core.topics.create(homeNamespace, 'wide', { partitions: 3 })
  for (const line of [
    'XADD text * a b',
    'XLEN text',
    'XRANGE list - +',
    'XREAD STREAMS list 0',
    'XGROUP CREATE text g 0',
  ])
    assert.match(await refusal(driver, line), /^WRONGTYPE /)
  assert.match(await refusal(driver, 'XADD wide * a b'), /several partitions/)
  assert.equal(await say(driver, 'TYPE wide'), 'stream')
  await say(driver, 'XADD s * a b')
  assert.match(await refusal(driver, 'RPUSH s x'), /^WRONGTYPE /)
  assert.match(await refusal(driver, 'GET s'), /^WRONGTYPE /)
  assert.equal(await say(driver, 'DEL s'), 1)
  assert.equal(await say(driver, 'RPUSH s x'), 1)
})

test('what is wrong is told in the words of Redis', async t => {
  const driver = await connect(t, await start(t))
  await say(driver, 'XADD s 5-5 a b')
  await say(driver, 'XGROUP CREATE s g 0')
  const wrong: [string, string][] = [
    ['XADD s 5-5 a b', 'ERR The ID specified in XADD is equal or smaller than the target stream top item'],
    ['XADD s 0-0 a b', 'ERR The ID specified in XADD must be greater than 0-0'],
    ['XADD s x a b', 'ERR Invalid stream ID specified as stream command argument'],
    ['XADD s 99999999999999999999 a b', 'ERR Invalid stream ID specified as stream command argument'],
    ['XADD s * a', "ERR wrong number of arguments for 'xadd' command"],
    ['XADD s * a b c', "ERR wrong number of arguments for 'xadd' command"],
    ['XGROUP CREATE s g 0', 'BUSYGROUP Consumer Group name already exists'],
    [
      'XREADGROUP GROUP x c STREAMS s >',
      "NOGROUP No such key 's' or consumer group 'x' in XREADGROUP with GROUP option",
    ],
    ['XPENDING s x', "NOGROUP No such key 's' or consumer group 'x'"],
    [
      'XREAD COUNT 1 STREAMS s',
      "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
    ],
    ['XINFO STREAM none', 'ERR no such key'],
    ['XTRIM s MAXLEN x', 'ERR value is not an integer or out of range'],
    ['XCLAIM s g c 0 5-5 NOPE', "ERR Unrecognized XCLAIM option 'NOPE'"],
    ['XSETID s 1-1', 'ERR The ID specified in XSETID is smaller than the target stream top item'],
  ]
  for (const [line, text] of wrong) assert.equal(await refusal(driver, line), text, line)
  assert.equal(await say(driver, 'XLEN s'), 1)
})

test('entries that were delivered before the clock was set back are told of, and can be claimed', async t => {
  const real = realRuntime()
  let aheadMs = 3_600_000
  const clock = {
    nowMs: () => real.clock.nowMs() + aheadMs,
    monotonicMs: () => real.clock.monotonicMs(),
    after: (delayMs: number, run: () => void) => real.clock.after(delayMs, run),
    soon: (run: () => void) => real.clock.soon(run),
  }
  const broker = await startBroker({ data: 'memory', resp: 0, clockPatienceMs: 0 }, { runtime: { ...real, clock } })
  t.after(() => broker.close())
  const driver = await connect(t, broker)
  await say(driver, 'XGROUP CREATE s g 0 MKSTREAM')
  await say(driver, 'XADD s 1-1 a b')
  await say(driver, 'XREADGROUP GROUP g first STREAMS s >')
  aheadMs = 0
  assert.deepEqual(await say(driver, 'XPENDING s g - + 10'), [['1-1', 'first', 0, 1]])
  assert.deepEqual(await say(driver, 'XCLAIM s g second 0 1-1 JUSTID'), ['1-1'])
  assert.deepEqual(await say(driver, 'XAUTOCLAIM s g third 0 0 JUSTID'), ['0-0', ['1-1'], []])
})

test('an entry that is acknowledged while it is read for who claims it is held by nobody', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-streams-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const first = await startBroker({ data, resp: 0 })
  const adder = await RespDriver.connect(network, { host: '127.0.0.1', port: first.port('resp') })
  const ids = Array.from({ length: 40 }, (_, index) => `1-${index + 1}`)
  for (const id of ids) void say(adder, `XADD s ${id} a ${'b'.repeat(20_000)}`)
  await say(adder, 'XGROUP CREATE s g 0')
  await say(adder, 'XREADGROUP GROUP g c STREAMS s >')
  adder.close()
  await first.close()
  const broker = await start(t, { data })
  const claimer = await connect(t, broker)
  const acker = await connect(t, broker)
  for (const id of ids) {
    const claiming = say(claimer, `XCLAIM s g other 0 ${id}`)
    for (let turns = 0; turns < 3; turns++) await new Promise(resolve => setImmediate(resolve))
    await Promise.all([claiming, say(acker, `XACK s g ${id}`)])
  }
  assert.deepEqual(await say(acker, 'XPENDING s g'), [0, null, null, null])
})

/** Changes a byte of what holds this text, in all files of segments. */
function damage(data: string, text: string): void {
  const directory = join(data, 'cell', '0', 's')
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name))
    const at = bytes.indexOf(text)
    if (at < 0) continue
    bytes[at]! ^= 1
    writeFileSync(join(directory, name), bytes)
  }
}

test('what is damaged is told of, and neither passed over nor taken', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-streams-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const first = await startBroker({ data, resp: 0 })
  const writer = await RespDriver.connect(network, { host: '127.0.0.1', port: first.port('resp') })
  await say(writer, 'XADD s 1-1 a entry-to-damage')
  await say(writer, 'XGROUP CREATE s g 0')
  await say(writer, 'RPUSH l element-to-damage')
  writer.close()
  await first.close()
  for (const text of ['entry-to-damage', 'element-to-damage']) damage(data, text)
  const driver = await connect(t, await start(t, { data }))
  for (let round = 0; round < 2; round++) {
    assert.match(await refusal(driver, 'XREADGROUP GROUP g c STREAMS s >'), /an entry cannot be read$/)
    assert.match(await refusal(driver, 'XRANGE s - +'), /an entry cannot be read$/)
    assert.match(await refusal(driver, 'LPOP l'), /an element cannot be read$/)
    assert.match(await refusal(driver, 'LRANGE l 0 -1'), /an element cannot be read$/)
  }
  assert.equal(await say(driver, 'LLEN l'), 1)
  assert.deepEqual(await say(driver, 'XPENDING s g'), [0, null, null, null])
})
