import assert from 'node:assert/strict'
import test from 'node:test'
import { durationMs } from '../groups/group-config.ts'
import { defaultGroupSettings } from '../groups/settings.ts'
import { settingsReader } from './settings.ts'

test('settings of a share group come from its own and from those of the broker', () => {
  const read = settingsReader({ ...defaultGroupSettings, shareDeliveryLimit: 7 })
  assert.deepEqual(read(new Map()), { lockDurationMs: 30_000, deliveryLimit: 7, start: 'latest', committed: false })
  const own = new Map(Object.entries({ shareLockDurationMs: '500', shareStart: 'PT1M', shareIsolation: 'committed' }))
  assert.deepEqual(read(own), { lockDurationMs: 500, deliveryLimit: 7, start: 60_000, committed: true })
  assert.equal(read(own), read(own))
})

test('durationMs reads ISO 8601 durations and nothing else', () => {
  const day = 24 * 3_600_000
  for (const [text, ms] of [
    ['P1D', day],
    ['PT0S', 0],
    ['P2DT3H4M5.5S', 2 * day + 11_045_500],
    ['pt90m', 5_400_000],
  ] as const) {
    assert.equal(durationMs(text), ms, text)
  }
  for (const text of ['', 'P', 'PT', 'P1DT', 'PT-1S', '1H', 'P1M', 'PT1', 'PT1H '])
    assert.equal(durationMs(text), undefined)
})
