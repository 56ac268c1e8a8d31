import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzBytes, Random } from '@dragoman/wire'
import { makeBatch } from '../../storage/record-batch.ts'
import { BatchWindow, RecordView } from '../cursor/record-view.ts'
import { deathReasons, noStamp, readExpiry, readStamp, stampBytes, stampForm, withStamp, type Stamp } from './stamp.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const full: Stamp = {
  exchange: 'ex',
  keys: ['a', 'b'],
  hiddenKeyCount: 1,
  expiresMs: 1_700_000_000_000,
  priority: 7,
  deaths: [
    {
      queue: 'q',
      reason: 'expired',
      count: 2,
      firstMs: 1,
      lastMs: 2,
      exchange: '',
      keys: ['k'],
      ttlMs: 50,
      isFirst: true,
      isPast: false,
    },
  ],
  fed: [],
}

test('the bytes of a stamp are pinned', () => {
  assert.equal(stampBytes(noStamp).toString('hex'), '01' + '01' + '00' + '01' + '01' + '00' + '01')
  assert.equal(
    stampBytes(full).toString('hex'),
    '01' +
      '80a0abfef962' +
      '07' +
      '036578' +
      '03' +
      '0261' +
      '0262' +
      '01' +
      '02' +
      '0271' +
      '01' +
      '02' +
      '02' +
      '04' +
      '01' +
      '02026b' +
      '64' +
      '01' +
      '00',
  )
})

test('exchanges that feeds have published it to come behind the stamp of before, for older releases to read', () => {
  const fed = stampBytes({ ...full, fed: ['ab', ''] }).toString('hex')
  assert.equal(fed, stampBytes(full).toString('hex') + '03' + '036162' + '01')
  assert.deepEqual(readStamp(Buffer.from(fed, 'hex')).fed, ['ab', ''])
  assert.deepEqual(withStamp([], { fed: ['a'] }).length, 1)
})

test(`a stamp survives a round trip (SEED=${seed})`, () => {
  const random = new Random(seed)
  assert.deepEqual(readStamp(stampBytes(full)), full)
  for (let round = 0; round < 500; round++) {
    const sample = stampForm.sample(random)
    const deaths = sample.deaths.map(death => ({ ...death, reason: deathReasons[death.reason % 4]! }))
    // Any time before 1970 is none; without keys, none is hidden.
    const expiresMs = Math.max(-1, sample.expiresMs)
    const hiddenKeyCount = sample.keys.length === 0 ? 0 : sample.hiddenKeyCount
    const fed = Array.from({ length: round % 3 }, (_, at) => `exchange ${at}`)
    const stamp = { ...sample, deaths, expiresMs, hiddenKeyCount, fed }
    assert.deepEqual(readStamp(stampBytes(stamp)), stamp)
  }
})

test(`bytes that are no stamp say nothing (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.concat([Buffer.from([round % 3]), fuzzBytes(random, stampForm)])
    assert.equal(typeof readStamp(bytes).priority, 'number')
    assert.equal(typeof readExpiry(bytes), 'number')
  }
  for (const bytes of [Buffer.alloc(0), Buffer.from([9]), Buffer.from([1]), Buffer.alloc(20, 0xff)]) {
    assert.deepEqual([readStamp(bytes), readExpiry(bytes)], [noStamp, -1])
  }
})

test('RecordView gives the stamp back, and does not show it among the headers', () => {
  const view = (headers: ReturnType<typeof withStamp>): RecordView => {
    const window = new BatchWindow()
    const record = new RecordView()
    const batch = makeBatch([{ key: Buffer.from('k'), value: Buffer.from('v'), headers, timestampMs: 5 }])
    window.fill(0, batch, 1)
    assert.ok(window.find(0, record))
    return record
  }
  const text = (key: string, value = ''): { key: string; value: Buffer } => ({ key, value: Buffer.from(value) })
  const envelope = text('~', 'props')
  const names = (record: RecordView): string[] => record.headers().map(({ key }) => key)
  for (const given of [[], [envelope], [envelope, text('~'), text('x')], [text('x'), text('~q')]]) {
    const record = view(withStamp(given, full))
    assert.deepEqual(record.stamp, full)
    assert.equal(record.expiresMs, full.expiresMs)
    assert.deepEqual(
      names(record),
      given.map(({ key }) => key),
    )
    const plain = view(withStamp(given, {}))
    assert.deepEqual([plain.stamp, plain.expiresMs], [noStamp, -1])
    assert.deepEqual(
      names(plain),
      given.map(({ key }) => key),
    )
  }
})

test('a header that bears the name of the stamp is not taken for one', () => {
  const foreign = { key: '~q', value: stampBytes(full) }
  for (const before of [[], [{ key: '~', value: Buffer.from('props') }]]) {
    const headers = withStamp([...before, foreign], {})
    assert.equal(headers.length, before.length + 2)
    assert.deepEqual(readStamp(Buffer.from(headers[before.length]!.value!)), noStamp)
  }
})
