import assert from 'node:assert/strict'
import test from 'node:test'
import { isCycle, letterOf, routingKeysOf, type Dying } from './deaths.ts'
import { noStamp, type Death, type DeathReason, type Stamp } from './stamp.ts'

const dying = (stamp: Partial<Stamp> = {}, key = 'k'): Dying => ({
  key: Buffer.from(key),
  value: Buffer.from('v'),
  headers: [],
  timestampMs: 1000,
  stamp: { ...noStamp, ...stamp },
})

const departure = (queue: string, reason: DeathReason = 'expired', nowMs = 5000) => ({
  queue,
  reason,
  nowMs,
  exchange: 'dlx',
  key: undefined,
})

/** Dies in one queue after the other. */
function history(...steps: [queue: string, reason: DeathReason][]): readonly Death[] {
  let deaths: readonly Death[] = []
  for (const [index, [queue, reason]] of steps.entries()) {
    deaths = letterOf(dying({ deaths }), departure(queue, reason, index)).deaths ?? []
  }
  return deaths
}

test('a history has one entry for each queue and reason, the most recent first, and knows the first', () => {
  const deaths = history(['a', 'expired'], ['b', 'maxlen'], ['a', 'rejected'], ['a', 'expired'])
  assert.deepEqual(
    deaths.map(({ queue, reason, count, firstMs, lastMs, isFirst }) => [
      queue,
      reason,
      count,
      firstMs,
      lastMs,
      isFirst,
    ]),
    [
      ['a', 'expired', 2, 0, 3, true],
      ['a', 'rejected', 1, 2, 2, false],
      ['b', 'maxlen', 1, 1, 1, false],
    ],
  )
})

test('a history is bounded, and keeps the first death', () => {
  const deaths = history(...Array.from({ length: 200 }, (_, index): [string, DeathReason] => [`q${index}`, 'expired']))
  assert.equal(deaths.length, 64)
  assert.deepEqual([deaths[0]?.queue, deaths.at(-1)?.queue, deaths.at(-1)?.isFirst], ['q199', 'q0', true])
  const keys = Array.from({ length: 1000 }, (_, index) => `key ${index}`)
  const [death] = letterOf(dying({ keys }), departure('q')).deaths ?? []
  assert.ok(death && death.keys.length > 100 && death.keys.length < 700)
  const [long] = letterOf(dying({ keys }, 'k'.repeat(5000)), departure('q')).deaths ?? []
  assert.deepEqual(long?.keys, ['k'.repeat(5000)])
})

test('a dead letter goes by its own keys, or by that of its queue alone', () => {
  const stamp = { exchange: 'x', keys: ['cc', 'bcc'], hiddenKeyCount: 1, expiresMs: 3000, priority: 2 }
  const own = letterOf(dying(stamp), departure('q'))
  assert.deepEqual(routingKeysOf(own), ['k', 'cc', 'bcc'])
  assert.deepEqual([own.exchange, own.expiresMs, own.priority, own.hiddenKeyCount], ['dlx', undefined, 2, 1])
  assert.deepEqual([own.deaths?.[0]?.keys, own.deaths?.[0]?.exchange, own.deaths?.[0]?.ttlMs], [['k', 'cc'], 'x', 2000])
  assert.deepEqual(routingKeysOf(letterOf(dying(stamp), { ...departure('q'), key: 'other' })), ['other'])
  assert.deepEqual(routingKeysOf({ value: null }), [''])
})

test('a cycle is a return to where it died, unless somebody rejected or moved it since', () => {
  const e = 'expired'
  assert.equal(isCycle('a', history(['a', e])), true)
  assert.equal(isCycle('b', history(['a', e])), false)
  assert.equal(isCycle('a', history(['a', e], ['b', e])), true)
  assert.equal(isCycle('a', history(['a', 'rejected'], ['b', e])), false)
  assert.equal(isCycle('a', history(['a', e], ['b', 'rejected'])), false)
  assert.equal(isCycle('a', history(['b', 'rejected'], ['a', e])), true)
  const moved = history(['a', e], ['b', e]).map(death => ({ ...death, isPast: true }))
  assert.equal(isCycle('a', moved), false)
  const again = letterOf(dying({ deaths: moved }), departure('b')).deaths ?? []
  assert.deepEqual([isCycle('b', again), isCycle('a', again)], [true, false])
})
