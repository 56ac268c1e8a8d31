import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { DiskError } from '../runtime/runtime.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import * as batches from '../storage/record-batch.ts'
import { Slab } from '../storage/slab.ts'
import {
  append,
  fetch,
  fetchOne,
  memoryStores,
  openCell,
  publish,
  readAll,
  record,
  recordsIn,
  turns,
} from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Blobs whose reads a test holds back or breaks. */
class SlowBlobs extends MemoryBlobStore {
  held: (() => void)[] | undefined
  failure: Error | undefined
  /** What all bytes read are. */
  garbage: number | undefined
  override async read(name: string, position: number, target: Buffer): Promise<number | null> {
    if (this.held) await new Promise<void>(resolve => this.held!.push(resolve))
    if (this.failure) throw this.failure
    const count = await super.read(name, position, target)
    if (this.garbage !== undefined) target.fill(this.garbage)
    return count
  }
  letGo(): void {
    const held = this.held ?? []
    this.held = undefined
    for (const run of held) run()
  }
}

test('limits: nothing for 0 bytes but to the first stream, one whole batch whatever its size, an offset inside a batch', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  const other = cell.define('stream')
  for (const texts of [['a', 'b', 'c'], ['d'.repeat(5000)], ['e']]) {
    await append(client, stream, batches.makeBatch(texts.map(text => record(text))))
  }
  await publish(client, other, 'z')
  for (const where of ['tail', 'segment']) {
    if (where === 'segment') await cell.checkpointer.flush()
    const inside = await fetchOne(client, stream, 1, 1)
    assert.deepEqual(
      recordsIn(inside.batches),
      [
        [0, 'a'],
        [1, 'b'],
        [2, 'c'],
      ],
      where,
    )
    assert.equal((await fetchOne(client, stream, 3, 1)).bytes, (await fetchOne(client, stream, 3, 5100)).bytes)
    const streams = [stream, other].map(stream => ({ stream, offset: 0, maxBytes: 0 }))
    const none = await fetch(client, { streams, maxBytes: 0 })
    assert.deepEqual(
      none.streams.map(({ bytes }) => bytes > 0),
      [true, false],
    )
    assert.deepEqual((await fetchOne(client, stream, 5)).batches, [])
    assert.equal((await fetchOne(client, stream, 6)).error, 'offset-out-of-range')
    await client.trim(other, 1)
    assert.equal((await fetchOne(client, other, 0)).error, 'offset-out-of-range')
    assert.equal((await fetchOne(client, other, 1)).error, undefined)
  }
  await cell.close()
})

test('a start in the middle of a batch is read with the whole batch', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  await append(client, stream, batches.makeBatch(['a', 'b', 'c'].map(text => record(text))))
  await cell.checkpointer.flush()
  assert.equal(await client.trim(stream, 2), 2)
  assert.deepEqual(await readAll(client, stream), [[2, 'c']])
  await cell.close()
})

test('one read goes on through many stretches and into the tail', async () => {
  const { cell, client } = await openCell(memoryStores())
  const stream = cell.define('stream')
  for (let round = 0; round < 7; round++) {
    await publish(client, stream, `round ${round}`)
    if (round < 5) await cell.checkpointer.flush()
  }
  const read = await fetchOne(client, stream, 0)
  assert.equal(recordsIn(read.batches).length, 7)
  const limited = await fetchOne(client, stream, 0, read.bytes - 1)
  assert.equal(recordsIn(limited.batches).length, 6)
  const enough = await fetch(client, {
    streams: [{ stream, offset: 0, maxBytes: 1e6 }],
    minBytes: read.bytes,
    maxWaitMs: 60_000,
  })
  assert.equal(enough.streams[0]!.bytes, read.bytes)
  await cell.close()
})

test('a stretch that is trimmed, or a stream that is dropped, under a read is not damage', async () => {
  const blobs = new SlowBlobs()
  const { cell, client, log } = await openCell({ chain: new MemoryChainStore(), blobs })
  const [trimmed, dropped] = [cell.define('stream'), cell.define('stream')]
  for (const stream of [trimmed, dropped]) await publish(client, stream, 'x'.repeat(1000))
  await cell.checkpointer.flush()
  blobs.held = []
  const reads = [fetchOne(client, trimmed, 0), fetchOne(client, dropped, 0)]
  await client.trim(trimmed, 1)
  cell.drop(dropped)
  for (let round = 0; round < 3; round++) {
    cell.fact(0, 3, new Uint8Array(0))
    await cell.checkpointer.flush()
  }
  assert.deepEqual(await blobs.list('cell/0/s/'), [])
  blobs.letGo()
  assert.deepEqual(
    (await Promise.all(reads)).map(({ error }) => error),
    ['offset-out-of-range', 'stream-not-found'],
  )
  assert.deepEqual(log, [])
  await cell.close()
})

test('a medium that cannot be read refuses the range and nothing else', async () => {
  const blobs = new SlowBlobs()
  const { cell, client, log, fatal } = await openCell({ chain: new MemoryChainStore(), blobs })
  const stream = cell.define('stream')
  await publish(client, stream, 'flushed')
  await cell.checkpointer.flush()
  await publish(client, stream, 'in the tail')
  blobs.failure = new DiskError('io', 'bad sector')
  assert.equal((await fetchOne(client, stream, 0)).error, 'storage-corrupt')
  assert.match(log.join(), /cell\/0\/s\/1-0 cannot be read: bad sector/)
  assert.deepEqual(recordsIn((await fetchOne(client, stream, 1)).batches), [[1, 'in the tail']])
  assert.deepEqual(fatal, [])
  blobs.failure = undefined
  assert.equal((await fetchOne(client, stream, 0)).error, undefined)
  await cell.close()
})

test('a damaged table of chunks is told of, is not believed, and is read again', async () => {
  const blobs = new SlowBlobs()
  const { cell, client } = await openCell({ chain: new MemoryChainStore(), blobs })
  const stream = cell.define('stream')
  await publish(client, stream, 'a')
  await publish(client, stream, 'b')
  await cell.checkpointer.flush()
  for (const byte of [0x55, 0xff, 0]) {
    blobs.garbage = byte
    assert.equal((await fetchOne(client, stream, 0)).error, 'storage-corrupt')
  }
  blobs.garbage = undefined
  assert.deepEqual((await readAll(client, stream)).length, 2)
  await cell.close()
})

test(`no slab is reused while a tail or an answer refers to it (SEED=${seed})`, async t => {
  // Every slab that nobody holds is overwritten at once: whoever still reads it finds that out.
  const holders = new WeakMap<Slab, number>()
  const { hold, release } = Slab.prototype
  t.after(() => Object.assign(Slab.prototype, { hold, release }))
  Slab.prototype.hold = function (): void {
    holders.set(this, (holders.get(this) ?? 0) + 1)
    hold.call(this)
  }
  Slab.prototype.release = function (): void {
    holders.set(this, holders.get(this)! - 1)
    if (holders.get(this) === 0) this.bytes.fill(0xdd)
    release.call(this)
  }
  const random = new Random(seed)
  const { cell, client, fatal } = await openCell(memoryStores(), {
    sizes: { slabBytes: 16 * 1024, flushBytes: 48 * 1024 },
  })
  const streams = Array.from({ length: 4 }, () => cell.define('stream'))
  const texts = new Map<number, string[]>(streams.map(stream => [stream, []]))
  const answers: { stream: number; offset: number; result: Awaited<ReturnType<typeof fetch>> }[] = []
  const pending: Promise<unknown>[] = []
  for (let step = 0; step < 1500; step++) {
    const stream = random.pick(streams)
    const known = texts.get(stream)!
    const kind = random.below(10)
    if (kind < 5) {
      const text = String(step).repeat(random.chance(0.05) ? 8000 : random.below(300))
      pending.push(
        append(client, stream, batches.makeBatch([record(text)])).then(({ baseOffset }) => (known[baseOffset] = text)),
      )
    } else if (kind < 8) {
      const { startOffset, endOffset } = client.bounds(stream)!
      const offset = random.between(startOffset, endOffset)
      const request = { streams: [{ stream, offset, maxBytes: random.below(60_000) }], maxBytes: 60_000 }
      pending.push(fetch(client, request).then(result => answers.push({ stream, offset, result })))
    } else if (kind < 9) await turns(random.below(4))
    else
      for (const { stream, offset, result } of answers.splice(0, random.below(answers.length + 1))) {
        for (const [at, text] of recordsIn(result.streams[0]!.batches, offset))
          assert.equal(text, texts.get(stream)![at])
        result.release()
      }
    if (random.chance(0.01)) void client.trim(stream, random.between(0, client.bounds(stream)!.endOffset))
  }
  await Promise.all(pending)
  for (const stream of streams)
    for (const [at, text] of await readAll(client, stream)) assert.equal(text, texts.get(stream)![at])
  assert.deepEqual(fatal, [])
  await cell.close()
})
