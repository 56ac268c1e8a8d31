import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker, type RunningBroker } from './main.ts'
import { record } from './cell/testing/cells.ts'
import type { SimProcess } from './runtime/simulated/process.ts'
import { Simulator } from './runtime/simulated/simulator.ts'
import { makeBatch } from './storage/record-batch.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

interface World {
  simulator: Simulator
  machine: SimProcess
  /** Runs until the broker stops. */
  start(): Promise<RunningBroker>
  lines: string[]
}

/** A broker with a topic that keeps a day, a queue of messages that last an hour, and a session that lasts an hour. */
async function inWorld(run: (world: World) => Promise<void>): Promise<void> {
  const simulator = new Simulator(seed, { traceLines: 0 })
  const machine = simulator.process('broker')
  const lines: string[] = []
  const start = (): Promise<RunningBroker> =>
    startBroker(
      { data: 'data', flushIntervalMs: 1000 },
      { runtime: machine.start(), writeLog: line => lines.push(line) },
    )
  let isDone = false
  const ended = run({ simulator, machine, start, lines }).finally(() => (isDone = true))
  ended.catch(() => {})
  await simulator.run(100 * day, () => isDone)
  assert(isDone, 'it hangs')
  await ended
}

async function fill({ core }: RunningBroker): Promise<void> {
  const config = new Map([['retentionMs', String(day)]])
  const topic = await core.topics.create('/', 'log', { partitions: 1, config })
  await append(core, topic.partitions[0]!)
  await core.queues.declare('/', 'q')
  post(core)
  const session = { owner: 'me', queue: '', expiryMs: hour, will: undefined }
  core.sessions.leave(core.sessions.enter('/', 'client', session), { expiryMs: hour, isLost: true })
  await new Promise<void>(resolve => core.sessions.whenSettled(resolve))
}

const append = (core: RunningBroker['core'], stream: number): Promise<unknown> =>
  new Promise(resolve => core.cell.append(stream, makeBatch([record('x', core.ledger.clock.nowMs())]), resolve))

function post({ router, ledger }: RunningBroker['core']): void {
  const message = {
    key: Buffer.from('q'),
    value: Buffer.from('m'),
    headers: [],
    expiresMs: ledger.clock.nowMs() + hour,
  }
  assert.equal(router.post({ namespace: '/', exchange: '', key: 'q', message }).error, undefined)
}

/** Records that are kept, messages that wait, whether the session is there. */
function left({ core }: RunningBroker): [number, number, boolean] {
  const bounds = core.cell.bounds(core.topics.get('/', 'log')?.partitions[0] ?? -1)
  assert(bounds)
  const { readyCount } = core.queues.get('/', 'q') ?? {}
  return [bounds.endOffset - bounds.startOffset, readyCount ?? -1, core.sessions.get('/', 'client') !== undefined]
}

test(`a clock that is wrong for some minutes takes nothing away (SEED=${seed})`, () =>
  inWorld(async ({ simulator, machine, start, lines }) => {
    const broker = await start()
    await fill(broker)
    await simulator.sleep(5 * minute)
    for (const step of [2 * day, -3 * hour]) {
      machine.jumpClock(step)
      await simulator.sleep(8 * minute)
      assert.deepEqual(left(broker), [1, 1, true])
      machine.jumpClock(-step)
      await simulator.sleep(8 * minute)
    }
    assert.deepEqual(left(broker), [1, 1, true])
    // Nothing lasts longer, either.
    await simulator.sleep(30 * minute)
    assert.deepEqual(left(broker), [1, 0, false])
    await simulator.sleep(day)
    assert.deepEqual(left(broker), [0, 0, false])
    assert.equal(lines.filter(line => line.includes("machine's clock was set")).length, 4)
    await broker.close()
  }))

test(`a clock that stays ahead is followed (SEED=${seed})`, () =>
  inWorld(async ({ simulator, machine, start }) => {
    const broker = await start()
    await fill(broker)
    await simulator.sleep(5 * minute)
    machine.jumpClock(2 * day)
    await simulator.sleep(12 * minute)
    assert.deepEqual(left(broker)[0], 0)
    await broker.close()
  }))

test(`a clock that stays behind makes neither new messages nor sessions last longer (SEED=${seed})`, () =>
  inWorld(async ({ simulator, machine, start }) => {
    const broker = await start()
    await fill(broker)
    machine.jumpClock(-2 * day)
    await simulator.sleep(20 * minute)
    post(broker.core)
    await simulator.sleep(45 * minute)
    // What came before the clock was set keeps the time that it was given.
    assert.deepEqual(left(broker), [1, 2, false])
    await simulator.sleep(2 * day)
    assert.deepEqual(left(broker).slice(1), [0, false])
    await broker.close()
  }))

test(`a clock that is wrong at a start takes no records away when it is put right soon (SEED=${seed})`, () =>
  inWorld(async ({ simulator, machine, start }) => {
    let broker = await start()
    await fill(broker)
    await simulator.sleep(5 * minute)
    await broker.close()
    machine.crash({ power: false })
    machine.jumpClock(2 * day)
    broker = await start()
    await simulator.sleep(8 * minute)
    assert.equal(left(broker)[0], 1)
    machine.jumpClock(-2 * day)
    await simulator.sleep(20 * minute)
    assert.equal(left(broker)[0], 1)
    await broker.close()
  }))
