import assert from 'node:assert/strict'
import test from 'node:test'
import { trapRealWorld } from './trap.ts'

test('trapRealWorld makes clocks, timers and randomness throw until it is undone', () => {
  const restore = trapRealWorld()
  try {
    assert.throws(() => Date.now(), /simulated code/)
    assert.throws(() => new Date(), /simulated code/)
    assert.throws(() => Math.random(), /simulated code/)
    assert.throws(() => performance.now(), /simulated code/)
    assert.throws(() => setTimeout(() => {}, 1), /simulated code/)
    assert.throws(() => setImmediate(() => {}), /simulated code/)
    assert.equal(new Date(0).toISOString(), '1970-01-01T00:00:00.000Z')
  } finally {
    restore()
  }
  assert(Date.now() > 0)
  assert(Math.random() < 1)
})
