import assert from 'node:assert/strict'
import test from 'node:test'
import { dragomanIsThere } from '../support/dragoman.ts'
import { MessageAudit } from './message-audit.ts'
import { messageCampaign } from './messages.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

test('the audit of messages finds what is lost, doubled, back, and not marked', () => {
  const fresh = (): MessageAudit => {
    const audit = new MessageAudit()
    audit.restarted()
    audit.sent('m', 'careful')
    audit.confirmed('m')
    return audit
  }
  const delivery = { body: Buffer.from('m'), redelivered: false }
  const acked = (): MessageAudit => {
    const audit = fresh()
    audit.delivered('careful', delivery)
    audit.acking('m')
    audit.settled(['m'], ['m'])
    return audit
  }
  acked().checkAll()
  assert.throws(() => fresh().checkAll(), /is lost/)
  assert.throws(() => acked().delivered('careful', delivery), /comes again/)
  const back = acked()
  back.left('m', 'careful')
  assert.throws(() => back.checkAll(), /was acknowledged, and is in careful/)
  const doubled = fresh()
  doubled.left('m', 'careful')
  doubled.left('m', 'poison')
  assert.throws(() => doubled.checkAll(), /more than once/)
  const unmarked = fresh()
  unmarked.delivered('careful', delivery)
  unmarked.settled(['m'], [])
  unmarked.restarted()
  assert.throws(() => unmarked.delivered('careful', delivery), /unmarked/)
})

test(
  `kill -9 under load loses no confirmed message, and brings back none that was acknowledged (SEED=${seed})`,
  { skip: !dragomanIsThere },
  async () => {
    const { confirmed, acknowledged } = await messageCampaign({
      ...{ rounds: 4, seed, durability: 'fsync' },
      log: () => undefined,
    })
    assert(acknowledged > 0 && confirmed > acknowledged)
  },
)
