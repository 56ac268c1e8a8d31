import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import { combineCrc32c, crc32c } from '../storage/crc32c.ts'
import type { CellSizes } from './options.ts'
import { abandon, closeStores, fileStores, openCell, publish, readAll, temporary } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'
import { extent, tail } from './stream.ts'
import { verifyDirectory } from './verify.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Large means 2,000 bytes here, and nothing stays in memory unless a test says so. */
const sizes: Partial<CellSizes> = {
  slabBytes: 64 * 1024,
  flushBytes: 1e9,
  largeBatchBytes: 2000,
  largeFlushBytes: 1e9,
  largeRecentBytes: 0,
}

const damage = async (directory: string): Promise<string[]> => {
  const { findings } = await verifyDirectory(realRuntime().disk, directory, {})
  return findings.filter(({ level }) => level === 'damage').map(({ where, what }) => `${where}: ${what}`)
}

const segments = (directory: string): string[] =>
  fs.readdirSync(path.join(directory, 'cell/0/s')).map(name => path.join(directory, 'cell/0/s', name))

/** Small and large messages in turn to two streams; what was written to each. */
async function fill({ cell, client }: TestCell, streams: number[], count: number): Promise<Map<number, string[]>> {
  const random = new Random(seed)
  const written = new Map<number, string[]>(streams.map(stream => [stream, []]))
  for (let index = 0; index < count; index++) {
    const stream = random.pick(streams)
    const text = `${index}:${'x'.repeat(random.pick([10, 500, 3000, 9000]))}`
    written.get(stream)!.push(text)
    await publish(client, stream, text)
  }
  await cell.durable(cell.journal.lastSeq)
  return written
}

async function check({ client }: TestCell, written: Map<number, string[]>): Promise<void> {
  for (const [stream, texts] of written) {
    assert.deepEqual(
      (await readAll(client, stream)).map(([, text]) => text),
      texts,
    )
  }
}

for (const recent of [0, 1e9]) {
  test(`large batches are read back before and after the flush, ${recent > 0 ? 'from memory' : 'from the segment'} (SEED=${seed})`, async t => {
    const directory = temporary(t)
    const stores = fileStores(directory)
    const opened = await openCell(stores, { sizes: { ...sizes, largeRecentBytes: recent } })
    const streams = [opened.cell.define('stream'), opened.cell.define('stream')]
    const written = await fill(opened, streams, 60)
    const { tail: rows, tailSlabs } = opened.cell.state.streams.get(streams[0]!)!
    const inMemory = (row: number): boolean => tailSlabs[row] !== undefined
    const isLarge = (row: number): boolean => rows.get(row, tail.segment) >= 0
    const placed = Array.from({ length: rows.count }, (_, row) => row).filter(isLarge)
    assert(placed.length > 5 && placed.length < rows.count)
    assert.equal(placed.every(inMemory), recent > 0)
    await check(opened, written)
    await opened.cell.checkpointer.flush()
    await check(opened, written)
    for (const stream of streams) {
      const { extents } = opened.cell.state.streams.get(stream)!
      assert.equal(extents.count, 1, 'all of a flush is one stretch')
      assert.equal(extents.get(0, extent.segment), 0, 'in the segment that the large batches were put into')
    }
    await opened.cell.close()
    await closeStores(stores)
    assert.equal(segments(directory).length, 1)
    assert.deepEqual(await damage(directory), [])
  })
}

test(`large batches survive a process that is killed before the flush, and another one (SEED=${seed})`, async t => {
  const directory = temporary(t)
  let written = new Map<number, string[]>()
  for (let life = 0; life < 4; life++) {
    const stores = fileStores(directory)
    const opened = await openCell(stores, { sizes })
    await check(opened, written)
    if (life === 0) written = await fill(opened, [opened.cell.define('stream'), opened.cell.define('stream')], 40)
    if (life === 2) {
      await opened.cell.checkpointer.flush()
      assert.deepEqual(await damage(directory), [])
      await check(opened, written)
    }
    await abandon(opened)
    await closeStores(stores)
    assert.deepEqual(await damage(directory), [])
  }
  // What was copied out of the segment that nobody finished goes when no checkpoint is followed by blocks that tell of it.
  const stores = fileStores(directory)
  const opened = await openCell(stores, { sizes })
  for (let round = 0; round < 3; round++) {
    await publish(opened.client, [...written.keys()][0]!, 'more')
    await opened.cell.checkpointer.flush()
  }
  const names = [...opened.cell.checkpointer.placement.segments.values()].map(({ name }) => path.join(directory, name))
  assert.deepEqual(segments(directory).sort(), names.sort())
  await opened.cell.close()
  await closeStores(stores)
})

test('a flush that finds no room leaves the large batches where the journal says, and the next one takes them along', async t => {
  const directory = temporary(t)
  const stores = fileStores(directory)
  const opened = await openCell(stores, { sizes })
  const written = await fill(opened, [opened.cell.define('stream')], 20)
  const { blobs } = stores
  const { putIfAbsent } = blobs
  blobs.putIfAbsent = async () => 'exists'
  blobs.read = (
    read => async (name: string, position: number, target: Buffer) =>
      name.includes('/c/') ? 0 : read.call(blobs, name, position, target)
  )(blobs.read)
  const flushing = opened.cell.checkpointer.flush()
  await new Promise<void>(resolve => setTimeout(resolve, 50))
  blobs.putIfAbsent = putIfAbsent
  await flushing
  await opened.cell.checkpointer.flush()
  await check(opened, written)
  await abandon(opened)
  await closeStores(stores)
  assert.deepEqual(await damage(directory), [])
  const again = fileStores(directory)
  const reopened = await openCell(again, { sizes })
  await check(reopened, written)
  await reopened.cell.close()
  await closeStores(again)
})

test('a large batch that was altered refuses the start, and verify says where', async t => {
  const directory = temporary(t)
  const stores = fileStores(directory)
  const opened = await openCell(stores, { sizes })
  await fill(opened, [opened.cell.define('stream')], 10)
  await abandon(opened)
  await closeStores(stores)
  const [segment] = segments(directory)
  const bytes = fs.readFileSync(segment!)
  bytes[bytes.length - 100]! ^= 1
  fs.writeFileSync(segment!, bytes)
  const again = fileStores(directory)
  await assert.rejects(openCell(again, { sizes }), /cell\/0\/s\/1-0 is missing or damaged between bytes/)
  await closeStores(again)
  const [found] = await damage(directory)
  assert.match(found ?? '', /1-0: Bytes \d+ to \d+ \(stream 1024 from offset \d+\) are not what block \d+ tells of/)
})

test(`checksums of two stretches give that of both (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const bytes = random.bytes(random.pick([1, 2, 60, 70_000]) + random.below(50))
    const at = random.below(bytes.length + 1)
    const combined = combineCrc32c(crc32c(bytes, 0, at), crc32c(bytes, at), bytes.length - at)
    assert.equal(combined, crc32c(bytes))
  }
})
