import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { later, startDelayed, texts, wait, WallClock, type DelayedNode } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code

test('a message is published when its time has come, by the bindings that there are then', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  await node.queues.declare('/', 'other')
  await node.router.declare('/', 'e', { kind: 'fanout' })
  await wait(node, later('', 'q', 'near'), 5 * second)
  await wait(node, later('e', 'k', 'far'), 3 * hour)
  assert.equal(node.delayed.count, 2)
  assert.deepEqual([node.delayed.countOf('/'), node.delayed.countOf('/', 'e'), node.delayed.countOf('x')], [2, 1, 0])
  await node.clock.advance(5 * second - 1)
  assert.deepEqual(await texts(node, 'q'), [])
  await node.clock.advance(1)
  assert.deepEqual(await texts(node, 'q'), ['near'])
  await node.router.bind('/', { source: 'e', kind: 'queue', destination: 'other', key: '' })
  await node.clock.advance(3 * hour)
  assert.deepEqual(await texts(node, 'other'), ['far'])
  assert.deepEqual([node.delayed.count, node.delayed.counts()], [0, []])
  assert.deepEqual([node.delayed.publishedCount, node.delayed.unroutedCount], [2, 0])
  await node.close()
})
