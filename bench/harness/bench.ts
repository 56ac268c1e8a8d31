import { mkdirSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { repository } from '../../test/support/dragoman.ts'
import { dragoman } from '../peers/dragoman.ts'
import { kafka } from '../peers/kafka.ts'
import type { Durability, Peer, Protocol, Running } from '../peers/peer.ts'
import { runTool, type Report } from './tools.ts'

export interface BenchOptions {
  /** Measured time of one run of a timed load. */
  seconds: number
  /** Runs of each side, interleaved. */
  runs: number
  /** Only this peer beside ours; undefined for all. */
  peer: string | undefined
  /** Multiplies the sizes of backlogs: 1 is what the claim names, smaller is for trying out. */
  scale: number
}

/** One figure of one run, with what it cost. */
export interface Sample {
  value: number
  clientCpu?: number
  serverCpu?: number
  rssPeakMb?: number
  errors?: number
  seconds?: number
}

/** One thing that is measured: `run` is called once per round, the sides of a comparison in turn. */
export interface Side {
  name: string
  run(round: number): Promise<Sample>
}

export interface Result {
  name: string
  samples: Sample[]
  median: number
  min: number
  max: number
}

/** One row of the table in the docs. */
export interface Row {
  what: string
  value: string
  reference: string
  /** Ours to the reference; undefined where the claim is an absolute. */
  ratio?: number
  target: string
  met: boolean
  note: string
}

export interface Claim {
  /** One sentence: what is claimed. */
  title: string
  /** What ran, for the reader who wants to repeat it by hand. */
  method: string
  run(bench: Bench): Promise<Row[]>
}

const tmpfsMagic = 0x01021994

/** What a claim's file works with: directories, brokers, load, and the comparison itself. */
export class Bench {
  readonly options: BenchOptions
  readonly root = join(repository, '.cache', 'bench')
  #directories = 0

  constructor(options: BenchOptions) {
    this.options = options
    rmSync(this.root, { recursive: true, force: true })
    mkdirSync(this.root, { recursive: true })
    if (statfsSync(this.root).type === tmpfsMagic) throw new Error(`${this.root} is not on a disk but on a tmpfs`)
  }

  log(text: string): void {
    process.stderr.write(`${text}\n`)
  }

  freshDirectory(): string {
    const directory = join(this.root, String(++this.#directories))
    rmSync(directory, { recursive: true, force: true })
    return directory
  }

  remove(directory: string): void {
    rmSync(directory, { recursive: true, force: true })
  }

  /** Those of the peers that this machine can run; each one that it cannot is named with its reason. */
  peers(candidates: readonly Peer[] = [kafka]): Peer[] {
    return candidates.filter(peer => {
      if (this.options.peer !== undefined && this.options.peer !== peer.name) return false
      const reason = peer.missing()
      if (reason !== undefined) this.log(`skipped ${peer.name}: ${reason}`)
      return reason === undefined
    })
  }

  /** Starts a broker on a directory that is removed afterwards, and stops it whatever happens. */
  async withBroker<T>(
    peer: Peer,
    durability: Durability,
    work: (running: Running) => Promise<T>,
    protocol: Protocol = 'kafka',
  ): Promise<T> {
    const directory = this.freshDirectory()
    const running = await peer.start({ directory, durability, protocol })
    try {
      return await work(running)
    } finally {
      await running.process.stop()
      this.remove(directory)
    }
  }

  /** Runs a load and says what it cost on both sides. `value` picks the figure from the generator's report. */
  async measure(running: Running, load: () => Promise<Report>, value: (report: Report) => number): Promise<Sample> {
    const before = running.process.usage()
    const startedAt = performance.now()
    const report = await load()
    const seconds = (performance.now() - startedAt) / 1e3
    const after = running.process.usage()
    return {
      value: value(report),
      seconds,
      clientCpu: report['cpuSeconds'] ?? 0,
      serverCpu: after.cpuSeconds - before.cpuSeconds,
      rssPeakMb: after.rssPeakMb,
      errors: (report['errors'] ?? 0) + (report['failed'] ?? 0),
    }
  }

  /** Runs all sides `runs` times in turn: A B A B. */
  async compare(sides: Side[], runs = this.options.runs): Promise<Result[]> {
    const samples = sides.map((): Sample[] => [])
    for (let round = 0; round < runs; round++) {
      for (const [index, side] of sides.entries()) {
        const sample = await side.run(round)
        samples[index]?.push(sample)
        this.log(`  ${side.name.padEnd(46)} ${format(sample.value).padStart(10)}  ${costs(sample)}`)
      }
    }
    return sides.map((side, index) => summarize(side.name, samples[index] ?? []))
  }

  raw(mode: 'produce' | 'fetch', running: Running, ...words: (string | number)[]): Promise<Report> {
    return runTool('kafka-raw', mode, '--port', running.port, ...words)
  }

  librdkafka(
    mode: 'produce' | 'consume' | 'latency',
    running: Running,
    ...words: (string | number)[]
  ): Promise<Report> {
    return runTool('kafka-load', mode, '--brokers', running.address, ...words)
  }
}

export const mb = (report: Report): number => report['mbPerSecond'] ?? 0

/** A broker that has just begun to answer may not know its controller yet: then it is asked again. */
const createAttempts = 50

export async function createTopics(address: string, names: string[], partitions = 1): Promise<void> {
  const client = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, requestTimeout: 120_000 })
  const admin = client.admin()
  await admin.connect()
  for (let from = 0; from < names.length; from += 500) {
    const topics = names.slice(from, from + 500).map(topic => ({ topic, numPartitions: partitions }))
    for (let attempt = 1; ; attempt++) {
      try {
        await admin.createTopics({ topics, waitForLeaders: false, timeout: 120_000 })
        break
      } catch (error) {
        if (attempt === createAttempts || (error as { retriable?: boolean }).retriable !== true) throw error
        await sleep(100)
      }
    }
  }
  await admin.disconnect()
}

/** Every file under a directory, largest first. */
export function filesUnder(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return files.toSorted((a, b) => statSync(b).size - statSync(a).size)
}

export function summarize(name: string, samples: Sample[]): Result {
  const values = samples.map(sample => sample.value).toSorted((a, b) => a - b)
  const middle = values.length >> 1
  const upper = values[middle] ?? Number.NaN
  const median = values.length % 2 === 1 ? upper : ((values[middle - 1] ?? Number.NaN) + upper) / 2
  return { name, samples, median, min: values[0] ?? Number.NaN, max: values.at(-1) ?? Number.NaN }
}

/** `512 (480–530)`: the median and the spread of the runs. */
export function spread(result: Result, unit: string): string {
  return `${format(result.median)} ${unit} (${format(result.min)}–${format(result.max)})`
}

/** Two rates, and how they are to compare. */
export interface Comparison {
  readonly what: string
  readonly unit: string
  readonly ours: Result
  /** Undefined: the peer is not there. */
  readonly theirs: Result | undefined
  readonly peer: string
  /** Ours is to be so many times theirs; undefined: theirs is told for comparison. */
  readonly atLeast?: number | undefined
}

/** The row of a rate that is held against a peer's. */
export function comparedRow({ what, unit, ours, theirs, peer, atLeast }: Comparison): Row {
  const ratio = theirs && ours.median / theirs.median
  return {
    what,
    value: spread(ours, unit),
    reference: theirs ? `${peer}: ${spread(theirs, unit)}` : '–',
    ...(ratio === undefined ? {} : { ratio }),
    target: atLeast === undefined ? '–' : `≥ ${format(atLeast)}`,
    met: atLeast === undefined || ratio === undefined || ratio >= atLeast,
    note: theirs ? `${cost(ours)} – theirs: ${cost(theirs)}` : cost(ours),
  }
}

/** What the runs cost: medians, so that one disturbed run does not speak for all. */
export function cost(result: Result): string {
  const median = (pick: (sample: Sample) => number | undefined): number =>
    summarize(
      '',
      result.samples.map(sample => ({ value: pick(sample) ?? 0 })),
    ).median
  const seconds = median(sample => sample.seconds)
  const share = (cpu: number): string => `${Math.round((100 * cpu) / Math.max(seconds, 1e-9))} %`
  const errors = result.samples.reduce((sum, sample) => sum + (sample.errors ?? 0), 0)
  return (
    `CPU broker ${share(median(sample => sample.serverCpu))}, client ${share(median(sample => sample.clientCpu))} of a core; ` +
    `RSS peak ${Math.round(median(sample => sample.rssPeakMb))} MB${errors > 0 ? `; ${errors} errors` : ''}`
  )
}

/** How much of one core the client has used: near 1, a client of one busy thread cannot do more. */
export function clientShare({ samples }: Result): number {
  return Math.min(...samples.map(({ clientCpu = 0, seconds = 0 }) => clientCpu / Math.max(seconds, 1e-9)))
}

function costs(sample: Sample): string {
  if (sample.serverCpu === undefined) return ''
  const errors = sample.errors === undefined || sample.errors === 0 ? '' : ` ERRORS ${sample.errors}`
  return (
    `cpu ${sample.serverCpu.toFixed(1)} s broker, ${(sample.clientCpu ?? 0).toFixed(1)} s client, ` +
    `of ${(sample.seconds ?? 0).toFixed(1)} s; rss peak ${Math.round(sample.rssPeakMb ?? 0)} MB${errors}`
  )
}

export function format(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

export { dragoman, kafka }
