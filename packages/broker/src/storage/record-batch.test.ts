import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import * as batches from './record-batch.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

function someRecords(random: Random): batches.NewRecord[] {
  return Array.from({ length: random.between(1, 40) }, () => ({
    key: random.chance(0.3) ? null : random.bytes(random.below(200)),
    value: random.chance(0.1) ? null : random.bytes(random.below(3000)),
    headers: Array.from({ length: random.below(4) }, () => ({ key: `h${random.u32()}`, value: random.bytes(5) })),
    timestampMs: 1_700_000_000_000 + random.below(100_000) - 50_000,
  }))
}

test(`makeBatch gives what checkBatch takes and readRecords reads (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const records = someRecords(random)
    const batch = batches.makeBatch(records)
    assert.equal(batches.checkBatch(batch, batch.length), undefined)
    const offset = random.below(2 ** 40)
    batches.placeBatch(batch, 0, offset, 7)
    assert.equal(batches.checkBatch(batch, batch.length), undefined, 'the place lies outside the checksum')
    const read = [...batches.readRecords(batch, batch.subarray(batches.batchHeaderBytes))]
    assert.deepEqual(
      read.map(({ key, value, timestampMs, headers }) => ({ key, value, headers, timestampMs })),
      records,
    )
    assert.deepEqual(
      read.map(record => record.offset),
      records.map((_, index) => offset + index),
    )
    assert.equal(batches.maxTimestamp(batch), Math.max(...records.map(record => record.timestampMs)))
  }
})

const record = { key: null, value: Buffer.from('value'), timestampMs: 1 }

test('checkBatch refuses each way in which a batch can lie', () => {
  const fresh = () => batches.makeBatch([record, record, record])
  const changed = (change: (batch: Buffer) => void, reseal = true): string | undefined => {
    const batch = fresh()
    change(batch)
    if (reseal) batches.sealBatch(batch)
    return batches.checkBatch(batch, 1000)
  }
  assert.equal(batches.checkBatch(fresh(), fresh().length - 1), 'message-too-large')
  assert.equal(batches.checkBatch(fresh().subarray(0, 60), 1000), 'message-corrupt')
  assert.equal(batches.checkBatch(Buffer.concat([fresh(), Buffer.alloc(1)]), 1000), 'message-corrupt')
  assert.equal(
    changed(batch => (batch[70]! ^= 1), false),
    'message-corrupt',
  )
  assert.equal(
    changed(batch => (batch[16] = 1)),
    'message-invalid',
  )
  assert.equal(
    changed(batch => (batch[22] = 5)),
    'compression-unsupported',
  )
  assert.equal(
    changed(batch => batch.writeInt32BE(2, 57)),
    'message-invalid',
  )
  for (const count of [0, -1, 2, 4, 0x7fffffff]) {
    const lie = (batch: Buffer): void => {
      batch.writeInt32BE(count, 57)
      batch.writeInt32BE(count - 1, 23)
    }
    assert.equal(changed(lie), 'message-invalid', `a count of ${count}`)
  }
  assert.equal(
    changed(batch => (batch[61] = 0)),
    'message-invalid',
  )
  assert.equal(
    changed(batch => batch.fill(0xff, 61)),
    'message-invalid',
  )
})

test('stampBatch gives all records the time of append', () => {
  const batch = batches.makeBatch([record, { ...record, timestampMs: 9 }])
  batches.stampBatch(batch, 0, 5000)
  assert.equal(batches.checkBatch(batch, 1000), undefined)
  const body = batch.subarray(batches.batchHeaderBytes)
  assert.deepEqual(
    [...batches.readRecords(batch, body)].map(({ timestampMs }) => timestampMs),
    [5000, 5000],
  )
})

test('64-bit integers keep their value, negative ones too', () => {
  const bytes = Buffer.alloc(8)
  for (const value of [0, 1, -1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53) + 1]) {
    batches.writeInt64(bytes, 0, value)
    assert.equal(batches.readInt64(bytes, 0), value)
    assert.equal(bytes.readBigInt64BE(), BigInt(value))
  }
})
