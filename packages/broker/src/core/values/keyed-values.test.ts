import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { BrokerError } from '../errors.ts'

const value = Buffer.from('v')

test('values and times are there after a restart, and what ended meanwhile is not', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-values-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let broker = await startBroker({ data })
  const { values, ledger } = broker.core
  const nowMs = ledger.clock.nowMs()
  values.set('/', 'for ever', value)
  values.set('/', 'a while', value, nowMs + 100_000)
  values.set('/', 'a moment', value, nowMs + 30)
  values.set('/', 'gone', value)
  values.remove('/', 'gone')
  await broker.close()
  await new Promise(resolve => setTimeout(resolve, 40))
  broker = await startBroker({ data })
  const after = broker.core.values
  after.touch('/', 'a moment')
  assert.deepEqual([...after.keys('/')].sort(), ['a while', 'for ever'])
  assert.equal(after.expiryOf('/', 'a while'), nowMs + 100_000)
  assert.equal(String(after.get('/', 'for ever')), 'v')
  assert.equal(after.count, 2)
  after.clear('/')
  assert.deepEqual([after.count, after.bytes, after.expiringCount('/')], [0, 0, 0])
  await broker.close()
})

test('values are bounded in number and bytes', async t => {
  const broker = await startBroker({ data: 'memory', valuesMax: 2, valueBytesMax: 65_536 })
  t.after(() => broker.close())
  const { values } = broker.core
  values.set('/', 'a', value)
  values.set('/', 'b', value)
  assert.throws(() => values.set('/', 'c', value), BrokerError)
  values.set('/', 'a', Buffer.alloc(60_000))
  assert.throws(() => values.set('/', 'b', Buffer.alloc(10_000)), BrokerError)
  values.remove('/', 'a')
  values.set('/', 'b', Buffer.alloc(10_000))
})

test('who has something by a key that ends is told within the same block', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { values, lists, ledger } = broker.core
  lists.use('/', 'l').push('right', [value])
  const ended = new Promise<string>(resolve => values.beforeExpire((_namespace, key) => resolve(key)))
  values.expire('/', 'l', ledger.clock.nowMs() + 20)
  assert.equal(await ended, 'l')
  assert.equal(lists.find('/', 'l')?.length ?? 0, 0)
})
