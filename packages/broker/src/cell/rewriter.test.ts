import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { BlobStore } from '../storage/blob-store.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import {
  abandon,
  closeStores,
  fetchOne,
  fileStores,
  ManualClock,
  memoryStores,
  openCell,
  publish,
  readAll,
  temporary,
} from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const segmentNames = async (blobs: BlobStore) => (await blobs.list('cell/0/s/')).map(({ name }) => name)
const extentCount = ({ cell }: TestCell, stream: number) => cell.state.streams.get(stream)!.extents.count

/** Blobs whose bytes a test changes. */
class RottingBlobs extends MemoryBlobStore {
  rotten = new Map<string, number>()
  override async read(name: string, position: number, target: Buffer): Promise<number | null> {
    const count = await super.read(name, position, target)
    const at = this.rotten.get(name)
    if (at !== undefined && at >= position && at < position + target.length) target[at - position]! ^= 1
    return count
  }
}

test('many small stretches become few, in the same order and with the same bytes', async () => {
  const stores = memoryStores()
  const test = await openCell(stores, { clock: new ManualClock() })
  const streams = Array.from({ length: 5 }, () => test.cell.define('stream'))
  const expected = new Map<number, [number, string][]>(streams.map(stream => [stream, []]))
  for (let round = 0; round < 70; round++) {
    for (const stream of streams) {
      const text = `round ${round} of ${stream}`
      expected.get(stream)!.push([await publish(test.client, stream, text), text])
    }
    await test.cell.checkpointer.settle()
  }
  for (const stream of streams) {
    assert(extentCount(test, stream) <= 16, String(extentCount(test, stream)))
    assert.deepEqual(await readAll(test.client, stream), expected.get(stream))
  }
  await test.cell.close()
  const again = await openCell(stores)
  for (const stream of streams) assert.deepEqual(await readAll(again.client, stream, 1), expected.get(stream))
  await again.cell.close()
})

test('a segment that is mostly dead is moved out of, and goes', async () => {
  const stores = memoryStores()
  const test = await openCell(stores, { clock: new ManualClock() })
  const [keeper, mass] = [test.cell.define('stream'), test.cell.define('stream')]
  await publish(test.client, keeper, 'old and needed')
  for (let count = 0; count < 5; count++) await publish(test.client, mass, 'x'.repeat(10_000))
  await test.cell.checkpointer.settle()
  const before = await segmentNames(stores.blobs)
  await test.client.trim(mass, 5)
  for (let round = 0; round < 4; round++) await test.cell.checkpointer.settle()
  const after = await segmentNames(stores.blobs)
  assert(!after.includes(before[0]!), after.join())
  assert((await stores.blobs.list('cell/0/s/')).every(({ bytes }) => bytes < 1000))
  assert.deepEqual(await readAll(test.client, keeper), [[0, 'old and needed']])
  await test.cell.close()
})

test('what lies below the start is left behind by a move', async () => {
  const stores = memoryStores()
  const test = await openCell(stores, { clock: new ManualClock() })
  const stream = test.cell.define('stream')
  for (let round = 0; round < 8; round++) {
    for (let count = 0; count < 10; count++) await publish(test.client, stream, 'x'.repeat(1000))
    if (round === 5) await test.client.trim(stream, 6)
    await test.cell.checkpointer.flush()
  }
  const before = test.client.sizeBytes(stream)
  assert.equal(extentCount(test, stream), 8)
  const fresh = 'z'.repeat(1000)
  await publish(test.client, stream, fresh)
  await test.cell.checkpointer.settle()
  assert.equal(extentCount(test, stream), 2)
  assert.equal(test.client.sizeBytes(stream), before - (6 / 80) * before + before / 80)
  assert.equal((await readAll(test.client, stream)).length, 75)
  await test.cell.close()
})

test('a quiet broker comes to rest: nothing is rewritten for ever', async () => {
  const clock = new ManualClock()
  const stores = memoryStores()
  const { cell, client } = await openCell(stores, { clock })
  const stream = cell.define('stream')
  await publish(client, stream, 'tiny')
  await clock.advance(10 * 60_000)
  const names = [
    ...(await segmentNames(stores.blobs)),
    ...(await stores.blobs.list('cell/0/c/')).map(({ name }) => name),
  ]
  const { lastSeq } = cell.journal
  await clock.advance(60 * 60_000)
  assert.deepEqual(
    [...(await segmentNames(stores.blobs)), ...(await stores.blobs.list('cell/0/c/')).map(({ name }) => name)],
    names,
  )
  assert.equal(cell.journal.lastSeq, lastSeq)
  await cell.close()
})

test('a damaged segment is not copied, and does not hold up the flush', async () => {
  const blobs = new RottingBlobs()
  const test = await openCell({ chain: new MemoryChainStore(), blobs }, { clock: new ManualClock() })
  const stream = test.cell.define('stream')
  await publish(test.client, stream, 'damaged soon')
  await test.cell.checkpointer.settle()
  const name = (await segmentNames(blobs))[0]!
  blobs.rotten.set(name, 40)
  for (let round = 0; round < 30; round++) {
    await publish(test.client, stream, `round ${round}`)
    await test.cell.checkpointer.settle()
  }
  assert.deepEqual(test.fatal, [])
  assert.equal(
    test.log.filter(line => /cannot be rewritten: .*is damaged between bytes 32 and/.test(line)).length,
    1,
    test.log.join('\n'),
  )
  assert((await segmentNames(blobs)).includes(name))
  assert.equal((await fetchOne(test.client, stream, 0)).error, 'storage-corrupt')
  const rest = await fetchOne(test.client, stream, 1)
  assert.equal(rest.error, undefined)
  assert(extentCount(test, stream) < 20)
  await test.cell.close()
})

test(`moving, trimming, dropping and restarting at random lose nothing (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const directory = temporary(t)
  const expected = new Map<number, string[]>()
  for (let life = 0; life < 5; life++) {
    const stores = fileStores(directory)
    const test = await openCell(stores, { sizes: { flushBytes: 8 * 1024 } })
    const { cell, client } = test
    while (expected.size < 6) expected.set(cell.define('stream'), [])
    for (let step = 0; step < 150; step++) {
      const [stream, values] = random.pick([...expected])
      const kind = random.below(100)
      if (kind < 80) {
        const text = `${step} `.repeat(random.below(300))
        values[await publish(client, stream, text)] = text
      } else if (kind < 90) await client.trim(stream, random.below(client.bounds(stream)!.endOffset + 1))
      else if (kind < 91) {
        cell.drop(stream)
        expected.delete(stream)
        expected.set(cell.define('stream'), [])
      } else if (kind < 97) await cell.checkpointer.flush()
      else await cell.checkpointer.settle()
      if (step % 50 === 0) await check(test, expected)
    }
    await check(test, expected)
    if (random.chance(0.5)) await cell.close()
    else await abandon(test)
    assert.deepEqual(test.fatal, [])
    await closeStores(stores)
  }
})

async function check({ client }: TestCell, expected: Map<number, string[]>): Promise<void> {
  for (const [stream, values] of expected) {
    const { startOffset } = client.bounds(stream)!
    const all = values.map((value, offset): [number, string] => [offset, value]).slice(startOffset)
    assert.deepEqual(await readAll(client, stream), all)
  }
}
