import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { BatchRecords } from '../storage/batch-records.ts'
import * as batches from '../storage/record-batch.ts'
import { CompactionFilter } from './compaction-filter.ts'
import { KeyMap, keySlotBytes } from './key-map.ts'
import { makeMarker } from './marker.ts'
import { Pace } from './pace.ts'
import { Stream } from './stream.ts'
import { ManualClock } from './testing/cells.ts'
import { keyedBatch, keyedRecords } from './testing/keyed.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const nowMs = 1_000_000
const deleteRetentionMs = 500

interface More {
  until?: number
  stream?: Stream
  nowMs?: number
}

/** A filter that knows the newest offsets of these batches' keys. */
function filterOf(shown: readonly Buffer[], { until = 1000, stream = new Stream(1), nowMs: now = nowMs }: More = {}) {
  const keys = new KeyMap(0, 1000, 1e6)
  const records = new BatchRecords()
  for (const batch of shown) {
    records.open(batch)
    while (records.next()) {
      const offset = batches.baseOffset(batch) + records.offsetDelta
      if (records.keyBytes >= 0 && offset < until) assert(keys.set(records, offset))
    }
  }
  const pace = new Pace(new ManualClock())
  pace.begin()
  return new CompactionFilter({ stream, keys, until, nowMs: now, deleteRetentionMs, pace })
}

function at(offset: number, batch: Buffer): Buffer {
  batches.placeBatch(batch, 0, offset, 7)
  return batch
}

for (const compression of batches.compressionNames) {
  test(`of a batch with ${compression} the superseded records go, and what stays is as it was`, async () => {
    const producer = { producerId: 9, producerEpoch: 2, baseSequence: 40 }
    const old = at(
      10,
      keyedBatch(
        [
          { key: 'a', value: 'x'.repeat(500), timestampMs: 50 },
          { key: 'b', value: 'only', timestampMs: 30 },
          { key: 'c', value: '1', timestampMs: 90 },
          { key: null, value: 'keyless', timestampMs: 40 },
          { key: '', value: 'a key of no bytes', timestampMs: 20 },
        ],
        { compression, ...producer },
      ),
    )
    const young = at(
      15,
      keyedBatch(
        [
          { key: 'a', value: '2' },
          { key: 'c', value: '2' },
        ],
        { compression },
      ),
    )
    const filter = filterOf([old, young])
    const left = await filter.filter(old)
    assert(left)
    assert.deepEqual(keyedRecords([left]), [
      { offset: 11, key: 'b', value: 'only', timestampMs: 30 },
      { offset: 14, key: '', value: 'a key of no bytes', timestampMs: 20 },
    ])
    assert.deepEqual(
      [batches.baseOffset, batches.lastOffset, batches.leaderEpoch, batches.compressionOf].map(read => read(left)),
      [10, 14, 7, compression],
    )
    assert.deepEqual(
      [batches.producerId, batches.producerEpoch, batches.baseSequence, batches.recordCount].map(read => read(left)),
      [9, 2, 40, 2],
    )
    assert.equal(batches.maxTimestamp(left), 30)
    assert.equal(await filter.filter(young), young, 'not copied when all of it stays')
    assert.deepEqual(filter.passed.recordsRead - filter.passed.recordsKept, 3)
  })
}

test('a batch goes when nothing of it stays; records from a place on stay in any case', async () => {
  const all = [0, 1, 2].map(offset => at(offset, keyedBatch([{ key: 'k', value: String(offset) }])))
  const filter = filterOf(all, { until: 2 })
  assert.equal(await filter.filter(all[0]!), undefined)
  assert.equal(await filter.filter(all[1]!), all[1])
  assert.equal(await filter.filter(all[2]!), all[2])
})

test('tombstones get a delete horizon, keep their times, and go when it has passed', async () => {
  const batch = at(
    5,
    keyedBatch([
      { key: 'gone', value: null, timestampMs: 100 },
      { key: 'there', value: 'v', timestampMs: 2_000_000 },
    ]),
  )
  const first = await filterOf([batch]).filter(batch)
  assert(first)
  assert.equal(batches.deleteHorizon(first), nowMs + deleteRetentionMs)
  assert.deepEqual(
    keyedRecords([first]).map(({ offset, timestampMs }) => [offset, timestampMs]),
    [
      [5, 100],
      [6, 2_000_000],
    ],
  )
  const before = { nowMs: nowMs + deleteRetentionMs - 1 }
  assert.equal(await filterOf([], before).filter(first), first, 'its horizon does not move')
  const last = await filterOf([], { nowMs: nowMs + deleteRetentionMs }).filter(first)
  assert(last)
  assert.deepEqual(
    keyedRecords([last]).map(({ key, timestampMs }) => [key, timestampMs]),
    [['there', 2_000_000]],
  )
  // Without a tombstone that is compacted there is no horizon.
  assert.equal(batches.deleteHorizon((await filterOf([], { until: 5 }).filter(batch))!), undefined)
})

test('a batch stamped by the broker keeps its time', async () => {
  const batch = at(
    0,
    keyedBatch([
      { key: 'a', value: '1' },
      { key: 'b', value: null },
    ]),
  )
  batches.stampBatch(batch, 0, 777_000)
  const left = await filterOf([batch, at(2, keyedBatch([{ key: 'a', value: '2' }]))]).filter(batch)
  assert(left)
  assert.deepEqual(keyedRecords([left]), [{ offset: 1, key: 'b', value: null, timestampMs: 777_000 }])
})

test('what cannot be read stays as it is', async () => {
  const broken = at(
    0,
    keyedBatch(
      [
        { key: 'a', value: 'x'.repeat(300) },
        { key: 'a', value: 'y' },
      ],
      { compression: 'gzip' },
    ),
  )
  broken.fill(0, 80, 100)
  const misplaced = at(
    2,
    keyedBatch([
      { key: 'a', value: '1' },
      { key: 'a', value: '2' },
    ]),
  )
  misplaced.writeUInt8(0x7f, misplaced.indexOf('a') - 2) // The first record's offset, with a sign.
  const newest = at(4, keyedBatch([{ key: 'a', value: '3' }]))
  const filter = filterOf([newest])
  assert.equal(await filter.filter(broken), broken)
  assert.equal(await filter.filter(misplaced), misplaced)
  assert.equal(filter.passed.unreadable, 2)
})

/** A stream that was told of these batches, which are placed one behind the other. */
function streamOf(all: readonly Buffer[]): Stream {
  const stream = new Stream(1)
  for (const batch of all) {
    at(stream.endOffset, batch)
    const context = { seq: 0, timeMs: 0, epoch: 7, slab: undefined as never, slabAt: 0 }
    stream.apply(1, batch, context)
  }
  stream.settleAll()
  return stream
}

const inTransaction = (producerId: number, key: string): Buffer =>
  keyedBatch([{ key, value: `of ${producerId}` }], {
    producerId,
    producerEpoch: 0,
    baseSequence: 0,
    attributes: batches.attributeBits.transactional,
  })
const marker = (producerId: number, isCommitted: boolean): Buffer =>
  makeMarker({ isCommitted, coordinatorEpoch: 1 }, { producerId, producerEpoch: 0, timeMs: 5 })

test('aborted records go; a marker stays with its records, and to its horizon without them', async () => {
  const all = [
    inTransaction(1, 'a'),
    inTransaction(2, 'a'),
    inTransaction(3, 'c'),
    marker(2, false),
    marker(1, true),
    marker(3, true),
    keyedBatch([{ key: 'a', value: 'newest' }]),
  ]
  const stream = streamOf(all)
  const [ofA, aborted, ofC, abortMarker, emptyMarker, fullMarker, newest] = all as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ]
  const shown = [ofA, ofC, newest]
  const pass = filterOf(shown, { stream })
  const left: (Buffer | undefined)[] = []
  for (const batch of all) left.push(await pass.filter(batch))
  assert.deepEqual([left[0], left[1]], [undefined, undefined])
  assert.equal(left[2], ofC)
  assert.equal(left[5], fullMarker, 'its records are there')
  assert(aborted && abortMarker && emptyMarker)
  for (const kept of [left[3], left[4]]) {
    assert(kept)
    assert.equal(batches.deleteHorizon(kept), nowMs + deleteRetentionMs)
    assert.equal(batches.recordCount(kept), 1)
  }
  const later = filterOf(shown, { stream, nowMs: nowMs + deleteRetentionMs })
  assert.equal(await later.filter(left[3]!), left[3], 'readers are told of the transaction and look for it')
  assert.equal(await later.filter(left[4]!), undefined)
  assert.equal(await later.filter(ofC), ofC)
  assert.equal(await later.filter(fullMarker), fullMarker)
})

test(`a map of keys finds what a Map does, and says when it is full (SEED=${seed})`, () => {
  const random = new Random(seed)
  const base = 2 ** 40
  const map = new KeyMap(base, 1e6, 500 * keySlotBytes)
  const expected = new Map<string, number>()
  const records = new BatchRecords()
  const show = (key: string): BatchRecords => {
    records.open(keyedBatch([{ key, value: '' }]))
    assert(records.next())
    return records
  }
  let offset = base
  for (; expected.size < 400; offset += random.between(1, 1e6)) {
    const key = `key ${random.below(600)}`
    assert.equal(map.set(show(key), offset), true)
    expected.set(key, offset)
  }
  assert.equal(map.set(show('one more'), offset), false)
  assert.equal(map.set(show([...expected.keys()][0]!), offset), true, 'those that are there can be renewed')
  expected.set([...expected.keys()][0]!, offset)
  for (let number = 0; number < 600; number++) {
    assert.equal(map.get(show(`key ${number}`)), expected.get(`key ${number}`) ?? -1)
  }
  assert.equal(map.count, 400)
})
