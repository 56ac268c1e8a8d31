import assert from 'node:assert/strict'
import test from 'node:test'
import { Rates, withRates } from './rates.ts'

test('a rate is that of the time since it was asked for before', () => {
  const rates = new Rates()
  assert.deepEqual(rates.of('q', { publish: 100 }, 0), { publish: 0 })
  assert.deepEqual(rates.of('q', { publish: 110 }, 500), { publish: 0 })
  assert.deepEqual(rates.of('q', { publish: 120 }, 2000), { publish: 10 })
  assert.deepEqual(rates.of('q', { publish: 200 }, 5000), { publish: 20 })
  assert.deepEqual(rates.of('q', { publish: 200 }, 10_000), { publish: 0 })
  // What went down, like messages that wait, has a rate below 0.
  assert.deepEqual(rates.of('q', { publish: 100 }, 20_000), { publish: -10 })
  assert.deepEqual(rates.of('other', { publish: 100 }, 20_000), { publish: 0 })
})

test('what was not asked for for long is forgotten', () => {
  const rates = new Rates()
  rates.of('q', { n: 0 }, 0)
  for (let index = 0; index < 20_000; index++) rates.of(`other ${index}`, { n: 0 }, 0)
  assert.deepEqual(rates.of('q', { n: 100 }, 10_000), { n: 0 })
  assert.deepEqual(rates.of('other 19999', { n: 100 }, 10_000), { n: 10 })
})

test('values and rates stand side by side', () => {
  assert.deepEqual(withRates({ publish: 3 }, { publish: 1.5 }), { publish: 3, publish_details: { rate: 1.5 } })
})
