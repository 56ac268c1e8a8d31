import assert from 'node:assert/strict'
import test from 'node:test'
import { openCell, publish, readAll } from './cell/testing/cells.ts'
import type { TestCell } from './cell/testing/cells.ts'
import { openDirectory } from './data-directory.ts'
import type { Runtime } from './runtime/runtime.ts'
import { Simulator } from './runtime/simulated/simulator.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const path = 'var/data'

async function open({ disk, clock, random }: Runtime): Promise<TestCell> {
  const stores = await openDirectory({ path, disk, clock, dsync: true, reserveBytes: 0, journalFileBytes: 64 * 1024 })
  return openCell(stores, { clock, random })
}

/**
 * A first start is killed at its operation `at`; a second one acknowledges a record, and the power goes; a third one must have it. False: the
 * first start has not come so far.
 */
async function survives(simulator: Simulator, at: number): Promise<boolean> {
  const machine = simulator.process('broker')
  let left = at
  const killed = Promise.withResolvers<boolean>()
  machine.disk.applied = () => {
    if (--left !== 0) return
    machine.crash({ power: false })
    killed.resolve(true)
  }
  void open(machine.start()).then(async ({ cell }) => {
    cell.define('stream')
    await cell.checkpointer.flush()
    killed.resolve(false)
  })
  const isKilled = await killed.promise
  left = Infinity
  machine.crash({ power: false })
  const second = await open(machine.start())
  const stream = second.cell.define('stream')
  await publish(second.client, stream, 'acknowledged')
  machine.crash({ power: true })
  const third = await open(machine.start())
  assert(third.cell.state.streams.has(stream), `all is gone after a kill at operation ${at}`)
  assert.deepEqual(await readAll(third.client, stream), [[0, 'acknowledged']])
  await third.cell.close()
  return isKilled
}

test(`a power cut takes nothing, wherever a start before was killed (SEED=${seed})`, async () => {
  for (let at = 1, goesOn = true; goesOn; at++) {
    for (let world = 0; world < 3 && goesOn; world++) {
      const simulator = new Simulator(seed + at * 100 + world, { traceLines: 0 })
      const ended = survives(simulator, at)
      let isOver = false
      ended.then(
        () => (isOver = true),
        () => (isOver = true),
      )
      await simulator.run(600_000, () => isOver)
      goesOn = await ended
    }
  }
})
