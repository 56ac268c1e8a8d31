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
  for (let left = 200; left > 0 && !met(); left--) await new Promise(resolve => setTimeout(resolve, 10))
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
