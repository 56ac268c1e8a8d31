import assert from 'node:assert/strict'
import test from 'node:test'
import { envelopeHeader, newMessage } from './message.ts'
import { noStamp, stampBytes, stampHeader } from './queues/stamp.ts'
import { Origins, type MappedRecord, type Origin } from './origins.ts'

const originOf = (protocol: string, number: number, isPlain = false): Origin => ({
  protocol,
  number,
  isPlain,
  toMessage: record => ({ ...newMessage(record.value, record.timestampMs), contentType: protocol }),
})
const record = (...headers: [string, Buffer | null][]): MappedRecord => ({
  key: null,
  value: Buffer.from('x'),
  timestampMs: 1,
  headers: headers.map(([key, value]) => ({ key, value })),
})

test('a record is read by who wrote its envelope, and else by who reads those without', () => {
  const origins = new Origins([originOf('log', 1, true), originOf('queue', 2)])
  const readBy = (of: MappedRecord): unknown => origins.messageOf(of).contentType
  assert.equal(readBy(record()), 'log')
  assert.equal(readBy(record(['other', Buffer.of(1, 2)])), 'log')
  assert.equal(readBy(record([envelopeHeader, Buffer.of(1, 2, 9)])), 'queue')
  for (const bytes of [null, Buffer.alloc(0), Buffer.of(1), Buffer.of(1, 77)])
    assert.equal(readBy(record([envelopeHeader, bytes])), 'log')
  assert.equal(readBy(record(['a', null], [envelopeHeader, Buffer.of(1, 2)])), 'log', 'it is always the first')
})

test('two protocols cannot have one number, and one reads what has none', () => {
  assert.throws(() => new Origins([originOf('a', 1, true), originOf('b', 1)]), /number 1/)
  assert.throws(() => new Origins([originOf('a', 1)]), /One protocol/)
  assert.throws(() => new Origins([originOf('a', 1, true), originOf('b', 2, true)]), /One protocol/)
})

test('the stamp is not a header to protocols, and says what they do not', () => {
  const origins = new Origins([originOf('log', 1, true), originOf('queue', 2)])
  const bytes = stampBytes({ ...noStamp, expiresMs: 99, priority: 4 })
  const message = origins.messageOf(record([envelopeHeader, Buffer.of(1, 2)], [stampHeader, bytes]))
  assert.deepEqual([message.contentType, message.expirationMs, message.priority], ['queue', 99, 4])
  const seen: MappedRecord[] = []
  const spy: Origin = { ...originOf('log', 1, true), toMessage: of => (seen.push(of), newMessage(of.value, 0)) }
  new Origins([spy]).messageOf(record([stampHeader, bytes], ['a', null]))
  assert.deepEqual(seen[0]?.headers, [{ key: 'a', value: null }])
})

test('the time of a message that was dead-lettered is over', () => {
  const timed: Origin = {
    ...originOf('log', 1, true),
    toMessage: of => ({ ...newMessage(of.value, of.timestampMs), expirationMs: 50 }),
  }
  const death = { queue: 'q', reason: 'expired', count: 1, firstMs: 1, lastMs: 1 } as const
  const deaths = [{ ...death, exchange: '', keys: [], ttlMs: 49, isFirst: true, isPast: false }]
  const expiryOf = (expiresMs: number, died: typeof deaths): unknown =>
    new Origins([timed]).messageOf(record([stampHeader, stampBytes({ ...noStamp, expiresMs, deaths: died })]))
      .expirationMs
  assert.equal(expiryOf(-1, deaths), undefined)
  assert.equal(expiryOf(70, deaths), 70)
  assert.equal(expiryOf(70, []), 50)
})
