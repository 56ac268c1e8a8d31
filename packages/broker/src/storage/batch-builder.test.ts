import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { BatchBuilder, bodyOf } from './batch-builder.ts'
import { checkBatch, makeBatch, type NewRecord } from './record-batch.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

function someRecord(random: Random, nowMs: number): NewRecord {
  const bytes = (): Buffer | null =>
    random.below(4) === 0 ? null : random.bytes(random.pick([0, 1, 40, 63, 64, 300, 9000]))
  const headers = Array.from({ length: random.below(3) }, () => ({
    key: random.pick(['~', '~q', '', 'größe', 'k'.repeat(70)]),
    value: bytes(),
  }))
  return { key: bytes(), value: bytes(), headers, timestampMs: nowMs + random.below(5) - 2 }
}

test(`a batch whose records come one by one is the same as one made at once (SEED=${seed})`, () => {
  const random = new Random(seed)
  const builder = new BatchBuilder(64)
  for (let round = 0; round < 300; round++) {
    const records = Array.from({ length: 1 + random.below(round % 10 === 0 ? 200 : 4) }, () =>
      someRecord(random, 1_700_000_000_000 + random.below(10_000)),
    )
    for (const record of records) builder.add(bodyOf(record))
    assert.equal(builder.count, records.length)
    const { size } = builder
    const out = Buffer.alloc(size + 20, 0xaa)
    builder.take(out, 10)
    assert.deepEqual(out.subarray(10, size + 10), makeBatch(records))
    assert.equal(checkBatch(out.subarray(10, size + 10), Infinity), undefined)
    assert.deepEqual([builder.count, out[9], out[size + 10]], [0, 0xaa, 0xaa])
    const [first] = records
    const body = bodyOf(first!)
    assert.deepEqual(body.alone, makeBatch([first!]))
    assert.equal(body.aloneBytes, body.alone.length)
  }
})
