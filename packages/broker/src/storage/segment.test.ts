import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { readBlob } from './blob-store.ts'
import type { BlobWriter } from './blob-store.ts'
import { Corrupt } from './errors.ts'
import { MemoryBlobStore } from './memory-store.ts'
import * as batches from './record-batch.ts'
import { readSegmentTables, segmentHeader, SegmentWriter } from './segment.ts'
import type { Extent } from './segment.ts'
import { SegmentSource } from './segment-source.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const KiB = 1024

/** A batch of exactly `bytes`, as opaque to segments as any. */
function batchOf(bytes: number, base: number, timestampMs: number): Buffer {
  const batch = Buffer.alloc(bytes, base + 1)
  batches.writeInt64(batch, 0, base)
  batch.writeInt32BE(bytes - 12, 8)
  batch[16] = 2
  batch.writeInt32BE(0, 23)
  batches.writeInt64(batch, 35, timestampMs)
  return batch
}

/** What the writer may still refer to is overwritten as soon as it may be: a late look at it shows. */
async function addOnce(writer: SegmentWriter, batch: Buffer): Promise<void> {
  const bytes = Buffer.concat([Buffer.alloc(7), batch])
  const wait = writer.add(
    bytes,
    7,
    batch.length,
    batches.baseOffset(batch),
    batches.lastOffset(batch),
    batches.maxTimestamp(batch),
  )
  if (wait) await wait
  bytes.fill(0xee)
}

async function write(blobs: MemoryBlobStore, name: string, streams: Map<number, Buffer[]>): Promise<number> {
  const writer = new SegmentWriter(await blobs.create(name), segmentHeader(3, 4, 5))
  for (const [stream, all] of streams) {
    writer.begin(stream)
    for (const batch of all) await addOnce(writer, batch)
  }
  await writer.finish()
  return writer.bytes
}

test(`a segment gives back what was written, whatever the sizes (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const edges = [
    61,
    64 * KiB - 1,
    64 * KiB,
    64 * KiB + 1,
    256 * KiB - 1,
    256 * KiB,
    1024 * KiB - 32,
    1024 * KiB,
    1024 * KiB + 1,
  ]
  for (let round = 0; round < 12; round++) {
    const blobs = new MemoryBlobStore()
    const streams = new Map<number, Buffer[]>()
    for (let stream = 1; stream <= 4; stream++) {
      let base = random.below(1000)
      const count = random.below(round === 0 ? 1 : 12)
      const sizeOf = () => (random.chance(0.4) ? random.pick(edges) : random.between(61, 3000))
      streams.set(
        stream * 10,
        Array.from({ length: count }, () => batchOf(sizeOf(), base++, random.below(1e6))),
      )
    }
    const bytes = await write(blobs, 's', streams)
    assert.equal(bytes, (await blobs.list('s'))[0]!.bytes)
    const tables = await readSegmentTables(blobs, 's', bytes)
    assert(typeof tables === 'object', String(tables))
    const filled = [...streams].filter(([, all]) => all.length > 0)
    assert.deepEqual(
      tables.extents.map(({ stream }) => stream),
      filled.map(([stream]) => stream),
    )
    const source = await SegmentSource.open(blobs, 's', bytes)
    for (const [index, [, all]] of filled.entries()) {
      const extent: Extent = tables.extents[index]!
      const pieces: Buffer[] = []
      for (const chunk of source.chunks(extent.chunkPosition, extent.chunkCount)) {
        assert.equal(chunk.baseOffset, batches.baseOffset(await source.read(chunk)))
        pieces.push(Buffer.from(await source.read(chunk)))
      }
      assert(Buffer.concat(pieces).equals(Buffer.concat(all)))
      const whole = (await readBlob(blobs, 's', bytes))!.subarray(extent.position, extent.position + extent.bytes)
      assert(whole.equals(Buffer.concat(all)))
      assert.equal(extent.firstOffset, batches.baseOffset(all[0]!))
      assert.equal(extent.lastOffset, batches.lastOffset(all.at(-1)!))
      assert.equal(extent.maxTimestamp, Math.max(...all.map(batch => batches.maxTimestamp(batch))))
    }
  }
})

test('a flipped bit anywhere in a segment is found by its tables or by its chunks', async () => {
  const blobs = new MemoryBlobStore()
  const all = Array.from({ length: 3 }, (_, base) => batchOf(500, base, base))
  const bytes = await write(
    blobs,
    's',
    new Map([
      [7, all],
      [9, all],
    ]),
  )
  const good = (await readBlob(blobs, 's', bytes))!
  for (let at = 0; at < bytes; at += at < 32 || at > bytes - 250 ? 1 : 97) {
    const damaged = Buffer.from(good)
    damaged[at]! ^= 0x10
    const store = new MemoryBlobStore()
    await store.putIfAbsent('s', [damaged])
    const isZeroInTrailer = at >= bytes - 12 && at < bytes - 4
    if (isZeroInTrailer) continue // Reserved, and read by nobody.
    await assert.rejects(
      async () => {
        const source = await SegmentSource.open(store, 's', bytes)
        const tables = await readSegmentTables(store, 's', bytes)
        assert(typeof tables === 'object')
        for (const extent of tables.extents) {
          for (const chunk of source.chunks(extent.chunkPosition, extent.chunkCount)) await source.read(chunk)
        }
      },
      Corrupt,
      `byte ${at}`,
    )
  }
})

test('a segment cut short or too short is refused in words', async () => {
  const blobs = new MemoryBlobStore()
  const bytes = await write(blobs, 's', new Map([[7, [batchOf(500, 0, 0)]]]))
  assert.match(String(await readSegmentTables(blobs, 's', 40)), /s is too short for a segment/)
  assert.match(String(await readSegmentTables(blobs, 's', bytes - 1)), /s is not a segment/)
})

test('a writer that fails leaves the failure to its caller', async () => {
  const failing: BlobWriter = {
    append: () => Promise.reject(new Error('no room')),
    finish: () => Promise.reject(new Error('no room')),
    abort: async () => {},
  }
  const writer = new SegmentWriter(failing, segmentHeader(0, 1, 1))
  writer.begin(1)
  await addOnce(writer, batchOf(1000, 0, 0))
  await assert.rejects(writer.finish(), /no room/)
})

test('SegmentWriter is finished only when its slowest write is', async () => {
  let open = 0
  let finishedWith = -1
  const blob: BlobWriter = {
    append: async () => {
      const turns = open++ === 0 ? 50 : 1 // The first write takes the longest.
      for (let turn = 0; turn < turns; turn++) await new Promise<void>(resolve => setImmediate(resolve))
      open--
    },
    finish: async () => {
      finishedWith = open
      return 'ok'
    },
    abort: async () => {},
  }
  const writer = new SegmentWriter(blob, segmentHeader(0, 1, 0))
  writer.begin(1024)
  const batch = batches.makeBatch([{ key: null, value: Buffer.alloc(700_000), timestampMs: 1 }])
  for (let index = 0; index < 3; index++) void writer.add(batch, 0, batch.length, index, index, 1)
  const small = batches.makeBatch([{ key: null, value: Buffer.alloc(10), timestampMs: 1 }])
  void writer.add(small, 0, small.length, 3, 3, 1)
  await writer.finish()
  assert.equal(finishedWith, 0)
})

test('what is lent to a SegmentWriter may change at once, however slow the writes are', async () => {
  const random = new Random(seed)
  const whole: Buffer[] = []
  let last: Promise<unknown> = Promise.resolve()
  const blob: BlobWriter = {
    append: parts => {
      const done = last.then(async () => {
        for (let turn = 0; turn < 3; turn++) await new Promise<void>(resolve => setImmediate(resolve))
        whole.push(Buffer.concat(parts))
      })
      last = done
      return done
    },
    finish: async () => 'ok',
    abort: async () => {},
  }
  const writer = new SegmentWriter(blob, segmentHeader(0, 1, 0))
  writer.isLent = true
  writer.begin(7)
  const sizes = [61, 256 * KiB, 1024 * KiB + 1, 300 * KiB, 3000 * KiB, random.between(61, 2000 * KiB), 900 * KiB]
  const lent = Buffer.alloc(3000 * KiB)
  const expected: Buffer[] = []
  for (const [base, bytes] of sizes.entries()) {
    expected.push(batchOf(bytes, base, base))
    expected[base]!.copy(lent)
    const wait = writer.add(lent, 0, bytes, base, base, base)
    lent.fill(0xee)
    if (wait) await wait
  }
  const [stretch] = await writer.finish()
  const all = Buffer.concat(whole)
  assert(all.subarray(stretch!.position, stretch!.position + stretch!.bytes).equals(Buffer.concat(expected)))
})
