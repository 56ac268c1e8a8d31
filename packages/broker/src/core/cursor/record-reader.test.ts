import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { append, memoryStores, openCell } from '../../cell/testing/cells.ts'
import * as batches from '../../storage/record-batch.ts'
import { RecordReader } from './record-reader.ts'
import { BatchWindow, RecordView } from './record-view.ts'

const seed = Number(process.env['SEED'] ?? 11)

/** What of a record can be compared. */
interface Plain {
  timestampMs: number
  key: string | undefined
  value: string | undefined
  headers: [string, string | undefined][]
}

const plainOf = (view: RecordView): Plain => ({
  timestampMs: view.timestampMs,
  key: view.key?.toString(),
  value: view.value?.toString(),
  headers: view.headers().map(({ key, value }) => [key, value?.toString()]),
})

/** A batch of random records, some compressed, and what they are. */
function someBatch(random: Random): { batch: Buffer; records: Plain[] } {
  const text = (): string => 'x'.repeat(random.pick([0, 1, 30, 300])) + random.below(1000)
  const records = Array.from({ length: random.pick([1, 1, 2, 50]) }, () => ({
    timestampMs: 1_700_000_000_000 + random.below(1e6),
    key: random.chance(0.5) ? text() : undefined,
    value: random.chance(0.9) ? text() : undefined,
    headers: Array.from({ length: random.below(3) }, (): [string, string | undefined] => [
      text(),
      random.chance(0.8) ? text() : undefined,
    ]),
  }))
  const bytes = (value: string | undefined): Buffer | null => (value === undefined ? null : Buffer.from(value))
  const plain = batches.makeBatch(
    records.map(({ timestampMs, key, value, headers }) => ({
      timestampMs,
      key: bytes(key),
      value: bytes(value),
      headers: headers.map(([name, of]) => ({ key: name, value: bytes(of) })),
    })),
  )
  if (random.chance(0.7)) return { batch: plain, records }
  const batch = Buffer.concat([
    plain.subarray(0, batches.batchHeaderBytes),
    gzipSync(plain.subarray(batches.batchHeaderBytes)),
  ])
  batch.writeInt16BE(1, 21)
  batch.writeInt32BE(batch.length - batches.batchLengthOverhead, 8)
  batches.sealBatch(batch)
  return { batch, records }
}

test(`BatchWindow finds every record in any order, and nothing in gaps and in control batches (SEED=${seed})`, () => {
  const random = new Random(seed)
  const window = new BatchWindow()
  const view = new RecordView()
  for (let trial = 0; trial < 30; trial++) {
    const all = new Map<number, Plain>()
    const parts: Buffer[] = []
    const start = random.pick([0, 2 ** 33])
    let next = start
    for (let count = random.below(12); count >= 0; count--) {
      next += random.chance(0.3) ? random.below(10) : 0
      const { batch, records } = someBatch(random)
      batches.placeBatch(batch, 0, next, 1)
      const isControl = random.chance(0.1)
      if (isControl) batch.writeInt16BE(batches.attributes(batch) | batches.attributeBits.control, 21)
      else for (const [index, record] of records.entries()) all.set(next + index, record)
      next += records.length
      parts.push(batch)
    }
    window.fill(start, Buffer.concat(parts), next)
    assert.deepEqual([window.from, window.to], [start, next])
    let offset = start
    for (let step = 0; step < 300; step++) {
      offset = random.chance(0.7) ? Math.min(offset + 1, next - 1) : start + random.below(next - start)
      const found = window.find(offset, view)
      assert.equal(found, all.has(offset), `offset ${offset}`)
      if (!found) continue
      assert.equal(view.offset, offset)
      assert.deepEqual(plainOf(view), all.get(offset))
    }
  }
})

test('a batch that is not what it says has no records for consumers', () => {
  const window = new BatchWindow()
  const view = new RecordView()
  const batch = batches.makeBatch([1, 2, 3].map(timestampMs => ({ timestampMs, value: Buffer.from('abc') })))
  const damaged = Buffer.from(batch)
  damaged.fill(0xff, batches.batchHeaderBytes + 12)
  window.fill(0, damaged, 3)
  assert.deepEqual(
    [0, 1, 2].map(offset => window.find(offset, view)),
    [true, false, false],
  )
  const compressed = Buffer.from(batch)
  compressed.writeInt16BE(1, 21)
  window.fill(0, compressed, 3)
  assert.deepEqual(
    [0, 1, 2].map(offset => window.find(offset, view)),
    [false, false, false],
  )
})

test(`RecordReader reads a stream from memory and from segments, ahead and behind (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  const all: Plain[] = []
  const addSome = async (): Promise<void> => {
    for (let count = 0; count < 40; count++) {
      const { batch, records } = someBatch(random)
      await append(client, stream, batch)
      all.push(...records)
    }
  }
  const reader = new RecordReader(client, stream)
  let reads = 0
  const get = async (offset: number, isAhead: boolean): Promise<Plain> => {
    let found = reader.find(offset)
    if (found === 'unread') {
      reads++
      await new Promise<void>((resolve, reject) => {
        const done = (error?: string): void => (error ? reject(new Error(error)) : resolve())
        if (reader.read(offset, isAhead, done)) resolve()
      })
      found = reader.find(offset)
    }
    assert.equal(found, 'found')
    assert.equal(reader.record.offset, offset)
    return plainOf(reader.record)
  }
  await addSome()
  await cell.checkpointer.flush()
  await addSome()
  for (let offset = 0; offset < all.length; offset++) {
    assert.deepEqual(await get(offset, true), all[offset])
    const again = random.below(offset + 1)
    if (random.chance(0.02)) assert.deepEqual(await get(again, false), all[again])
  }
  assert(reads < 60, `${reads} reads for ${all.length} records`)
  reader.clear()
  assert.equal(reader.bytes, 0)
  await client.trim(stream, 10)
  await assert.rejects(get(5, false), /offset-out-of-range/)
  cell.drop(stream)
  await assert.rejects(get(20, true), /stream-not-found/)
  await cell.close()
})
