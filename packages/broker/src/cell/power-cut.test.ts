import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Runtime } from '../runtime/runtime.ts'
import { Simulator } from '../runtime/simulated/simulator.ts'
import { FileBlobStore, FileChainStore } from '../storage/file-store.ts'
import { openCell, publish, readAll } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const seeds = 4
const lives = 8

/** Blocks that count when the operating system has them, in files small enough that many are in use. */
function open({ disk, clock, random }: Runtime, warned: string[]): Promise<TestCell> {
  const warn = (message: string): void => void warned.push(message)
  const options = { disk, clock, fileBytes: 64 * 1024, dsync: false, reserveBytes: 0, warn }
  const chain = new FileChainStore('data', options)
  const large = { largeBatchBytes: 3000, largeRecentBytes: 10_000, largeFlushBytes: 300_000 }
  const sizes = { flushBytes: 200 * 1024, flushIntervalMs: 200, ...large }
  const blobs = new FileBlobStore('data', disk, false)
  return openCell({ chain, blobs }, { clock, random: new Random(random.u32()), sizes })
}

/** Appends until `stop`; returns nothing that matters once the power is gone. */
async function write({ client }: TestCell, stream: number, written: string[], random: Random): Promise<void> {
  for (;;) {
    const text = `${written.length}:${'x'.repeat(random.below(6000))}`
    written.push(text)
    await publish(client, stream, text)
  }
}

test(`without syncs a power cut takes only the end, and the broker starts again (SEED=${seed})`, async () => {
  let cuts = 0
  for (let index = 0; index < seeds; index++) {
    const simulator = new Simulator(seed + index)
    const random = new Random(seed + index)
    const machine = simulator.process('broker')
    const written: string[] = []
    let stream = -1
    const story = async (): Promise<void> => {
      for (let life = 0; life < lives; life++) {
        const warned: string[] = []
        const opened = await open(machine.start(), warned)
        cuts += warned.length
        if (!opened.cell.state.streams.has(stream)) {
          stream = opened.cell.define('stream')
          written.length = 0
          await opened.cell.durable(opened.cell.openSeq)
        }
        const found = (await readAll(opened.client, stream)).map(([, text]) => text)
        assert.deepEqual(found, written.slice(0, found.length), `life ${life} of seed ${seed + index}`)
        written.length = found.length
        void write(opened, stream, written, random).catch(() => {})
        await simulator.sleep(random.below(500))
        machine.crash({ power: random.chance(0.7) })
      }
    }
    let isOver = false
    let failure: Error | undefined
    void story().then(
      () => (isOver = true),
      (error: unknown) => {
        failure = error instanceof Error ? error : new Error(String(error))
        isOver = true
      },
    )
    await simulator.run(600_000, () => isOver)
    if (failure) throw failure
    assert(isOver, `seed ${seed + index} came to no end`)
  }
  assert(cuts > 0, 'no power cut left a gap: the test tries nothing')
})
