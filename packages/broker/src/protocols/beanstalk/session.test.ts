import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Random } from '@dragoman/wire'
import { homeNamespace } from '../../core/broker.ts'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { BeanstalkDriver } from './driver.ts'

const { network } = realRuntime()
const seed = Number(process.env.SEED ?? Date.now() >>> 0)

async function start(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', beanstalk: 0, ...options })
  t.after(() => broker.close())
  return broker
}

async function connect(t: TestContext, broker: RunningBroker): Promise<BeanstalkDriver> {
  const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port: broker.port('beanstalk') })
  t.after(() => driver.close())
  return driver
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** One value of a body of statistics. */
async function statistic(driver: BeanstalkDriver, line: string, key: string): Promise<string | undefined> {
  const { body } = await driver.ask(line)
  return new RegExp(`^${key}: (.*)$`, 'm').exec(String(body))?.[1]
}

test('commands that are sent at once are answered in their order', async t => {
  const driver = await connect(t, await start(t))
  const puts = Array.from({ length: 500 }, (_, index) => driver.ask(`put ${index % 7} 0 60 3`, 'job'))
  const ids = (await Promise.all(puts)).map(({ line }) => Number(line.replace('INSERTED ', '')))
  assert.deepEqual(
    ids,
    [...ids].sort((a, b) => a - b),
  )
  const reserved = await Promise.all(ids.map(() => driver.ask('reserve-with-timeout 5')))
  const order = reserved.map(({ line }) => Number(line.split(' ')[1]))
  assert.deepEqual(
    order,
    [...ids].sort((a, b) => ((a - 1) % 7) - ((b - 1) % 7) || a - b),
  )
  const ends = await Promise.all(order.flatMap(id => [driver.ask(`delete ${id}`), driver.ask(`peek ${id}`)]))
  assert.deepEqual(new Set(ends.map(({ line }) => line)), new Set(['DELETED', 'NOT_FOUND']))
})

test(`jobs that come at once have ids in their order, whatever they come with, and keep them (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const data = directory(t)
  const bodies = new Map<number, string>()
  let lastId = 0
  for (let round = 0; round < 4; round++) {
    const broker = await startBroker({ data, beanstalk: 0 })
    try {
      const driver = await connect(t, broker)
      const queue = broker.core.work.open(homeNamespace, 'tube-0')
      const putting: Promise<void>[] = []
      for (let count = 0; count < 300; count++) {
        if (random.chance(0.2)) void driver.ask(`use tube-${random.below(3)}`)
        // Somebody else's message has a number, too, once there is one behind it.
        if (random.chance(0.02)) queue.queue?.publish([{ value: Buffer.from('foreign') }], () => {})
        const size = random.pick([1, 20, 500, 40_000])
        const body = `${round}-${count} `.padEnd(size, 'x')
        const delay = random.chance(0.1) ? 3600 : 0
        const put = driver.ask(`put ${random.pick([1, 2])} ${delay} 60 ${body.length}`, body)
        putting.push(
          put.then(({ line }) => {
            const id = Number(line.replace('INSERTED ', ''))
            assert(id > lastId, `${line} after ${lastId}`)
            lastId = id
            bodies.set(id, body)
          }),
        )
        if (random.chance(0.05)) await put
      }
      await Promise.all(putting)
    } finally {
      await broker.close()
    }
  }
  const driver = await connect(t, await start(t, { data }))
  for (const [id, body] of bodies) {
    const found = await driver.ask(`peek ${id}`)
    assert.equal(String(found.body), body, found.line)
  }
})

test('who drains takes no jobs in, and gives out those that are there', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  await driver.publish('default', 'job')
  assert.equal(await statistic(driver, 'stats', 'draining'), 'false')
  broker.core.work.isDraining = true
  assert.equal((await driver.ask('put 0 0 60 3', 'new')).line, 'DRAINING')
  assert.equal((await driver.ask('put 0 10 60 3', 'new')).line, 'DRAINING')
  assert.equal(await statistic(driver, 'stats', 'draining'), 'true')
  assert.equal(String((await driver.consume('default')).body), 'job')
})

test('all that was answered is there after a restart: ready, delayed, buried, with histories', async t => {
  const data = directory(t)
  const first = await startBroker({ data, beanstalk: 0 })
  const before = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port: first.port('beanstalk') })
  const id = async (line: string, body: string): Promise<number> =>
    Number((await before.ask(line, body)).line.split(' ')[1])
  const ready = await id('put 5 0 60 5', 'ready')
  const released = await id('put 1 0 60 8', 'released')
  const buried = await id('put 0 0 60 6', 'buried')
  const delayed = await id('put 3 1000 60 7', 'delayed')
  const gone = await id('put 9 0 60 4', 'gone')
  const held = await id('put 0 0 60 4', 'held')
  for (const wanted of [buried, held, released]) {
    assert.equal((await before.ask('reserve')).line.split(' ')[1], String(wanted))
  }
  for (const [line, answer] of [
    [`release ${released} 8 0`, 'RELEASED'],
    [`bury ${buried} 77`, 'BURIED'],
    [`delete ${gone}`, 'DELETED'],
  ] as const) {
    assert.equal((await before.ask(line)).line, answer)
  }
  before.close()
  await first.close()

  const driver = await connect(t, await start(t, { data }))
  assert.equal(await statistic(driver, `stats-job ${delayed}`, 'state'), 'delayed')
  assert.equal(await statistic(driver, `stats-job ${delayed}`, 'delay'), '1000')
  assert.equal(await statistic(driver, `stats-job ${buried}`, 'pri'), '77')
  assert.equal(await statistic(driver, `stats-job ${buried}`, 'buries'), '1')
  assert.equal(await statistic(driver, `stats-job ${released}`, 'releases'), '1')
  assert.equal((await driver.ask(`peek ${gone}`)).line, 'NOT_FOUND')
  const next = async (): Promise<number> => Number((await driver.ask('reserve-with-timeout 0')).line.split(' ')[1])
  assert.deepEqual([await next(), await next(), await next()], [held, ready, released])
  assert.equal((await driver.ask('reserve-with-timeout 0')).line, 'TIMED_OUT')
  assert.equal((await driver.ask('kick 5')).line, 'KICKED 1')
  assert.equal(await next(), buried)
  assert(Number((await driver.ask('put 0 0 1 1', 'x')).line.split(' ')[1]) > held)
})

test('a job deep in a backlog is deleted, peeked at and reserved by its id', async t => {
  const driver = await connect(t, await start(t))
  const count = 10_000
  await Promise.all(Array.from({ length: count }, (_, index) => driver.ask('put 1024 0 60 5', String(10_000 + index))))
  assert.equal((await driver.ask(`delete ${count - 1}`)).line, 'DELETED')
  assert.equal((await driver.ask(`delete ${count - 1}`)).line, 'NOT_FOUND')
  assert.equal(String((await driver.ask(`reserve-job ${count}`)).body), String(10_000 + count - 1))
  assert.equal(String((await driver.ask('peek 5000')).body), '14999')
  assert.equal(await statistic(driver, 'stats-tube default', 'current-jobs-ready'), String(count - 2))
  assert.equal((await driver.ask('reserve')).line, 'RESERVED 1 5')
})

test('a tube is gone when nobody refers to it and it is empty, and comes back with the next job', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  const id = await driver.publish('passing', 'job')
  await driver.ask('use default')
  assert.match(String((await driver.ask('list-tubes')).body), /passing/)
  assert.equal((await driver.ask(`delete ${id}`)).line, 'DELETED')
  assert.equal(String((await driver.ask('list-tubes')).body), '---\n- default\n')
  assert.equal(broker.core.queues.get(homeNamespace, 'passing'), undefined)
  const again = await driver.publish('passing', 'again')
  assert(again > id)
  assert.equal((await driver.consume('passing')).id, again)
})

test('what another way of publishing puts into a queue has a number and is a job', async t => {
  const broker = await start(t)
  const queue = await broker.core.queues.declare(homeNamespace, 'foreign')
  const publish = (text: string): Promise<unknown> =>
    new Promise(resolve => queue.publish([{ value: Buffer.from(text) }], resolve))
  await publish('before')
  const driver = await connect(t, broker)
  await driver.ask('watch foreign')
  const waiting = driver.ask('reserve')
  assert.equal(String((await waiting).body), 'before')
  const next = driver.ask('reserve-with-timeout 5')
  await publish('after')
  const { line, body } = await next
  assert.equal(String(body), 'after')
  const [, id] = line.split(' ')
  assert.equal(await statistic(driver, `stats-job ${id}`, 'ttr'), '60')
  await driver.ack(Number(id))
})

test('a name that is a topic, and a name that others use, are told apart', async t => {
  const broker = await start(t)
  await broker.core.topics.create(homeNamespace, 'orders')
  const driver = await connect(t, broker)
  assert.equal((await driver.ask('use orders')).line, 'BAD_FORMAT')
  assert.equal((await driver.ask('watch orders')).line, 'BAD_FORMAT')
  await broker.core.queues.declare(homeNamespace, 'a queue')
  assert.equal(String((await driver.ask('list-tubes')).body), '---\n- default\n')
})

test('limits are answered, and the connection goes on', async t => {
  const broker = await start(t, { jobBytesMax: 10, queueDelayedMax: 1, queueWatchesMax: 2, queuesMax: 3 })
  const driver = await connect(t, broker)
  assert.equal((await driver.ask('put 0 0 1 11', 'x'.repeat(11))).line, 'JOB_TOO_BIG')
  assert.match((await driver.ask('put 0 9 1 1', 'x')).line, /^INSERTED/)
  assert.equal((await driver.ask('put 0 9 1 1', 'x')).line, 'OUT_OF_MEMORY')
  assert.equal((await driver.ask('watch b')).line, 'WATCHING 2')
  assert.equal((await driver.ask('watch c')).line, 'OUT_OF_MEMORY')
  assert.equal((await driver.ask('use c')).line, 'USING c')
  assert.equal((await driver.ask('use d')).line, 'OUT_OF_MEMORY')
  assert.equal((await driver.ask('list-tube-used')).line, 'USING c')
})

test(`a priority for each of many jobs is kept exactly up to 1024 of them, then shared with the nearest`, async t => {
  const driver = await connect(t, await start(t))
  const random = new Random(7)
  const priorities = new Set<number>()
  while (priorities.size < 60) priorities.add(random.u32())
  const wanted = [...priorities]
  await Promise.all(wanted.map(priority => driver.ask(`put ${priority} 0 60 1`, 'x')))
  const got: number[] = []
  for (const _ of wanted) {
    const [, id] = (await driver.ask('reserve')).line.split(' ')
    got.push(Number(await statistic(driver, `stats-job ${id}`, 'pri')))
  }
  assert.deepEqual(
    got,
    wanted.toSorted((a, b) => a - b),
  )
})

test('a connection that goes gives back what it holds, and a worker that waits gets it', async t => {
  const broker = await start(t)
  const one = await connect(t, broker)
  const other = await connect(t, broker)
  const id = await one.publish('default', 'job')
  assert.equal((await one.consume('default')).id, id)
  const waiting = other.ask('reserve')
  one.close()
  assert.equal((await waiting).line, `RESERVED ${id} 3`)
  assert.equal(await statistic(other, `stats-job ${id}`, 'reserves'), '2')
  assert.equal(await statistic(other, 'stats', 'current-workers'), '1')
})

test('a broker that stops takes leave of workers that hold a job and wait for another', async t => {
  const broker = await start(t)
  const driver = await connect(t, broker)
  await driver.publish('default', 'job')
  await driver.ask('reserve')
  const waiting = driver.ask('reserve')
  await statistic(await connect(t, broker), 'stats', 'current-waiting')
  await broker.close()
  await assert.rejects(waiting)
  // What its session does about the lost connection happens within this test.
  await new Promise(resolve => setImmediate(resolve))
})

test('a worker that took the last job of a tube that it does not watch can leave when the tube is gone', async t => {
  const broker = await start(t)
  const worker = await connect(t, broker)
  const other = await connect(t, broker)
  const id = await other.publish('passing', 'job')
  assert.equal((await worker.ask(`reserve-job ${id}`)).line, `RESERVED ${id} 3`)
  await worker.ack(id)
  await other.ask('use default')
  assert.equal((await other.ask('stats-tube passing')).line, 'NOT_FOUND')
  worker.close()
  while ((await statistic(other, 'stats', 'current-connections')) !== '1');
})

test('a job that was on its way to another place when the broker ended is ready', async t => {
  const data = directory(t)
  const first = await startBroker({ data, beanstalk: 0 })
  const before = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port: first.port('beanstalk') })
  const ids = [await before.publish('default', 'one'), await before.publish('default', 'two')]
  const [lane] = first.core.work.get(homeNamespace, 'default')?.lanes ?? []
  assert(lane)
  for (const offset of [0, 1]) assert(lane.take(lane.aside, offset))
  await first.close()
  const second = await start(t, { data })
  const after = await connect(t, second)
  assert.equal(await statistic(after, 'stats', 'current-jobs-reserved'), '0')
  for (const id of ids) assert.equal((await after.ask('reserve-with-timeout 0')).line, `RESERVED ${id} 3`)
})
