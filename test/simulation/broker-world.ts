import type { Random } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../packages/broker/src/index.ts'
import type { SimDisk } from '../../packages/broker/src/runtime/simulated/disk.ts'
import { Corrupt } from '../../packages/broker/src/storage/errors.ts'
import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { DiskError } from '../../packages/broker/src/runtime/runtime.ts'
import type { SimProcess } from '../../packages/broker/src/runtime/simulated/process.ts'
import { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import { amqpPort, beanstalkPort, brokerPort, Client, mqttPort, respPort, stompPort } from './client.ts'
import { churnTopics, createTopic } from './churn.ts'
import { PartitionHistory } from './history.ts'
import { compareReplays } from './replay.ts'
import type { Report } from './report.ts'
import {
  Consumer,
  fetchOnce,
  listOffset,
  Producer,
  trim,
  type Partition,
  type Shared,
  type Workload,
} from './workload.ts'

/**
 * Runs a world on a seed, in which each of the workloads is there or not, besides producers and consumers of plain topics.
 */
export async function runWorld(
  seed: number,
  onTrace: ((lines: string[]) => void) | undefined,
  workloads: readonly WorkloadMaker[],
): Promise<Report> {
  const world = new BrokerWorld(seed, onTrace !== undefined, workloads)
  try {
    await world.run()
  } catch (error) {
    onTrace?.(world.simulator.traceTail())
    throw error
  }
  return world.report()
}

/** Makes what a seed has chosen, or undefined. */
export type WorkloadMaker = (shared: Shared) => Workload | undefined

const dataPath = 'data'
/** As its disk calls a write of a block. */
const journalWrite = `write ${dataPath}/cell/0/b/`
/** As simulated processes have it. */
const wallClockStartMs = 1_767_225_600_000
/** After all faults have ended, everything must be done within this. */
const healMsMax = 120_000
/** Members of groups that are silent for so long are gone. */
export const memberSessionMs = 1_500

/** What a seed has chosen to do to its broker: relative weights. */
interface Mix {
  kill: number
  power: number
  full: number
  failing: number
  clock: number
  pause: number
  cut: number
  restart: number
}

/**
 * The whole broker on a simulated disk and network, spoken to by clients that know what they were told. It is killed, loses
 * power, meets a full and a failing disk, jumping clocks and cut links; in the end everything is read and compared.
 */
class BrokerWorld {
  readonly simulator: Simulator
  readonly #broker: SimProcess
  readonly #shared: Shared
  readonly #clients: Client[] = []
  readonly #mix: Mix
  readonly #faultMsMax: number
  readonly #runMs: number
  readonly #sizes: {
    flushBytes: number
    flushIntervalMs: number
    slabBytes: number
    blockBytesMax: number
    blockFactsMax: number
    retentionCheckMs: number
    largeBatchBytes: number
    largeFlushBytes: number
    largeRecentBytes: number
    keyMapBytes: number
    delayed: { recentMax: number; recentOfAllMax: number; blockEntriesMax: number }
  }
  readonly #journalFileBytes: number
  #running: RunningBroker | undefined
  readonly #makers: readonly WorkloadMaker[]
  #workloads: Workload[] = []
  /** The disk may have failed an operation: the process may stop, and a start may be refused. */
  #mayFail = false
  #clockAheadMs = 0
  #clockJumps = 0
  #jumpsAtStart = 0
  /** The disk may be full, or an answer that says so be on its way. */
  #smallUntilMs = -Infinity
  /** When the disk last failed: an answer that says so may come late. */
  #failedMs = -Infinity
  #crashes = 0
  #starts = 0
  /** A bit of the data was turned over: a refusal is an answer, altered records are not. */
  #isRotten = false
  #hasRefused = false

  constructor(seed: number, traces: boolean, workloads: readonly WorkloadMaker[]) {
    this.#makers = workloads
    const simulator = new Simulator(seed, { traceLines: traces ? 200_000 : 0 })
    const { random } = simulator
    this.simulator = simulator
    this.#broker = simulator.process('broker', { onFatal: error => this.#stopped(error) })
    const startsOf = (): number => this.#starts
    const jumpsOf = (): number => this.#jumpsAtStart
    const setsOf = (): number => this.#clockJumps
    this.#shared = {
      simulator,
      partitions: [],
      traits: new Map(),
      isEnding: false,
      mayFail: () => this.#mayFail || this.simulator.nowMs < this.#failedMs + 20_000,
      mayBeFull: () => this.simulator.nowMs < this.#smallUntilMs,
      broker: this.#broker,
      running: () => this.#running,
      wallMs: () => Math.floor(wallClockStartMs + this.simulator.nowMs + this.#clockAheadMs),
      get starts() {
        return startsOf()
      },
      get clockJumps() {
        return jumpsOf()
      },
      get clockSets() {
        return setsOf()
      },
      operations: 0,
      acknowledged: 0,
    }
    const some = (): number => (random.chance(0.5) ? random.float() : 0)
    this.#mix = {
      kill: 0.2 + some(),
      power: 0.5 + some(),
      full: some(),
      failing: some() / 2,
      clock: some(),
      pause: some(),
      cut: some(),
      restart: some(),
    }
    this.#faultMsMax = random.pick([100, 300, 1000, 4000])
    this.#runMs = random.between(5_000, 20_000)
    this.#sizes = {
      flushBytes: random.pick([500, 5_000, 50_000]),
      flushIntervalMs: random.pick([20, 300, 5000]),
      slabBytes: random.pick([8 * 1024, 128 * 1024]),
      blockBytesMax: random.pick([2_000, 100_000]),
      blockFactsMax: random.pick([3, 1000]),
      retentionCheckMs: 500,
      largeBatchBytes: random.pick([100, 300, 1_000_000]),
      largeFlushBytes: random.pick([1_000, 50_000]),
      largeRecentBytes: random.pick([0, 1_000, 100_000]),
      keyMapBytes: random.pick([100, 100_000]),
      delayed: {
        recentMax: random.pick([4, 1 << 16]),
        recentOfAllMax: random.pick([16, 1 << 19]),
        blockEntriesMax: random.pick([2, 512]),
      },
    }
    this.#journalFileBytes = random.pick([16, 64, 256]) * 1024
    this.#broker.disk.faults.tornChance = random.pick([0, 0.3, 0.9])
    simulator.network.faults.resetChance = random.pick([0, 0.001])
  }

  report(): Report {
    const { simulator } = this
    const requests = this.#clients.reduce((sum, client) => sum + client.requestCount, 0)
    return {
      operations: this.#shared.operations + requests + this.#broker.disk.operationCount,
      events: simulator.eventCount,
      crashes: this.#crashes,
      takeovers: this.#starts,
      acknowledged: this.#shared.acknowledged,
      traceHash: simulator.traceHash(),
    }
  }

  async run(): Promise<void> {
    const { simulator } = this
    let isDone = false
    this.#story().then(
      () => (isDone = true),
      (error: unknown) => simulator.fail(`The simulation itself failed: ${String((error as Error).stack)}`, error),
    )
    await simulator.run(this.#runMs + healMsMax, () => isDone)
    if (!isDone) simulator.fail('Not everything was done after the faults had ended')
    if (simulator.violation) throw simulator.violation
  }

  async #story(): Promise<void> {
    const { simulator } = this
    const shared = this.#shared
    void this.#keepRunning()
    await this.#makeTopics()
    const tasks = this.#tasks()
    await this.#disturb()
    this.#heal()
    shared.isEnding = true
    await Promise.all(tasks)
    await this.#checkAll()
    this.#broker.crash({ power: true })
    await simulator.sleep(1000)
    await this.#checkAll()
    await this.#checkRot()
  }

  async #makeTopics(): Promise<void> {
    const { simulator } = this
    const admin = new Client(simulator, 'setup')
    for (let number = simulator.random.between(1, 3); number > 0; number--) {
      const topic = `topic-${number}`
      const count = simulator.random.between(1, 3)
      const keepsAll = [{ name: 'retention.ms', value: '-1' }]
      const topicId = await createTopic(admin, topic, count, keepsAll)
      for (let index = 0; index < count; index++) {
        this.#shared.partitions.push({
          topic,
          topicId,
          index,
          history: new PartitionHistory(simulator, `${topic}/${index}`),
        })
      }
    }
    admin.drop()
    for (const make of this.#makers) {
      const workload = make(this.#shared)
      if (workload === undefined) continue
      this.#workloads.push(workload)
      await workload.create?.()
    }
  }

  #tasks(): Promise<void>[] {
    const { random } = this.simulator
    const shared = this.#shared
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 5); number > 0; number--)
      tasks.push(new Producer(shared, number, random.chance(0.6)).run())
    for (let number = random.between(1, 4); number > 0; number--)
      tasks.push(new Consumer(shared, number, random.pick(shared.partitions)).run())
    if (random.chance(0.5)) tasks.push(trim(shared))
    if (random.chance(0.5)) tasks.push(churnTopics(shared, 1))
    for (const workload of this.#workloads) tasks.push(workload.run())
    return tasks
  }

  /** The supervisor: starts the broker whenever it does not run. */
  async #keepRunning(): Promise<void> {
    const { simulator } = this
    for (;;) {
      if (!this.#broker.isAlive) {
        await simulator.sleep(simulator.random.float() * 100)
        if (simulator.random.chance(0.2) && this.#starts > 0 && !this.#mayFail && !this.#isRotten)
          await compareReplays(simulator, this.#broker.disk, dataPath)
        await this.#start()
      }
      await simulator.sleep(20)
    }
  }

  async #start(): Promise<void> {
    const runtime = this.#broker.start()
    const { incarnation } = this.#broker
    this.#starts++
    this.#jumpsAtStart = this.#clockJumps
    const started = await new Promise<RunningBroker | Error | undefined>(resolve => {
      const options = {
        data: dataPath,
        kafka: brokerPort,
        beanstalk: beanstalkPort,
        amqp: amqpPort,
        stomp: stompPort,
        resp: respPort,
        mqtt: mqttPort,
        reserveBytes: 64 * 1024,
        topicAutoCreate: 'off',
        logLevel: 'warn',
        groupAssignedSessionTimeoutMs: memberSessionMs,
        groupAssignedSessionTimeoutMinMs: 1_000,
        groupHeartbeatIntervalMs: 200,
        groupHeartbeatIntervalMinMs: 100,
        // What the workloads compare with their own clock is decided by this one.
        clockPatienceMs: 0,
      } as const
      const note = (line: string): void => this.simulator.note(line.trimEnd())
      startBroker(options, {
        runtime,
        writeLog: note,
        sizes: this.#sizes,
        journalFileBytes: this.#journalFileBytes,
      }).then(resolve, (error: Error) => resolve(error))
      const watch = (): void => {
        if (!this.#broker.isRunning(incarnation)) resolve(undefined)
        else this.simulator.at(50, 'watch', watch)
      }
      watch()
    })
    if (!this.#broker.isRunning(incarnation)) return
    if (started instanceof Error) {
      if (!this.#mayRefuse(started)) this.simulator.fail(`The broker does not start: ${started.stack}`, started)
      this.#broker.crash({ power: false })
    } else this.#running = started
  }

  /** A failing or full disk may keep it from starting; nothing else may. */
  #mayRefuse(error: Error): boolean {
    const cause = error.cause ?? error
    if (this.#isRotten && cause instanceof Corrupt) return (this.#hasRefused = true)
    return (
      cause instanceof DiskError && (cause.code === 'full' ? this.#broker.disk.capacityBytes < Infinity : this.#mayFail)
    )
  }

  #stopped(error: Error): void {
    this.#running = undefined
    if (!this.#mayFail) this.simulator.fail(`The broker stopped: ${error.stack}`, error)
    this.#crashes++
  }

  async #disturb(): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    while (simulator.nowMs < this.#runMs) {
      await simulator.sleep(random.float() * this.#faultMsMax)
      await this.#faults[this.#pickFault()]()
    }
  }

  #pickFault(): keyof Mix {
    const entries = Object.entries(this.#mix) as [keyof Mix, number][]
    let left = this.simulator.random.float() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) {
      left -= weight
      if (left <= 0) return name
    }
    return 'kill'
  }

  readonly #faults: Record<keyof Mix, () => Promise<void> | void> = {
    kill: () => this.#crashInside(false),
    power: () => this.#crashInside(true),
    clock: () => this.#setClock(this.simulator.random.between(-1_500_000, 1_500_000)),
    pause: () => this.#broker.pause(this.simulator.random.float() * 3000),
    restart: () => this.#restart(),
    full: () => this.#fillDisk(),
    failing: () => this.#failDisk(),
    cut: () => this.#cutLinks(),
  }

  /** Less than what makes a record's time look impossible. */
  #setClock(aheadMs: number): void {
    this.#clockJumps++
    // While it starts, nobody knows whether it has looked at the clock already.
    if (!this.#running) this.#jumpsAtStart = Number.NaN
    this.#broker.jumpClock(aheadMs - this.#clockAheadMs)
    this.#clockAheadMs = aheadMs
  }

  /** Mostly in the middle of some disk operation, where it hurts; else at any time. */
  async #crashInside(power: boolean): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    const { disk } = this.#broker
    const kind = random.pick([
      'write ',
      'write ',
      journalWrite,
      journalWrite,
      'sync ',
      'rename ',
      'sync directory ',
      'create ',
      'remove ',
      ' ',
    ])
    const { incarnation } = this.#broker
    let skip = random.below(5)
    await new Promise<void>(resolve => {
      simulator.at(300, 'crash anyway', resolve)
      disk.applied = label => {
        if (label.startsWith(kind) && skip-- <= 0) simulator.at(0, 'crash inside', resolve)
      }
    })
    disk.applied = () => {}
    if (this.#broker.isRunning(incarnation)) this.#crash(power)
  }

  #crash(power: boolean): void {
    if (!this.#broker.isAlive) return
    this.#crashes++
    this.#running = undefined
    this.#broker.crash({ power })
  }

  /** An orderly stop, which may take its time and may meet a crash. */
  async #restart(): Promise<void> {
    const running = this.#running
    const { incarnation } = this.#broker
    if (!running || !this.#broker.isAlive) return
    this.#running = undefined
    let isClosed = false
    running.close().then(
      () => (isClosed = true),
      (error: unknown) => {
        if (this.#broker.isRunning(incarnation) && !this.#mayFail)
          this.simulator.fail(`Closing failed: ${String(error)}`, error)
        isClosed = true
      },
    )
    for (let waited = 0; waited < 500 && !isClosed && this.#broker.isRunning(incarnation); waited++)
      await this.simulator.sleep(20)
    if (this.#broker.isRunning(incarnation)) this.#broker.crash({ power: this.simulator.random.chance(0.5) })
  }

  async #fillDisk(): Promise<void> {
    const { disk } = this.#broker
    const { random } = this.simulator
    disk.capacityBytes = disk.usedBytes + random.below(300_000)
    this.#smallUntilMs = Infinity
    this.simulator.note('the disk is small', disk.capacityBytes)
    await this.simulator.sleep(random.float() * 4000)
    if (random.chance(0.3)) this.#crash(random.chance(0.5))
    if (random.chance(0.3)) await this.simulator.sleep(random.float() * 2000)
    disk.capacityBytes = Infinity
    this.#smallUntilMs = this.simulator.nowMs + 20_000
  }

  async #failDisk(): Promise<void> {
    const { disk } = this.#broker
    this.#mayFail = true
    disk.faults.ioErrorChance = 0.02
    await this.simulator.sleep(this.simulator.random.float() * 500)
    disk.faults.ioErrorChance = 0
    // What a failed sync has left undone shows only after the page cache is gone: a machine with such a disk is restarted.
    this.#crash(true)
    this.#mayFail = false
    this.#failedMs = this.simulator.nowMs
  }

  async #cutLinks(): Promise<void> {
    const { simulator } = this
    const { random } = simulator
    for (const client of simulator.processes) {
      if (client === this.#broker || random.chance(0.5)) continue
      if (random.chance(0.6)) simulator.network.cut(client, this.#broker)
      if (random.chance(0.6)) simulator.network.cut(this.#broker, client)
    }
    await simulator.sleep(random.float() * 3000)
    simulator.network.heal()
  }

  #heal(): void {
    const { disk } = this.#broker
    disk.capacityBytes = Infinity
    disk.faults.ioErrorChance = 0
    this.simulator.network.heal()
    this.simulator.network.faults.resetChance = 0
  }

  /** Turns one bit over. The broker refuses to start, refuses the range, or does not mind; it never shows what was not sent. */
  async #checkRot(): Promise<void> {
    const { simulator } = this
    this.#isRotten = true
    this.#broker.crash({ power: false })
    const place = flipSomeBit(this.#broker.disk, simulator.random)
    simulator.note(`a bit flips in ${place}`)
    const client = new Client(simulator, 'rot')
    for (const partition of this.#shared.partitions) {
      let position = 0
      for (let attempt = 0; attempt < 400 && !this.#hasRefused; attempt++) {
        const fetched = await fetchOnce(client, partition, position, { maxWaitMs: 0, maxBytes: 1_000_000 })
        if (!fetched) continue
        if (fetched.errorCode === codes.offsetOutOfRange && position === 0)
          position = await firstOffset(client, partition)
        else if (fetched.errorCode !== codes.none || fetched.records.length === 0) break
        for (const { offset, id } of fetched.records) {
          if (offset < position) continue
          partition.history.saw(offset, id, `fetched after a bit flipped in ${place}`)
          position = offset + 1
        }
      }
    }
    client.drop()
  }

  /** Reads every partition from its start to its end and compares it with all that was ever told. */
  async #checkAll(): Promise<void> {
    const client = new Client(this.simulator, `checker-${this.#starts}`)
    for (const partition of this.#shared.partitions) {
      const start = await firstOffset(client, partition)
      const ids = []
      for (let end = Infinity; start + ids.length < end;) {
        const fetched = await fetchOnce(client, partition, start + ids.length, { maxWaitMs: 0, maxBytes: 1_000_000 })
        if (fetched?.errorCode !== 0) continue
        end = fetched.end
        if (fetched.records.length === 0 && start + ids.length < end)
          this.simulator.fail(`${partition.history.name}: nothing to read at ${start + ids.length} before ${end}`)
        for (const { offset, id } of fetched.records) if (offset === start + ids.length) ids.push(id)
      }
      partition.history.checkAll(start, ids, this.#shared.traits)
    }
    for (const workload of this.#workloads) await workload.check?.(client)
    client.drop()
  }
}

function flipSomeBit(disk: SimDisk, random: Random): string | undefined {
  const paths = disk.tree.paths().filter(path => path.startsWith(`${dataPath}/cell/`))
  for (let attempt = 0; attempt < 20 && paths.length > 0; attempt++) {
    const path = random.pick(paths)
    const file = disk.file(path)
    const position = random.below(Math.max(1, file.size))
    if (file.flipBit(position, random.below(8))) return `${path} at byte ${position}`
  }
  return undefined
}

async function firstOffset(client: Client, partition: Partition): Promise<number> {
  for (;;) {
    const start = await listOffset(client, partition, -2)
    if (start !== undefined) return start
  }
}
