import assert from 'node:assert/strict'
import test from 'node:test'
import type { Runtime } from '../runtime/runtime.ts'
import { Simulator } from '../runtime/simulated/simulator.ts'
import type { SimProcess } from '../runtime/simulated/process.ts'
import { FileBlobStore, FileChainStore } from '../storage/file-store.ts'
import * as batches from '../storage/record-batch.ts'
import type { AppendResult } from './client.ts'
import { closeStores, openCell, readAll, record } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const KiB = 1024
/** Two flushes, two journal files and a megabyte of a rewrite may be under way when room runs out. */
const reserveBytes = 1536 * KiB
const capacityBytes = 6 * 1024 * KiB

interface World {
  simulator: Simulator
  process: SimProcess
  runtime: Runtime
  /** Texts of all records that were acknowledged, by offset. */
  acked: Map<number, string>
}

function inWorld(name: string, task: (world: World) => Promise<void>): void {
  void test(`${name} (SEED=${seed})`, async () => {
    const simulator = new Simulator(seed, { traceLines: 0 })
    const process = simulator.process('broker')
    process.disk.capacityBytes = capacityBytes
    let isDone = false
    const ended = task({ simulator, process, runtime: process.start(), acked: new Map() }).finally(
      () => (isDone = true),
    )
    ended.catch(() => {})
    await simulator.run(3_600_000, () => isDone)
    assert(isDone, 'it hangs')
    await ended
  })
}

async function start({ runtime: { disk, clock, random } }: World): Promise<TestCell & { close(): Promise<void> }> {
  const options = { disk, clock, fileBytes: 64 * KiB, dsync: true, reserveBytes }
  const stores = { chain: new FileChainStore('data', options), blobs: new FileBlobStore('data', disk) }
  const test = await openCell(stores, { clock, random, sizes: { flushBytes: 64 * KiB } })
  const close = async (): Promise<void> => {
    await test.cell.close()
    await closeStores(stores)
  }
  return { ...test, close }
}

let written = 0

function append({ client }: TestCell, stream: number, world: World, bytes = 4 * KiB): Promise<AppendResult> {
  const text = `${written++} `.padEnd(bytes, 'x')
  return new Promise(resolve =>
    client.append(stream, batches.makeBatch([record(text)]), result => {
      if (!result.error) world.acked.set(result.baseOffset, text)
      resolve(result)
    }),
  )
}

/** Appends, one after the other, until one is refused. */
async function fill(test: TestCell, stream: number, world: World): Promise<void> {
  for (let count = 0; count < 5000; count++) {
    const { error } = await append(test, stream, world)
    if (!error) continue
    assert.equal(error, 'storage-full')
    return
  }
  assert.fail('the disk did not become full')
}

async function assertAcked({ client }: TestCell, stream: number, { acked }: World): Promise<void> {
  const { startOffset } = client.bounds(stream)!
  const expected = [...acked].filter(([offset]) => offset >= startOffset)
  assert.deepEqual(await readAll(client, stream, 100_000), expected)
}

const roomIn = ({ process }: World) => capacityBytes - process.disk.usedBytes

inWorld(
  'a full disk refuses appends before the reserve is gone, serves reads, and takes appends again after a trim',
  async world => {
    const test = await start(world)
    const stream = test.cell.define('stream')
    for (let round = 0; round < 3; round++) {
      await fill(test, stream, world)
      assert(roomIn(world) > 0, 'something of the reserve is left')
      await world.simulator.sleep(3000)
      await fill(test, stream, world) // A flush may have given a little back.
      await assertAcked(test, stream, world)
      const { startOffset, endOffset } = test.client.bounds(stream)!
      assert.equal(
        (await test.client.trim(stream, startOffset + Math.ceil((endOffset - startOffset) * 0.9))) > startOffset,
        true,
      )
      await world.simulator.sleep(10_000)
      // The disk may be found full only after the trim: then the first refusal brings its flush forward.
      const { error } = await append(test, stream, world)
      if (error === 'storage-full') await world.simulator.sleep(5_000)
      assert.equal((await append(test, stream, world)).error, undefined)
    }
    assert.deepEqual(test.fatal, [])
    await test.close()
  },
)

inWorld('dropping a stream frees a full disk', async world => {
  const test = await start(world)
  const [large, small] = [test.cell.define('stream'), test.cell.define('stream')]
  await fill(test, large, world)
  test.cell.drop(large)
  await world.simulator.sleep(10_000)
  world.acked.clear()
  assert.equal((await append(test, small, world)).error, undefined)
  await assertAcked(test, small, world)
  await test.close()
})

inWorld(
  'a disk that others fill to the last byte: nothing acknowledged is lost over kills, and room resumes it',
  async world => {
    const { simulator, process } = world
    let test = await start(world)
    const stream = test.cell.define('stream')
    for (let count = 0; count < 50; count++) await append(test, stream, world)
    for (let life = 0; life < 4; life++) {
      process.disk.capacityBytes = process.disk.usedBytes
      const waiting = Array.from({ length: 200 }, () => append(test, stream, world, 2 * KiB))
      await simulator.sleep(30_000)
      const refused = await append(test, stream, world)
      assert.equal(refused.error, 'storage-full')
      await assertAcked(test, stream, world)
      process.disk.capacityBytes = capacityBytes + life * 1024 * KiB
      if (life % 2 === 0) {
        await Promise.all(waiting)
        await simulator.sleep(5000)
        assert.equal((await append(test, stream, world)).error, undefined)
      }
      await simulator.sleep(2000)
      process.crash({ power: simulator.random.chance(0.5) })
      world.runtime = process.start()
      test = await start(world)
      await assertAcked(test, stream, world)
    }
    await test.close()
  },
)

inWorld('closing with the disk full to the last byte ends', async world => {
  let test = await start(world)
  const stream = test.cell.define('stream')
  await append(test, stream, world)
  world.process.disk.capacityBytes = world.process.disk.usedBytes
  void Promise.all(Array.from({ length: 300 }, () => append(test, stream, world)))
  await world.simulator.sleep(2000)
  await test.close()
  world.process.disk.capacityBytes = capacityBytes
  test = await start(world)
  const found = await readAll(test.client, stream, 100_000)
  for (const [offset, text] of world.acked) assert.deepEqual(found[offset], [offset, text])
  await test.close()
})
