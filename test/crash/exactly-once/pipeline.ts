import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '@dragoman/wire'
import type { KafkaConnection } from '../../../packages/broker/src/protocols/kafka/client.ts'
import { apis } from '../../../packages/broker/src/protocols/kafka/messages/index.ts'
import { startDragoman, type Dragoman } from '../../support/dragoman.ts'
import { batchOf, connect, readCommitted } from './records.ts'

export const workerKinds = ['kafkajs', 'modern'] as const
export type WorkerKind = (typeof workerKinds)[number]

export interface PipelineOptions {
  worker: WorkerKind
  /** Of the broker, and as many of the worker. */
  kills: number
  seed: number
  log: (text: string) => void
}

export interface PipelineSummary {
  worker: WorkerKind
  records: number
  brokerKills: number
  workerKills: number
  /** Workers that were stopped, replaced, and then went on as if nothing had happened. */
  zombies: number
  /** Workers that gave up by themselves and were started anew. */
  restarts: number
}

const partitionCount = 2
const recordsPerRound = 30
const recordsPerTransaction = 5
const input = 'input'
const output = 'output'
const name = 'pipeline'
/** A round that commits nothing for so long is a failure. */
const progressMsMax = 60_000

/**
 * A worker takes numbers from one topic and writes them into another, with its offsets in the same transaction, while the broker
 * and the worker are killed again and again, and workers that were believed dead come back.
 *
 * Holds at the end: the output is the input, every number once, and those of one partition in their order.
 */
export async function pipeline(options: PipelineOptions): Promise<PipelineSummary> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-pipeline-'))
  const run = new Pipeline(options, directory)
  try {
    return await run.run()
  } finally {
    await run.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

class Pipeline {
  readonly #options: PipelineOptions
  readonly #directory: string
  readonly #random: Random
  readonly #summary: PipelineSummary
  readonly #workers = new Set<Worker>()
  #worker: Worker | undefined
  #broker: Dragoman | undefined
  #committed = 0
  #stopping = false

  constructor(options: PipelineOptions, directory: string) {
    this.#options = options
    this.#directory = directory
    this.#random = new Random(options.seed)
    const none = { records: 0, brokerKills: 0, workerKills: 0, zombies: 0, restarts: 0 }
    this.#summary = { worker: options.worker, ...none }
  }

  async run(): Promise<PipelineSummary> {
    await this.#startBroker(0)
    await this.#createTopics()
    this.#startWorker()
    for (let round = 1; round <= this.#options.kills; round++) {
      await this.#feed(recordsPerRound)
      await this.#progress()
      const order = this.#random.chance(0.5) ? ['broker', 'worker'] : ['worker', 'broker']
      for (const victim of order) {
        await sleep(this.#random.below(150))
        if (victim === 'broker') await this.#killBroker()
        else await this.#replaceWorker()
      }
      this.#options.log(`round ${round}: ${this.#summary.records} in, about ${this.#committed} committed`)
    }
    await this.#drained()
    return this.#summary
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const worker of this.#workers) worker.kill()
    await this.#broker?.process.kill()
  }

  async #startBroker(port: number): Promise<void> {
    const args = ['--group-session-timeout-min', '100ms', '--group-join-delay', '0ms']
    this.#broker = await startDragoman({ data: join(this.#directory, 'data'), port, args })
  }

  get #address(): string {
    assert(this.#broker)
    return this.#broker.address
  }

  async #killBroker(): Promise<void> {
    assert(this.#broker)
    const { port, process } = this.#broker
    await process.kill()
    await this.#startBroker(port)
    this.#summary.brokerKills++
  }

  #startWorker(): void {
    const args = [this.#address, input, output, name, String(recordsPerTransaction)]
    const program = join(import.meta.dirname, `worker-${this.#options.worker}.ts`)
    const worker = new Worker(program, args, count => (this.#committed += count))
    this.#workers.add(worker)
    this.#worker = worker
    void worker.exited.then(() => {
      this.#workers.delete(worker)
      if (this.#stopping || this.#worker !== worker) return
      this.#summary.restarts++
      this.#startWorker()
    })
  }

  /** Kills it; or stops it, lets another take its place, and wakes it up again: it must then find that it is not wanted. */
  async #replaceWorker(): Promise<void> {
    const former = this.#worker
    assert(former)
    const becomesZombie = this.#summary.workerKills % 4 === 1
    if (becomesZombie) former.suspend()
    else former.kill()
    this.#startWorker()
    this.#summary.workerKills++
    if (!becomesZombie) return
    await this.#progress()
    former.wake()
    const end = setTimeout(() => former.kill(), 3_000)
    await former.exited
    clearTimeout(end)
    this.#summary.zombies++
  }

  async #createTopics(): Promise<void> {
    const connection = await connect(this.#address)
    const topics = [input, output].map(topic => ({
      ...{ name: topic, numPartitions: partitionCount, replicationFactor: 1 },
    }))
    const answer = await connection.request(apis.createTopics, { topics, timeoutMs: 10_000 })
    assert.deepEqual(
      [0, 0],
      answer.topics.map(({ errorCode }) => errorCode),
    )
    connection.close()
  }

  /** Nobody kills the broker meanwhile, so that it is certain what went in. */
  async #feed(count: number): Promise<void> {
    const connection = await connect(this.#address)
    for (let index = 0; index < partitionCount; index++) {
      const numbers = Array.from({ length: count }, (_, at) => this.#summary.records + at)
      const records = batchOf(numbers.filter(number => number % partitionCount === index))
      const topicData = [{ name: input, partitionData: [{ index, records }] }]
      const { responses } = await connection.request(apis.produce, { acks: -1, timeoutMs: 10_000, topicData }, 9)
      assert.equal(responses[0]?.partitionResponses[0]?.errorCode, 0)
    }
    this.#summary.records += count
    connection.close()
  }

  async #progress(): Promise<void> {
    const before = this.#committed
    const until = performance.now() + progressMsMax
    while (this.#committed === before) {
      // What was committed last may not have been told: then there is nothing left to do.
      if (performance.now() > until - progressMsMax + 500 && (await this.#isDrained())) return
      assert(performance.now() < until, `nothing was committed in ${progressMsMax} ms\n${this.#broker?.process.tail()}`)
      await sleep(10)
    }
  }

  async #drained(): Promise<void> {
    const until = performance.now() + progressMsMax
    while (!(await this.#isDrained())) {
      assert(performance.now() < until, `the output is short: ${(await this.#outputs()).length}`)
      await sleep(100)
    }
    this.#stopping = true
    for (const worker of this.#workers) worker.kill()
    const numbers = await this.#outputs()
    const { records } = this.#summary
    const whole = Array.from({ length: records }, (_, number) => number)
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      whole,
      'every number is there once',
    )
    for (let index = 0; index < partitionCount; index++) {
      const own = numbers.filter(number => number % partitionCount === index)
      assert.deepEqual(
        own,
        own.toSorted((a, b) => a - b),
        'in their order',
      )
    }
  }

  async #isDrained(): Promise<boolean> {
    return (await this.#outputs()).length >= this.#summary.records
  }

  async #outputs(): Promise<number[]> {
    const connection = await connect(this.#address)
    const numbers: number[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      numbers.push(...(await committedIn(connection, partition)))
    }
    connection.close()
    assert.equal(new Set(numbers).size, numbers.length, 'a number is there twice')
    return numbers
  }
}

async function committedIn(connection: KafkaConnection, partition: number): Promise<number[]> {
  const numbers: number[] = []
  for (let offset = 0; ;) {
    const { records, next } = await readCommitted(connection, output, partition, offset, { maxBytes: 1_000_000 })
    numbers.push(...records.map(({ number }) => number))
    if (next === offset) return numbers
    offset = next
  }
}

/** A process that prints `committed COUNT` for each transaction. */
class Worker {
  readonly exited: Promise<unknown>
  readonly #child: ChildProcess

  constructor(program: string, args: string[], committed: (count: number) => void) {
    this.#child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    this.exited = once(this.#child, 'exit')
    if (this.#child.stdout === null) return
    createInterface({ input: this.#child.stdout }).on('line', line => {
      const [word, count] = line.split(' ')
      if (word === 'committed') committed(Number(count))
    })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  suspend(): void {
    this.#child.kill('SIGSTOP')
  }

  wake(): void {
    this.#child.kill('SIGCONT')
  }
}
