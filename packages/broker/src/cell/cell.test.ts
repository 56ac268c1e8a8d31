import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { ChainStore } from '../storage/chain-store.ts'
import { FileBlobStore, FileChainStore } from '../storage/file-store.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import * as batches from '../storage/record-batch.ts'
import { Cell } from './cell.ts'
import type { AppendResult, FetchResult } from './client.ts'
import { LocalCellClient } from './local-client.ts'
import { defaultCellSizes } from './options.ts'
import type { CellSizes } from './options.ts'

const runtime = realRuntime()
const seed = Number(process.env.SEED ?? Date.now() >>> 0)

interface Stores {
  chain: ChainStore
  blobs: BlobStore
}

const small: Partial<CellSizes> = {
  flushBytes: 64 * 1024,
  slabBytes: 64 * 1024,
  blockBytesMax: 32 * 1024,
  flushIntervalMs: 60_000,
}

function open(
  stores: Stores,
  sizes: Partial<CellSizes> = {},
  retention?: { ms: number; bytes: number },
): Promise<Cell> {
  return Cell.open({
    cell: 0,
    ...stores,
    clock: runtime.clock,
    random: new Random(seed),
    machines: {},
    sizes: { ...defaultCellSizes, ...sizes },
    exclusive: true,
    retentionOf: () => retention,
    onFatal: error => {
      throw error
    },
    onFenced: () => {},
    log: () => {},
  })
}

const memory = (): Stores => ({ chain: new MemoryChainStore(), blobs: new MemoryBlobStore() })

function files(directory: string, fileBytes = 256 * 1024): Stores {
  const options = { disk: runtime.disk, clock: runtime.clock, fileBytes, dsync: true, reserveBytes: 0 }
  return { chain: new FileChainStore(directory, options), blobs: new FileBlobStore(directory, runtime.disk) }
}

function temporary(t: { after(run: () => void): void }): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-cell-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

const record = (text: string, timestampMs = 1000) => ({ key: null, value: Buffer.from(text), timestampMs })
const append = (client: LocalCellClient, stream: number, batch: Buffer): Promise<AppendResult> =>
  new Promise(resolve => client.append(stream, batch, resolve))
const fetch = (
  client: LocalCellClient,
  stream: number,
  offset: number,
  more: Partial<{ minBytes: number; maxWaitMs: number; maxBytes: number }> = {},
) =>
  new Promise<FetchResult>(resolve => {
    const maxBytes = more.maxBytes ?? 1024 * 1024
    client.fetch(
      {
        streams: [{ stream, offset, maxBytes }],
        minBytes: more.minBytes ?? 0,
        maxBytes,
        maxWaitMs: more.maxWaitMs ?? 0,
      },
      resolve,
    )
  })

/** All values of a stream with their offsets, read in small steps. */
async function readAll(client: LocalCellClient, stream: number, maxBytes = 10_000): Promise<[number, string][]> {
  const found: [number, string][] = []
  let offset = client.bounds(stream)!.startOffset
  while (offset < client.bounds(stream)!.endOffset) {
    const result = await fetch(client, stream, offset, { maxBytes })
    const read = result.streams[0]!
    assert.equal(read.error, undefined)
    assert(read.batches.length > 0, `nothing at ${offset}`)
    for (const bytes of read.batches) {
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        const body = bytes.subarray(at + batches.batchHeaderBytes, at + batches.batchBytes(bytes, at))
        assert.equal(batches.checkBatch(bytes.subarray(at, at + batches.batchBytes(bytes, at)), 1e9), undefined)
        for (const stored of batches.readRecords(bytes, body, at)) {
          if (stored.offset >= offset) found.push([stored.offset, String(stored.value)])
        }
        offset = batches.lastOffset(bytes, at) + 1
      }
    }
    result.release()
  }
  return found
}

test('an appended batch is read back, in memory', async () => {
  const cell = await open(memory())
  const client = new LocalCellClient(cell)
  let stream = -1
  await cell.durable(cell.atomic(() => (stream = cell.define('stream'))))
  const result = await append(client, stream, batches.makeBatch([record('a'), record('b')]))
  assert.deepEqual(result, { baseOffset: 0, appendTimeMs: -1, startOffset: 0 })
  assert.deepEqual(await readAll(client, stream), [
    [0, 'a'],
    [1, 'b'],
  ])
  await cell.close()
})

test('a waiting fetch is answered by the append it waits for', async () => {
  const cell = await open(memory())
  const client = new LocalCellClient(cell)
  const stream = cell.define('stream')
  await cell.durable(cell.openSeq)
  const waiting = fetch(client, stream, 0, { minBytes: 1, maxWaitMs: 60_000 })
  await append(client, stream, batches.makeBatch([record('late')]))
  assert.equal((await waiting).streams[0]!.endOffset, 1)
  await cell.close()
})

test(`a file cell gives back everything after restarts, flushes and trims (SEED=${seed})`, async t => {
  const directory = temporary(t)
  const random = new Random(seed)
  const expected = new Map<number, string[]>()
  const starts = new Map<number, number>()
  for (let life = 0; life < 6; life++) {
    const stores = files(directory)
    const cell = await open(stores, small)
    const client = new LocalCellClient(cell)
    for (const [stream, values] of expected) {
      const all = values.map((value, offset) => [offset, value]).slice(starts.get(stream) ?? 0)
      assert.deepEqual(
        await readAll(client, stream, random.between(1, 20_000)),
        all,
        `stream ${stream} in life ${life}`,
      )
    }
    if (expected.size < 5) expected.set(cell.define('stream'), [])
    const waits: Promise<unknown>[] = []
    for (let count = 0; count < 300; count++) {
      const [stream, values] = random.pick([...expected])
      const fresh = Array.from({ length: random.between(1, 5) }, () => 'x'.repeat(random.below(2000)) + random.u32())
      values.push(...fresh)
      waits.push(append(client, stream, batches.makeBatch(fresh.map(text => record(text)))))
      if (random.chance(0.05)) await Promise.all(waits)
      if (random.chance(0.02)) {
        const start = random.below(client.bounds(stream)!.endOffset + 1)
        const now = await client.trim(stream, start)
        starts.set(stream, Math.max(starts.get(stream) ?? 0, start))
        assert.equal(now, starts.get(stream))
      }
    }
    await Promise.all(waits)
    if (random.chance(0.5)) await cell.close()
    else {
      await cell.journal.close()
      await cell.checkpointer.abandon()
    }
    await stores.chain.close()
    await stores.blobs.close()
  }
})

test('journal files are reused and segments that nothing needs are removed', async t => {
  const directory = temporary(t)
  const stores = files(directory, 128 * 1024)
  const cell = await open(stores, small)
  const client = new LocalCellClient(cell)
  const stream = cell.define('stream')
  for (let round = 0; round < 60; round++) {
    await append(client, stream, batches.makeBatch([record('x'.repeat(20_000))]))
    if (round % 10 === 9) await client.trim(stream, client.bounds(stream)!.endOffset)
  }
  for (let count = 0; count < 4; count++) {
    await append(client, stream, batches.makeBatch([record('y')]))
    await cell.checkpointer.flush()
  }
  const names = fs.readdirSync(path.join(directory, 'cell/0/b'))
  assert(names.length < 8, names.join())
  assert(fs.readdirSync(path.join(directory, 'cell/0/s')).length <= 6)
  assert.equal(fs.readdirSync(path.join(directory, 'cell/0/c')).length, 2)
  assert.deepEqual((await readAll(client, stream)).length, 4)
  await cell.close()
  await stores.chain.close()
  await stores.blobs.close()
})

test('retention by size drops the oldest extents', async () => {
  const cell = await open(memory(), { ...small, retentionCheckMs: 10 }, { ms: -1, bytes: 100_000 })
  const client = new LocalCellClient(cell)
  const stream = cell.define('stream')
  for (let round = 0; round < 40; round++) {
    await append(client, stream, batches.makeBatch([record('x'.repeat(10_000))]))
    if (round % 5 === 4) await cell.checkpointer.flush()
  }
  while (client.sizeBytes(stream) > 160_000) await new Promise<void>(resolve => runtime.clock.after(5, resolve))
  assert(client.bounds(stream)!.startOffset > 20)
  await cell.close()
})

test('a producer that repeats a batch gets the first answer again, one that skips is refused', async () => {
  const cell = await open(memory())
  const client = new LocalCellClient(cell)
  const stream = cell.define('stream')
  const batch = (baseSequence: number, producerEpoch = 0) =>
    batches.makeBatch([record('a'), record('b')], { producerId: 7, producerEpoch, baseSequence })
  assert.equal((await append(client, stream, batch(0))).baseOffset, 0)
  assert.equal((await append(client, stream, batch(2))).baseOffset, 2)
  assert.equal((await append(client, stream, batch(0))).baseOffset, 0)
  assert.equal((await append(client, stream, batch(8))).error, 'sequence-out-of-order')
  assert.equal((await append(client, stream, batch(0, 1))).baseOffset, 4)
  assert.equal((await append(client, stream, batch(4))).error, 'producer-fenced')
  await cell.close()
})

test('records are found by time, flushed or not', async () => {
  const cell = await open(memory(), small)
  const client = new LocalCellClient(cell)
  const stream = cell.define('stream')
  for (let index = 0; index < 20; index++) {
    await append(client, stream, batches.makeBatch([record('a', index * 10), record('b', index * 10 + 5)]))
    if (index === 10) await cell.checkpointer.flush()
  }
  for (const at of [0, 1, 5, 77, 105, 110, 195]) {
    assert.deepEqual((await client.offsetAtTime(stream, at))?.offset, Math.ceil(at / 5), `at ${at}`)
  }
  assert.equal(await client.offsetAtTime(stream, 196), undefined)
  assert.deepEqual(await client.offsetOfMaxTimestamp(stream), { offset: 39, timestampMs: 195, epoch: 1 })
  await cell.close()
})
