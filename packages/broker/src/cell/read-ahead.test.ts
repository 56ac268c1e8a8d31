import assert from 'node:assert/strict'
import test from 'node:test'
import { DiskError } from '../runtime/runtime.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import * as batches from '../storage/record-batch.ts'
import { append, fetch, ManualClock, openCell, record, recordsIn, turns } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'

/** A batch of one record of this size is a chunk of its own, and as much as one read takes. */
const valueBytes = 64 * 1024
const readBytes = valueBytes + 100
const keptMs = 2_000

/** Blobs that note which reads of data, as large as those of this test, were made; and fail when told to. */
class NotedBlobs extends MemoryBlobStore {
  reads: number[] = []
  /** Reads behind so many fail. */
  failsAfter = Infinity
  override async read(name: string, position: number, target: Buffer): Promise<number | null> {
    if (target.length < readBytes / 2) return super.read(name, position, target)
    this.reads.push(position)
    if (this.reads.length > this.failsAfter) throw new DiskError('io', 'bad sector')
    return super.read(name, position, target)
  }
}

/** A stream of `count` batches of one record, each as large as a read, all of them flushed. */
async function backlog(count: number): Promise<TestCell & { blobs: NotedBlobs; stream: number; clock: ManualClock }> {
  const blobs = new NotedBlobs()
  const clock = new ManualClock()
  const opened = await openCell(
    { chain: new MemoryChainStore(), blobs },
    { clock, sizes: { flushBytes: 256 * 1024 * 1024 } },
  )
  const stream = opened.cell.define('stream')
  for (let index = 0; index < count; index++) {
    const text = String(index).padEnd(valueBytes, 'x')
    await append(opened.client, stream, batches.makeBatch([record(text)]))
  }
  await opened.cell.checkpointer.flush()
  return { ...opened, blobs, stream, clock }
}

async function readOne({ client, stream }: { client: TestCell['client']; stream: number }, offset: number) {
  const result = await fetch(client, { streams: [{ stream, offset, maxBytes: readBytes }], maxBytes: readBytes })
  const [read] = result.streams
  const records = recordsIn(read!.batches, offset).map(([at, text]) => [at, Number.parseInt(text, 10)])
  result.release()
  await turns()
  return { error: read!.error, records }
}

test('who reads in order finds the next batches read', async () => {
  const opened = await backlog(6)
  const { blobs, cell } = opened
  await readOne(opened, 0)
  assert.equal(blobs.reads.length, 1, 'one read says nothing about the next')
  await readOne(opened, 1)
  assert.equal(blobs.reads.length, 3, 'a second one in order does')
  for (let offset = 2; offset < 6; offset++)
    assert.deepEqual(await readOne(opened, offset), { error: undefined, records: [[offset, offset]] })
  assert.equal(new Set(blobs.reads).size, blobs.reads.length, 'nothing was read twice')
  assert.equal(blobs.reads.length, 6)
  await cell.close()
})

test('what nobody asks for is given back after a while, and read again when somebody does', async () => {
  const opened = await backlog(4)
  const { blobs, cell, clock } = opened
  await readOne(opened, 0)
  await readOne(opened, 1)
  await clock.advance(keptMs * 2)
  const before = blobs.reads.length
  assert.deepEqual((await readOne(opened, 2)).records, [[2, 2]])
  assert.ok(blobs.reads.slice(before).length >= 1)
  await cell.close()
})

test('what was trimmed or dropped meanwhile is not handed out', async () => {
  for (const end of ['trim', 'drop'] as const) {
    const opened = await backlog(4)
    const { cell, client, stream } = opened
    await readOne(opened, 0)
    await readOne(opened, 1)
    if (end === 'trim') await client.trim(stream, 3)
    else cell.drop(stream)
    const expected = end === 'trim' ? 'offset-out-of-range' : 'stream-not-found'
    assert.deepEqual(await readOne(opened, 2), { error: expected, records: [] })
    await cell.close()
  }
})

test('a read ahead that fails is not told of; the read that somebody waits for is', async () => {
  const opened = await backlog(4)
  const { blobs, cell, log } = opened
  await readOne(opened, 0)
  blobs.failsAfter = 2
  assert.deepEqual(await readOne(opened, 1), { error: undefined, records: [[1, 1]] })
  assert.equal(blobs.reads.length, 3)
  assert.deepEqual(log, [])
  assert.equal((await readOne(opened, 2)).error, 'storage-corrupt')
  assert.match(log.join(), /bad sector/)
  blobs.failsAfter = Infinity
  assert.deepEqual((await readOne(opened, 2)).records, [[2, 2]])
  await cell.close()
})

test('many readers at a time keep no more than what is allowed', async () => {
  const count = (16 * 1024 * 1024) / readBytes + 40
  const opened = await backlog(4)
  const { blobs, cell, client } = opened
  const streams = [opened.stream]
  for (let index = 1; index < count; index++) {
    const stream = cell.define('stream')
    for (let at = 0; at < 4; at++)
      await append(client, stream, batches.makeBatch([record(String(at).padEnd(valueBytes, 'x'))]))
    streams.push(stream)
  }
  await cell.checkpointer.flush()
  for (const stream of streams) for (const offset of [0, 1]) await readOne({ client, stream }, offset)
  const before = blobs.reads.length
  for (const stream of streams.toReversed()) assert.deepEqual((await readOne({ client, stream }, 2)).records, [[2, 2]])
  const again = blobs.reads.length - before - count // Each has begun the one behind it.
  assert.ok(again >= 1 && again < count, `${again} of ${count} were not kept`)
  await cell.close()
})
