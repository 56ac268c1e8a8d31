import assert from 'node:assert/strict'
import test from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { Random } from '@dragoman/wire'
import * as batches from '../storage/record-batch.ts'
import type { Compression } from '../storage/record-batch.ts'
import { append, memoryStores, openCell, record } from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** The least that each codec's format allows: its own decoder is tested elsewhere. */
const compress: Record<Compression, (plain: Buffer) => Buffer> = {
  none: plain => plain,
  gzip: plain => gzipSync(plain),
  zstd: plain => zstdCompressSync(plain),
  snappy: plain => Buffer.concat([varint(plain.length), literal(plain)]),
  lz4: plain => {
    // Frame: magic, version 1 with independent blocks, 64 KiB blocks, header checksum; one stored block; end.
    const head = Buffer.from('04224d18604082', 'hex')
    const length = Buffer.alloc(4)
    length.writeUInt32LE((0x8000_0000 | plain.length) >>> 0)
    return Buffer.concat([head, length, plain, Buffer.alloc(4)])
  },
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128)
  return Buffer.from([...bytes, value])
}

/** Snappy's literal of up to 64 KiB. */
const literal = (plain: Buffer): Buffer => {
  const length = Buffer.from([61 << 2, 0, 0])
  length.writeUInt16LE(plain.length - 1, 1)
  return Buffer.concat([length, plain])
}

function compressed(codec: Compression, times: number[]): Buffer {
  const plain = batches.makeBatch(times.map(time => record(`at ${time}`, time)))
  const body = compress[codec](plain.subarray(batches.batchHeaderBytes))
  const bytes = Buffer.concat([plain.subarray(0, batches.batchHeaderBytes), body])
  bytes.writeInt32BE(bytes.length - batches.batchLengthOverhead, 8)
  bytes.writeInt16BE(batches.compressionNames.indexOf(codec), 21)
  batches.sealBatch(bytes)
  return bytes
}

test(`lookups by time agree with a list, whatever the codec, flushed or not, trimmed or not (SEED=${seed})`, async () => {
  const random = new Random(seed)
  for (const codec of batches.compressionNames) {
    const { cell, client } = await openCell(memoryStores())
    const stream = cell.define('stream')
    const times: number[] = []
    for (let count = 0; count < 30; count++) {
      const fresh = Array.from({ length: random.between(1, 5) }, () => times.length * 10 + random.below(200))
      times.push(...fresh)
      await append(client, stream, compressed(codec, fresh))
      if (random.chance(0.2)) await cell.checkpointer.flush()
      if (count === 20) await client.trim(stream, random.below(times.length))
    }
    const { startOffset } = client.bounds(stream)!
    const kept = times.slice(startOffset)
    for (let count = 0; count < 60; count++) {
      const at = random.below(1200)
      const offset = kept.findIndex(time => time >= at)
      const expected = offset < 0 ? undefined : { offset: offset + startOffset, timestampMs: kept[offset]!, epoch: 1 }
      assert.deepEqual(await client.offsetAtTime(stream, at), expected, `${codec} at ${at}`)
    }
    const greatest = Math.max(...kept)
    const newest = { offset: kept.indexOf(greatest) + startOffset, timestampMs: greatest, epoch: 1 }
    assert.deepEqual(await client.offsetOfMaxTimestamp(stream), newest, codec)
    await cell.close()
  }
})

test('the greatest time of a removed record is not told', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  await append(client, stream, compressed('gzip', [10, 9000, 30, 20]))
  await append(client, stream, compressed('gzip', [25]))
  for (const flushed of [false, true]) {
    if (flushed) await cell.checkpointer.flush()
    await client.trim(stream, 2)
    assert.deepEqual(await client.offsetOfMaxTimestamp(stream), { offset: 2, timestampMs: 30, epoch: 1 })
    assert.equal(await client.offsetAtTime(stream, 31), undefined)
  }
  await client.trim(stream, 5)
  assert.equal(await client.offsetOfMaxTimestamp(stream), undefined)
  assert.equal(await client.offsetAtTime(stream, 0), undefined)
  await cell.close()
})

test('a batch whose records cannot be read is answered as a whole', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  await append(client, stream, compressed('none', [10]))
  const garbage = compressed('gzip', [20, 30])
  garbage.fill(7, batches.batchHeaderBytes)
  batches.sealBatch(garbage)
  await append(client, stream, garbage)
  assert.deepEqual(await client.offsetAtTime(stream, 15), { offset: 1, timestampMs: 30, epoch: 1 })
  assert.deepEqual(await client.offsetOfMaxTimestamp(stream), { offset: 1, timestampMs: 30, epoch: 1 })
  await cell.close()
})

test('a stream that is flushed, moved and trimmed during a lookup is answered all the same', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  for (let index = 0; index < 40; index++) {
    await append(client, stream, compressed('none', [index * 10]))
    if (index % 3 === 0) await cell.checkpointer.flush()
  }
  const lookups = Array.from({ length: 40 }, (_, index) => client.offsetAtTime(stream, index * 10))
  await cell.checkpointer.settle()
  for (const [index, found] of (await Promise.all(lookups)).entries()) assert.equal(found?.offset, index)
  const late = client.offsetAtTime(stream, 0)
  await client.trim(stream, 20)
  assert([0, 20].includes((await late)!.offset))
  await cell.close()
})
