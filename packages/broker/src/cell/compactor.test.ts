import assert from 'node:assert/strict'
import test from 'node:test'
import type { BlobStore } from '../storage/blob-store.ts'
import * as batches from '../storage/record-batch.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import type { Retention } from './options.ts'
import { extent } from './stream.ts'
import { append, fetchOne, ManualClock, memoryStores, openCell, turns } from './testing/cells.ts'
import type { Stores, TestCell } from './testing/cells.ts'
import { keyedBatch, readKeyed } from './testing/keyed.ts'
import type { Keyed } from './testing/keyed.ts'

const KiB = 1024
const always = { dirtyRatioMin: 0, lagMinMs: 0, lagMaxMs: Infinity, deleteRetentionMs: 60_000 }

interface Opened extends TestCell {
  clock: ManualClock
  stream: number
  retention: Retention
  lines: { message: string; fields: Record<string, unknown> }[]
}

async function open(stores: Stores, compaction?: Retention['compaction'], keyMapBytes = 64 * KiB): Promise<Opened> {
  const clock = new ManualClock()
  const retention: Retention = { ms: -1, bytes: -1, compaction }
  const lines: Opened['lines'] = []
  const opened = await openCell(stores, {
    clock,
    retentionOf: () => retention,
    sizes: { flushBytes: 16 * KiB, keyMapBytes },
    log: (_, message, fields = {}) => void lines.push({ message, fields }),
  })
  const { cell } = opened
  const stream = [...cell.state.streams.keys()][0] ?? cell.define('stream')
  return { ...opened, clock, stream, retention, lines }
}

/** In batches of ten records. */
async function write({ client, stream }: Opened, records: Keyed[]): Promise<void> {
  for (let at = 0; at < records.length; at += 10) {
    assert.equal((await append(client, stream, keyedBatch(records.slice(at, at + 10)))).error, undefined)
  }
}

/** Everything but the last record is where compaction can have it, and compaction is over. */
async function settle({ cell, clock }: Opened): Promise<void> {
  await clock.advance(30_000) // Settings are looked at now and then.
  await cell.checkpointer.settle()
}

const rounds = (count: number, keys: number, valueBytes = 100): Keyed[] =>
  Array.from({ length: count * keys }, (_, index) => ({
    key: `key ${index % keys}`,
    value: `${Math.floor(index / keys)} ${'x'.repeat(valueBytes)}`,
  }))

const keysOf = async ({ client, stream }: Opened): Promise<(string | null)[]> =>
  (await readKeyed(client, stream)).map(({ key }) => key)

const passes = ({ lines }: Opened): Record<string, unknown>[] =>
  lines.filter(({ message }) => message === 'Compacted').map(({ fields }) => fields)

test('a dirty part of many steps is compacted in one pass, and the log tells of it', async () => {
  const opened = await open(memoryStores())
  await write(opened, rounds(20, 200))
  await settle(opened)
  assert.equal(passes(opened).length, 0)
  opened.retention.compaction = always
  await write(opened, [{ key: 'one', value: 'more' }])
  await settle(opened)
  const [pass] = passes(opened)
  assert.deepEqual([pass?.['keys'], pass?.['recordsRead'], pass?.['recordsKept']], [200, 4000, 200])
  const read = await readKeyed(opened.client, opened.stream)
  assert.equal(read.length, 201)
  assert(read.slice(0, 200).every(({ value }) => value?.startsWith('19 ')))
  assert.deepEqual(opened.fatal, [])
  await opened.cell.close()
})

test('more keys than the memory holds take several passes', async () => {
  const opened = await open(memoryStores(), undefined, 50 * 25)
  await write(opened, rounds(3, 300))
  opened.retention.compaction = always
  await settle(opened)
  assert(passes(opened).length > 10, String(passes(opened).length))
  assert.equal((await keysOf(opened)).length, 301)
  await opened.cell.close()
})

test('how far a stream is compacted survives a restart: nothing is done twice', async () => {
  const stores = memoryStores()
  const first = await open(stores, always)
  await write(first, rounds(10, 20))
  await settle(first)
  const { compactedTo } = first.cell.state.streams.get(first.stream)!
  assert(compactedTo > 0)
  await first.cell.close()
  const again = await open(stores, always)
  assert.equal(again.cell.state.streams.get(again.stream)!.compactedTo, compactedTo)
  await settle(again)
  assert.equal(passes(again).length, 0)
  await again.cell.close()
})

test('little dirt waits, until it has waited for the greatest lag', async () => {
  const opened = await open(memoryStores(), always)
  const { clock } = opened
  const at = (records: Keyed[]) => records.map(record => ({ ...record, timestampMs: clock.nowMs() }))
  await write(opened, at(rounds(2, 100)))
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 101, 'the newest record is not compacted, and what it supersedes stays')
  opened.retention.compaction = { ...always, dirtyRatioMin: 0.5, lagMaxMs: 1_000_000 }
  await write(opened, at(rounds(1, 50)))
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 151, 'a third is dirty')
  await clock.advance(600_000)
  assert.equal((await keysOf(opened)).length, 151)
  await clock.advance(200_000)
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 101)
  await opened.cell.close()
})

test('a greatest lag that is shorter than the intervals of flushing and looking is kept', async () => {
  const opened = await open(memoryStores(), { ...always, dirtyRatioMin: 1, lagMaxMs: 20_000 })
  const { clock } = opened
  // From now on it is known.
  await clock.advance(opened.cell.options.sizes.retentionCheckMs)
  await write(
    opened,
    rounds(5, 10).map(record => ({ ...record, timestampMs: clock.nowMs() })),
  )
  for (let passed = 0; passed < 20_000; passed += 1000) {
    await clock.advance(1000)
    await turns(20)
  }
  assert.equal((await keysOf(opened)).length, 11)
  await opened.cell.close()
})

test('what is younger than the least lag stays', async () => {
  const opened = await open(memoryStores(), { ...always, lagMinMs: 100_000 })
  const { clock } = opened
  const old = clock.nowMs() - 200_000
  await write(
    opened,
    rounds(5, 10).map(record => ({ ...record, timestampMs: old })),
  )
  await opened.cell.checkpointer.flush()
  await write(
    opened,
    rounds(5, 10).map(record => ({ ...record, timestampMs: clock.nowMs() })),
  )
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 10 + 50)
  await clock.advance(200_000)
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 11)
  await opened.cell.close()
})

/** A chain store that has only so much room. */
class SmallChain extends MemoryChainStore {
  left = 0
  room(): Promise<number> {
    return Promise.resolve(this.left)
  }
}

test('without room for the copy it waits, and says so', async () => {
  const chain = new SmallChain()
  const opened = await open({ chain, blobs: new MemoryBlobStore() }, always)
  await write(opened, rounds(50, 20))
  await settle(opened)
  assert.equal(passes(opened).length, 0)
  assert.equal(opened.lines.filter(({ message }) => message.includes('waits for room')).length, 1)
  chain.left = 1e9
  await opened.clock.advance(120_000)
  await settle(opened)
  assert.equal((await keysOf(opened)).length, 21)
  await opened.cell.close()
})

class RottingBlobs extends MemoryBlobStore {
  rotten: string | undefined
  override async read(name: string, position: number, target: Buffer): Promise<number | null> {
    const count = await super.read(name, position, target)
    if (name === this.rotten && position <= 50 && position + target.length > 50) target[50 - position]! ^= 1
    return count
  }
}

test('a stream with a damaged segment is left as it is', async () => {
  const blobs = new RottingBlobs()
  const opened = await open({ chain: new MemoryChainStore(), blobs })
  await write(opened, rounds(50, 20))
  await settle(opened)
  const { extents } = opened.cell.state.streams.get(opened.stream)!
  blobs.rotten = opened.cell.checkpointer.placement.segments.get(extents.get(0, extent.segment))!.name
  opened.retention.compaction = always
  await write(opened, rounds(1, 20))
  await settle(opened)
  await opened.clock.advance(300_000)
  assert.equal(passes(opened).length, 0)
  assert.equal(opened.lines.filter(({ message }) => message.includes('cannot be rewritten')).length, 1)
  assert((await segments(blobs)).includes(blobs.rotten))
  assert.deepEqual(opened.fatal, [])
  await opened.cell.close()
})

const segments = async (blobs: BlobStore): Promise<string[]> => (await blobs.list('cell/0/s/')).map(({ name }) => name)

test('a stream that is dropped or stops being compacted in the middle is let go', async () => {
  for (const end of ['drop', 'policy', 'trim'] as const) {
    const opened = await open(memoryStores())
    const { cell, client, stream, retention } = opened
    await write(opened, rounds(40, 100))
    await settle(opened)
    retention.compaction = always
    await write(opened, [{ key: 'last', value: '' }])
    await cell.checkpointer.flush() // A step has begun.
    if (end === 'drop') cell.drop(stream)
    else if (end === 'policy') retention.compaction = undefined
    else await client.trim(stream, 3_990)
    await settle(opened)
    assert.deepEqual(opened.fatal, [], end)
    if (end === 'trim') assert.equal((await keysOf(opened)).length, 11)
    if (end !== 'drop') for (const key of await keysOf(opened)) assert(key)
    await cell.close()
  }
})

test('segments of what was superseded go', async () => {
  const stores = memoryStores()
  const opened = await open(stores, always)
  const sizes: number[] = []
  for (let round = 0; round < 30; round++) {
    await write(opened, rounds(4, 25, 500))
    await settle(opened)
    sizes.push((await stores.blobs.list('cell/0/s/')).reduce((sum, { bytes }) => sum + bytes, 0))
  }
  assert(Math.max(...sizes) < 200 * KiB, sizes.join())
  assert(opened.client.sizeBytes(opened.stream) < 40 * KiB)
  await opened.cell.close()
})

test('an aborted transaction leaves nothing behind: records, then the memory of it, then its marker', async () => {
  const stores = memoryStores()
  let opened = await open(stores, { ...always, deleteRetentionMs: 60_000 })
  const { cell, client, stream } = opened
  const producer = { producerId: 5, producerEpoch: 0, baseSequence: 0 }
  const records = [{ key: 'a', value: 'aborted' }]
  const batch = keyedBatch(records, { ...producer, attributes: batches.attributeBits.transactional })
  assert.equal((await append(client, stream, batch)).baseOffset, 0)
  const end = { producerId: 5, producerEpoch: 0, isCommitted: false }
  await cell.durable(cell.atomic(() => client.endTransaction(stream, end)))
  const firstBatch = async () => {
    const { batches: found } = await fetchOne(opened.client, stream, 0)
    return [batches.baseOffset(found[0]!), batches.attributes(found[0]!) & batches.attributeBits.control]
  }
  const aborted = () => opened.cell.state.streams.get(stream)!.abortedIn(0, 2).length
  await write(opened, rounds(2, 10))
  assert.deepEqual([await firstBatch(), aborted()], [[0, 0], 1])
  await opened.cell.checkpointer.settle()
  assert.deepEqual(await firstBatch(), [1, batches.attributeBits.control])
  for (let round = 0; round < 2; round++) {
    await write(opened, rounds(1, 10))
    await opened.cell.checkpointer.settle()
  }
  assert.deepEqual([await firstBatch(), aborted()], [[1, batches.attributeBits.control], 0])
  await opened.cell.close()
  opened = await open(stores, opened.retention.compaction)
  assert.equal(aborted(), 0)
  await opened.clock.advance(60_000)
  await write(opened, rounds(1, 10))
  await settle(opened)
  assert.equal((await firstBatch())[1], 0)
  await opened.cell.close()
})

test('times are looked up over holes, among the records that are left', async () => {
  const opened = await open(memoryStores(), always)
  const { client, stream } = opened
  const records = rounds(6, 60).map((record, index) => ({ ...record, timestampMs: 10_000 + ((index * 37) % 1000) }))
  await write(opened, [...records, { key: 'last', value: null, timestampMs: 5 }])
  await settle(opened)
  const left = await readKeyed(client, stream, 700)
  assert(left.length < 130, String(left.length))
  for (let at = 9_990; at < 11_010; at += 7) {
    const found = await client.offsetAtTime(stream, at)
    assert.equal(found?.offset, left.find(({ timestampMs }) => timestampMs >= at)?.offset, `at ${at}`)
  }
  const newest = left.reduce((best, record) => (record.timestampMs > best.timestampMs ? record : best))
  assert.equal((await client.offsetOfMaxTimestamp(stream))?.offset, newest.offset)
  await opened.cell.close()
})
