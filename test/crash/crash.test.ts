import assert from 'node:assert/strict'
import test from 'node:test'
import { dragomanIsThere } from '../support/dragoman.ts'
import { Audit } from './audit.ts'
import { campaign } from './campaign.ts'
import { read, write } from './record.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

test('record reads what write wrote, and nothing that was altered', () => {
  const value = Buffer.from(write({ writer: 'w', key: 'w-1', number: 7 }, 20))
  assert.deepEqual(read(value), { writer: 'w', key: 'w-1', number: 7 })
  for (let at = 0; at < value.length; at++) {
    const altered = Buffer.from(value)
    altered[at] = (altered[at] ?? 0) ^ 1
    assert.throws(() => read(altered))
  }
})

test('the audit finds what is lost, altered, doubled, out of order and moved', () => {
  const stamp = (number: number, key = 'k') => ({ writer: 'w', key, number })
  const fresh = (): Audit => {
    const audit = new Audit('w', 1, true)
    audit.saw(0, 0, stamp(0))
    audit.saw(0, 1, stamp(1))
    return audit
  }
  const settled = (number: number, offset: number) => () => {
    const audit = fresh()
    audit.acknowledge({ key: 'k', number, partition: 0, offset })
    audit.settle(audit.pending)
  }
  fresh().saw(0, 1, stamp(1))
  settled(1, 1)()
  assert.throws(settled(2, 2), /is missing/)
  assert.throws(settled(1, 0), /another record than acknowledged/)
  assert.throws(() => fresh().saw(0, 1, stamp(7)), /another record before the crash/)
  assert.throws(() => fresh().saw(0, 3, stamp(2)), /hole/)
  assert.throws(() => fresh().saw(0, 2, stamp(3)), /came before 2/)
  assert.throws(() => fresh().saw(0, 2, stamp(1)), /is there twice/)
  assert.throws(() => fresh().saw(0, 2, { ...stamp(2), writer: 'other' }), /another writer/)
})

test(
  `kill -9 under load loses and alters nothing that was acknowledged (SEED=${seed})`,
  { skip: !dragomanIsThere },
  async () => {
    const summary = await campaign({ rounds: 4, seed, durability: 'fsync', librdkafka: false, log: () => undefined })
    assert.ok(summary.acknowledged > 0)
  },
)
