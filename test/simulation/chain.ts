import { Writer, type Reader } from '@dragoman/wire'
import { Cell } from '../../packages/broker/src/cell/cell.ts'
import { checkpointSeq } from '../../packages/broker/src/cell/checkpoint.ts'
import { machineKinds, type Machine } from '../../packages/broker/src/cell/machine.ts'
import { defaultCellSizes, type CellOptions, type CellSizes } from '../../packages/broker/src/cell/options.ts'
import { CellState } from '../../packages/broker/src/cell/state.ts'
import type { SimProcess } from '../../packages/broker/src/runtime/simulated/process.ts'
import { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import { linkOf, noLink, readBlock, sameLink, type Block } from '../../packages/broker/src/storage/block.ts'
import { blockSeq, hostileStore, ObjectStore } from './object-store.ts'
import type { Report } from './report.ts'

/**
 * Several brokers contend for one cell on one object store, with the real claim, journal and checkpoint code. They pause,
 * crash and come back; requests are lost, late and doubled. What was acknowledged must be in the chain exactly once and in
 * every recovered state, whoever owned the cell when.
 */
export async function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  const world = new ChainWorld(seed, onTrace !== undefined)
  try {
    await world.run()
  } catch (error) {
    onTrace?.(world.simulator.traceTail())
    throw error
  }
  return world.report()
}

const machineId = machineKinds.groups

/** Numbers, in the order in which they were added. */
class Numbers implements Machine {
  readonly added: number[] = []

  apply(_type: number, payload: Buffer): void {
    this.added.push(payload.readUInt32BE(0))
  }

  save(out: Writer): void {
    out.u8(1)
    out.u32(this.added.length)
    for (const number of this.added) out.u32(number)
  }

  load(from: Reader): void {
    from.u8()
    for (let left = from.u32(); left > 0; left--) this.added.push(from.u32())
  }
}

const machines = { groups: () => new Numbers() }

class ChainWorld {
  readonly simulator: Simulator
  readonly store: ObjectStore
  readonly #sizes: CellSizes
  readonly #runMs: number
  readonly #stallChance: number
  readonly #idleMsMax: number
  /** The first block that was ever put under each number: the chain, whatever was deleted or put again later. */
  readonly #chain: Block[] = []
  readonly #acked = new Map<number, { seq: number; epoch: number }>()
  readonly #contenders: SimProcess[] = []
  #nextNumber = 0
  #crashes = 0
  #takeovers = 0
  #isOver = false

  constructor(seed: number, traces: boolean) {
    const simulator = new Simulator(seed, { traceLines: traces ? 400 : 0 })
    const { random } = simulator
    this.simulator = simulator
    this.store = new ObjectStore(simulator)
    this.store.faults = { ...hostileStore, lateMsMax: random.pick([500, 3_000, 10_000]) }
    this.store.created = (key, bytes) => this.#created(key, bytes)
    this.store.deleting = key => this.#deleting(key)
    this.#runMs = random.between(10_000, 30_000)
    // Rare and slow blocks, each with its checkpoint, and claimers that fall asleep: old names are soon free again.
    const isStale = random.chance(0.3)
    this.#idleMsMax = isStale ? 300 : 20
    this.#stallChance = isStale ? 0.8 : random.pick([0, 0.3, 0.8])
    this.#sizes = {
      ...defaultCellSizes,
      slabBytes: random.pick([1024, 16 * 1024]),
      blockFactsMax: random.pick([2, 100]),
      flushBytes: isStale ? 1 : random.pick([1, 300, 1000, 4000]),
      flushIntervalMs: isStale ? 5 : random.pick([5, 50, 1000]),
      retentionCheckMs: 5_000,
    }
    for (let index = isStale ? 6 : random.between(2, 5); index > 0; index--)
      this.#contenders.push(this.#contender(`broker-${index}`))
  }

  #contender(name: string): SimProcess {
    return this.simulator.process(name, { onFatal: error => this.simulator.fail(`${name}: ${error.stack}`, error) })
  }

  report(): Report {
    const { simulator } = this
    return {
      operations: this.store.operationCount + this.#nextNumber,
      events: simulator.eventCount,
      crashes: this.#crashes,
      takeovers: this.#takeovers,
      acknowledged: this.#acked.size,
      traceHash: simulator.traceHash(),
    }
  }

  async run(): Promise<void> {
    const { simulator, store } = this
    for (const contender of this.#contenders) void this.#contend(contender)
    await simulator.run(this.#runMs)
    this.#isOver = true
    for (const contender of this.#contenders) contender.crash({ power: false })
    // What is still under way arrives, and then nothing is lost any more.
    await simulator.run(this.#runMs + store.faults.lateMsMax + 1000)
    Object.assign(store.faults, { lostRequestChance: 0, lostAnswerChance: 0, lateChance: 0, twiceChance: 0 })
    await this.#check()
  }

  async #contend(process: SimProcess): Promise<void> {
    const { simulator } = this
    while (!this.#isOver) {
      await simulator.sleep(simulator.random.float() * 600)
      await this.#live(process)
    }
  }

  /** One incarnation: claims the cell, works, and ends by being fenced, by a crash or in order. */
  async #live(process: SimProcess): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    const ended = Promise.withResolvers<void>()
    const end = (): void => {
      if (process.isAlive) process.crash({ power: false })
      ended.resolve()
    }
    const options = this.#options(process, () => end())
    const opening = Cell.open(options)
    opening.then(
      cell => void this.#own(process, cell),
      (error: unknown) => {
        if (process.isAlive && !this.#isOver)
          simulator.fail(`${process.name} cannot open the cell: ${String(error)}`, error)
        end()
      },
    )
    void this.#disturb(process)
    void simulator.sleep(500 + random.float() * 3000).then(() => {
      this.#crashes++
      end()
    })
    await ended.promise
  }

  #options(process: SimProcess, onFenced: () => void): CellOptions {
    const runtime = process.start()
    return {
      cell: 0,
      ...this.store.client(process),
      clock: runtime.clock,
      random: runtime.random,
      machines,
      sizes: this.#sizes,
      exclusive: false,
      retentionOf: () => undefined,
      onFatal: error => runtime.fatal(error),
      onFenced,
      log: (level, message) => this.simulator.note(`${level} ${message}`),
    }
  }

  async #own(process: SimProcess, cell: Cell): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    const { incarnation } = process
    this.#takeovers++
    simulator.note(`${process.name} owns`, cell.epoch)
    while (process.isRunning(incarnation) && !cell.closing) {
      for (let count = random.between(1, 3); count > 0; count--) this.#add(process, cell)
      await simulator.sleep(random.float() * this.#idleMsMax)
      if (process.pausedUntilMs > simulator.nowMs) await simulator.sleep(process.pausedUntilMs - simulator.nowMs)
    }
  }

  #add(process: SimProcess, cell: Cell): void {
    const number = ++this.#nextNumber
    const { incarnation } = process
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(number)
    const seq = cell.atomic(() => void cell.fact(machineId, 1, payload))
    const acknowledge = (): void => {
      if (process.isRunning(incarnation)) this.#acked.set(number, { seq, epoch: cell.epoch })
    }
    cell.whenDurable(seq, acknowledge, undefined)
  }

  async #disturb(process: SimProcess): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    const { incarnation } = process
    if (random.chance(this.#stallChance)) {
      // In the middle of its claim, while others go on: what it has read is out of date when it wakes.
      await simulator.sleep(random.float() * 60)
      if (process.isRunning(incarnation)) process.pause(random.float() * random.pick([300, 3000]))
    }
    while (process.isRunning(incarnation)) {
      await simulator.sleep(random.float() * 400)
      if (!process.isRunning(incarnation)) return
      if (random.chance(0.3)) process.pause(random.float() * (random.chance(0.3) ? 4000 : 300))
      if (random.chance(0.1)) process.jumpClock(random.between(-60_000, 60_000))
    }
  }

  #created(key: string, bytes: Buffer): void {
    const seq = blockSeq(key)
    if (seq !== this.#chain.length) return // Not a block, or a number that was deleted and created again below the floor.
    const block = readBlock(bytes)
    const last = this.#chain.at(-1)
    if (block?.seq !== seq) return this.simulator.fail(`What was put as block ${seq} is not that block`)
    if (!sameLink(block.previous, last ? linkOf(last) : noLink))
      this.simulator.fail(`I2: block ${seq} does not follow its predecessor`)
    if (block.epoch < (last?.epoch ?? 0)) this.simulator.fail(`I2: the epoch falls at block ${seq}`)
    this.#chain.push(block)
  }

  #deleting(key: string): void {
    const seq = blockSeq(key)
    if (seq === undefined) return
    const block = this.#chain[seq]
    if (block?.kind === 'fence' && this.store.objects.get(key)?.equals(block.bytes))
      this.simulator.fail(`R1: fence ${seq} is deleted`)
    for (const name of this.store.objects.keys()) {
      if (name.includes('/c/') && (checkpointSeq(name) ?? -1) > seq) return
    }
    this.simulator.fail(`I12: block ${seq} is deleted, and no checkpoint is beyond it`)
  }

  /** What a new owner recovers, against the chain and the acknowledgements. */
  async #check(): Promise<void> {
    const { simulator } = this
    const checker = this.#contender('checker')
    const opening = Cell.open(this.#options(checker, () => simulator.fail('the checker was fenced')))
    let cell: Cell | undefined
    opening.then(
      opened => (cell = opened),
      (error: unknown) => simulator.fail(`The cell cannot be opened any more: ${String(error)}`, error),
    )
    await simulator.run(simulator.nowMs + 600_000, () => cell !== undefined)
    if (!cell) return simulator.fail('The cell does not open')
    const truth = this.#replayAll()
    const expected = numbersOf(truth)
    const counts = new Map<number, number>()
    for (const number of expected) counts.set(number, (counts.get(number) ?? 0) + 1)
    for (const [number, { seq, epoch }] of this.#acked) {
      const count = counts.get(number) ?? 0
      if (count !== 1)
        simulator.fail(
          `I1: number ${number}, acknowledged in block ${seq} of epoch ${epoch}, is ${count} times in the chain`,
        )
    }
    // A fence that was on its way all the time may arrive behind the checker's own.
    if (!savedState(cell.state).equals(savedState(this.#replayAll(cell.journal.durableSeq))))
      simulator.fail('I11: the recovered state differs from that of the whole chain')
    checker.crash({ power: false })
    if (simulator.violation) throw simulator.violation
  }

  #replayAll(throughSeq = Infinity): CellState {
    const state = new CellState(machines)
    for (const block of this.#chain) if (block.seq <= throughSeq) state.applyBlock(block)
    return state
  }
}

function numbersOf(state: CellState): number[] {
  const machine = state.machine(machineId)
  return machine instanceof Numbers ? machine.added : []
}

function savedState(state: CellState): Buffer {
  const out = new Writer()
  state.save(out)
  return out.take()
}
