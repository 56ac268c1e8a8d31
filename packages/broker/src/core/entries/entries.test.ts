import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { BrokerError } from '../errors.ts'

const value = Buffer.from('v')

test('values and times are there after a restart, and what ended meanwhile is not', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-entries-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let broker = await startBroker({ data })
  const { entries, ledger } = broker.core
  const nowMs = ledger.clock.nowMs()
  entries.set('/', 'for ever', value)
  entries.set('/', 'a while', value, nowMs + 100_000)
  entries.set('/', 'a moment', value, nowMs + 30)
  entries.set('/', 'gone', value)
  entries.remove('/', 'gone')
  await broker.close()
  await new Promise(resolve => setTimeout(resolve, 40))
  broker = await startBroker({ data })
  const after = broker.core.entries
  after.touch('/', 'a moment')
  assert.deepEqual([...after.keys('/')].sort(), ['a while', 'for ever'])
  assert.equal(after.expiryOf('/', 'a while'), nowMs + 100_000)
  assert.equal(String(after.get('/', 'for ever')), 'v')
  assert.equal(after.count, 2)
  after.clear('/')
  assert.deepEqual([after.count, after.bytes, after.expiringCount], [0, 0, 0])
  await broker.close()
})

test('values are bounded in number and bytes', async t => {
  const broker = await startBroker({ data: 'memory', entriesMax: 2, entryBytesMax: 65_536 })
  t.after(() => broker.close())
  const { entries } = broker.core
  entries.set('/', 'a', value)
  entries.set('/', 'b', value)
  assert.throws(() => entries.set('/', 'c', value), BrokerError)
  entries.set('/', 'a', Buffer.alloc(60_000))
  assert.throws(() => entries.set('/', 'b', Buffer.alloc(10_000)), BrokerError)
  entries.remove('/', 'a')
  entries.set('/', 'b', Buffer.alloc(10_000))
})

test('who has something by a key that ends is told within the same block', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { entries, lists, ledger } = broker.core
  lists.use('/', 'l').push('right', [value])
  const ended = new Promise<string>(resolve => entries.beforeExpire((_namespace, key) => resolve(key)))
  entries.expire('/', 'l', ledger.clock.nowMs() + 20)
  assert.equal(await ended, 'l')
  assert.equal(lists.find('/', 'l')?.length ?? 0, 0)
})
