import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { subjectExchange } from '../routing/exchange.ts'
import type { Will } from './sessions.ts'

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  process.once('exit', () => rmSync(path, { recursive: true, force: true }))
  return path
}

const will = (more: Partial<Will> = {}): Will => ({
  delayMs: 0,
  exchange: subjectExchange,
  key: 'gone',
  isRetained: true,
  isTransient: false,
  ttlMs: -1,
  value: Buffer.from('lost'),
  headers: [{ name: 'h', value: Buffer.from('v') }],
  ...more,
})
const options = { owner: 'me', queue: 'waits', expiryMs: -1, will: undefined }

const lost = ({ core }: RunningBroker): number => core.retained.find('/', 'gone').length
const until = async (met: () => boolean): Promise<void> => {
  for (let left = 2000; left > 0 && !met(); left--) await new Promise(resolve => setTimeout(resolve, 10))
  assert(met())
}

test('a session keeps what was agreed over a restart, and its client counts as lost', async () => {
  const data = directory()
  let broker = await startBroker({ data })
  let { sessions } = broker.core
  const state = sessions.enter('/', 'client', { ...options, will: will() })
  sessions.subscribe(state, 'a/+', Buffer.of(1))
  sessions.subscribe(state, 'b', Buffer.of(2))
  sessions.unsubscribe(state, 'b')
  sessions.received(state, 7)
  sessions.received(state, 8)
  sessions.forget(state, 7)
  sessions.taken(state, 1)
  sessions.completed(state, 1)
  sessions.taken(state, 65_535)
  await broker.close()
  broker = await startBroker({ data })
  sessions = broker.core.sessions
  const again = sessions.get('/', 'client')
  assert(again)
  assert.deepEqual([...again.subscriptions], [['a/+', Buffer.of(1)]])
  assert.deepEqual([[...again.received], [...again.taken]], [[8], [65_535]])
  assert.deepEqual([again.leftMs > 0, again.will, lost(broker)], [true, undefined, 1])
  await broker.close()
  broker = await startBroker({ data })
  assert.equal(broker.core.sessions.get('/', 'client')?.subscriptions.size, 1)
  await broker.close()
})

test('who comes back in time has no will published, who does not has', async () => {
  const broker = await startBroker({ data: 'memory' })
  const { sessions } = broker.core
  const enter = () => sessions.enter('/', 'client', { ...options, expiryMs: 60_000, will: will({ delayMs: 60 }) })
  sessions.leave(enter(), { expiryMs: 60_000, isLost: true })
  const state = enter()
  await new Promise(resolve => setTimeout(resolve, 120))
  assert.equal(lost(broker), 0)
  sessions.leave(state, { expiryMs: 60_000, isLost: true })
  await until(() => lost(broker) === 1)
  await broker.close()
})

test('a session ends in time, with its queue, and its will at the latest then', async () => {
  const broker = await startBroker({ data: 'memory' })
  const { sessions, queues } = broker.core
  const state = sessions.enter('/', 'client', { ...options, expiryMs: 50, will: will({ delayMs: 60_000 }) })
  await queues.declare('/', 'waits')
  sessions.leave(state, { expiryMs: 50, isLost: true })
  assert.equal(lost(broker), 0)
  await until(() => sessions.count === 0 && queues.get('/', 'waits') === undefined)
  assert.equal(lost(broker), 1)
  // One that leaves by itself takes its will along.
  sessions.leave(sessions.enter('/', 'other', { ...options, will: will({ key: 'other' }) }), {
    expiryMs: 0,
    isLost: false,
  })
  assert.equal(sessions.count, 0)
  assert.equal(broker.core.retained.find('/', 'other').length, 0)
  await broker.close()
})

test('there are at most so many', async () => {
  const broker = await startBroker({ data: 'memory', sessionsMax: 1 })
  const { sessions } = broker.core
  sessions.enter('/', 'one', options)
  sessions.enter('/', 'one', options)
  assert.throws(() => sessions.enter('/', 'two', options), { code: 'limit-reached' })
  await broker.close()
})

/** A disk that is full when the test says so. */
function disk({ core }: RunningBroker): { isFull: boolean } {
  const state = { isFull: true }
  Object.defineProperty(core.ledger, 'full', { get: () => state.isFull, configurable: true })
  return state
}

interface Heard {
  readonly live: string[]
  readonly count: () => [live: number, stored: number, inMemory: number, retained: number]
}

/** Everywhere that a will may lead to. */
async function listen({ core }: RunningBroker): Promise<Heard> {
  const { router, queues } = core
  const live: string[] = []
  await queues.declare('/', 'stored')
  await queues.declare('/', 'in-memory', new Map(), { isDurable: false })
  for (const destination of ['stored', 'in-memory'])
    await router.bind('/', { source: subjectExchange, kind: 'queue', destination, key: '#' })
  router.attach('/', { take: ({ key }) => void live.push(key) }).bind(subjectExchange, '#')
  const ready = (name: string): number => {
    const queue = queues.get('/', name)
    assert(queue)
    return queue.readyCount + queue.comingCount
  }
  return { live, count: () => [live.length, ready('stored'), ready('in-memory'), lost({ core } as RunningBroker)] }
}

const ends = { expiryMs: 0, isLost: true }

test('on a full disk a will is held back whole, also when its client comes back, and published once when there is room', async () => {
  const broker = await startBroker({ data: 'memory' })
  const { sessions } = broker.core
  const heard = await listen(broker)
  const full = disk(broker)
  const lasting = sessions.enter('/', 'lasting', { ...options, will: will() })
  sessions.leave(lasting, { expiryMs: -1, isLost: true })
  const passing = sessions.enter('/', 'passing', { ...options, queue: '', expiryMs: 0, will: will() })
  sessions.leave(passing, ends)
  sessions.enter('/', 'lasting', options)
  sessions.enter('/', 'passing', options)
  await new Promise(resolve => setTimeout(resolve, 300))
  assert.deepEqual(heard.count(), [0, 0, 0, 0])
  full.isFull = false
  await until(() => heard.count()[0] === 2)
  assert.deepEqual(heard.count(), [2, 2, 2, 1])
  assert.deepEqual(
    sessions.list().map(({ name }) => name),
    ['lasting', 'passing'],
  )
  await broker.close()
})

test('a will that nothing stores is published on a full disk, too', async () => {
  const broker = await startBroker({ data: 'memory' })
  const { sessions, router } = broker.core
  const live: string[] = []
  router.attach('/', { take: ({ key }) => void live.push(key) }).bind(subjectExchange, '#')
  disk(broker)
  for (const more of [{ isTransient: true }, {}]) {
    const client = sessions.enter('/', 'c', { ...options, will: will({ isRetained: false, ...more }) })
    sessions.leave(client, ends)
  }
  assert.deepEqual(live, ['gone', 'gone'])
  await broker.close()
})

test('wills that are held back are bounded, and those that are too many keep their clients out until there is room', async () => {
  const broker = await startBroker({ data: 'memory', sessionsMax: 2 })
  const { sessions } = broker.core
  const heard = await listen(broker)
  const full = disk(broker)
  for (let round = 0; round < 2; round++) {
    const client = sessions.enter('/', 'c', { ...options, queue: '', expiryMs: 0, will: will() })
    sessions.leave(client, ends)
  }
  assert.equal(sessions.count, 2)
  const enter = () => sessions.enter('/', 'c', { ...options, will: will() })
  assert.throws(enter, { code: /storage-full|limit-reached/ })
  full.isFull = false
  // Who listens hears of them when they are durable.
  await until(() => sessions.count === 0 && heard.count()[0] === 2)
  assert.deepEqual(heard.count(), [2, 2, 2, 1])
  enter()
  await broker.close()
})

test('a will that is held back is published after a restart', async () => {
  const data = directory()
  let broker = await startBroker({ data })
  disk(broker)
  const { sessions, ledger } = broker.core
  sessions.leave(sessions.enter('/', 'c', { ...options, queue: '', expiryMs: 0, will: will() }), ends)
  assert.equal(lost(broker), 0)
  await new Promise<void>(resolve => ledger.whenDurable(ledger.lastSeq, resolve, undefined))
  Object.defineProperty(ledger, 'full', { get: () => false })
  await broker.close()
  broker = await startBroker({ data })
  assert.deepEqual([lost(broker), broker.core.sessions.count], [1, 0])
  await broker.close()
})
