import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '@dragoman/wire'
import kafkajs from 'kafkajs'
import { repository, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { Audit } from './audit.ts'
import { Committer } from './committer.ts'
import { Reader } from './reader.ts'
import { KafkajsWriter, LibrdkafkaWriter, type Writer } from './writers.ts'

export interface CampaignOptions {
  rounds: number
  seed: number
  durability: 'fsync' | 'os'
  librdkafka: boolean
  log: (text: string) => void
}

export interface Summary {
  rounds: number
  acknowledged: number
  seen: number
  duplicates: number
  commits: number
  /** The longest start of a broker after a kill. */
  readyMsMax: number
}

const partitionCount = 3
const keyCount = 12

/** A round ends after this time even when the broker acknowledges nothing; that is a failure. */
const progressMsMax = 30_000

/**
 * Kills the broker again and again while producers write, and reads everything after each start.
 *
 * Holds after each round: every acknowledged record is at the offset that its producer was told; no record differs from
 * what a consumer saw before the kill; each key's records are in order and without a gap; an idempotent producer's are
 * there once; a group's committed offset has not gone back.
 */
export async function campaign(options: CampaignOptions): Promise<Summary> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-crash-'))
  try {
    return await new Campaign(options, directory).run()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

interface Load {
  audit: Audit
  writer: Writer
  topic: string
}

class Campaign {
  readonly #options: CampaignOptions
  readonly #directory: string
  readonly #random: Random
  #broker: Dragoman | undefined
  #loads: Load[] = []
  #committer: Committer | undefined
  #readyMsMax = 0

  constructor(options: CampaignOptions, directory: string) {
    this.#options = options
    this.#directory = directory
    this.#random = new Random(options.seed)
  }

  async run(): Promise<Summary> {
    try {
      this.#broker = await this.#start(0)
      await this.#startLoads(this.#broker.address)
      for (let round = 1; round <= this.#options.rounds; round++) this.#broker = await this.#round(round, this.#broker)
      await Promise.all([...this.#loads.map(load => load.writer.stop()), this.#committer?.stop()])
      await this.#check(this.#broker.address, () => 0)
      assert.equal(await this.#broker.process.stop(), 0, 'a stop that was asked for ends with 0')
      this.#verify()
    } finally {
      await this.#broker?.process.kill()
      // Writers that wait for the broker end with the process; after success they have ended.
    }
    const sum = (pick: (audit: Audit) => number): number =>
      this.#loads.reduce((total, load) => total + pick(load.audit), 0)
    return {
      rounds: this.#options.rounds,
      acknowledged: sum(audit => audit.acknowledged),
      seen: sum(audit => audit.seen),
      duplicates: sum(audit => audit.duplicates),
      commits: this.#committer?.acknowledged ?? 0,
      readyMsMax: Math.round(this.#readyMsMax),
    }
  }

  async #start(port: number, signal?: AbortSignal): Promise<Dragoman> {
    const data = join(this.#directory, 'data')
    const { durability } = this.#options
    const broker = await startDragoman({ data, durability, port, ...(signal === undefined ? {} : { signal }) })
    this.#readyMsMax = Math.max(this.#readyMsMax, broker.process.readyMs)
    return broker
  }

  async #startLoads(address: string): Promise<void> {
    const kinds = [
      'kafkajs',
      'kafkajs-idempotent',
      ...(this.#options.librdkafka ? ['librdkafka', 'librdkafka-idempotent'] : []),
    ]
    const admin = new kafkajs.Kafka({ brokers: [address], logLevel: kafkajs.logLevel.NOTHING }).admin()
    await admin.connect()
    await admin.createTopics({ topics: kinds.map(topic => ({ topic, numPartitions: partitionCount })) })
    await admin.disconnect()
    this.#loads = kinds.map(topic => {
      const idempotent = topic.endsWith('idempotent')
      const audit = new Audit(topic, partitionCount, idempotent)
      const options = { address, topic, audit, partitionCount, keyCount, idempotent }
      const log = join(this.#directory, `${topic}.log`)
      const writer = topic.startsWith('kafkajs') ? new KafkajsWriter(options) : new LibrdkafkaWriter(options, log)
      return { audit, writer, topic }
    })
    this.#committer = new Committer(address, 'kafkajs')
  }

  async #round(round: number, old: Dragoman): Promise<Dragoman> {
    const ends = new Map(this.#loads.map(load => [load.topic, this.#ends(load.audit)]))
    const readers = this.#loads.map(load => new Reader(old.address, load.topic, load.audit))
    await this.#progress()
    // A consumer at the tail sees what it sees; the same must be there after the kill.
    await Promise.all(readers.map((reader, index) => reader.readFrom(this.#ends(this.#loads[index]!.audit))))
    await sleep(this.#random.below(400))
    await old.process.kill()
    await Promise.all(readers.map(reader => reader.close()))
    if (this.#random.below(5) === 0) await this.#dieWhileStarting(old.port)
    const broker = await this.#start(old.port)
    this.#broker = broker
    await this.#check(broker.address, (topic, partition) => ends.get(topic)?.[partition] ?? 0)
    const counts = this.#loads.map(({ audit }) => `${audit.name} ${audit.acknowledged}/${audit.seen}`).join(', ')
    const state = `ready in ${Math.round(broker.process.readyMs)} ms, ${Math.round(broker.process.usage().rssMb)} MB`
    this.#options.log(`round ${round}: acknowledged/seen ${counts}; ${state}`)
    return broker
  }

  #ends(audit: Audit): number[] {
    return Array.from({ length: partitionCount }, (_, partition) => audit.end(partition))
  }

  /** Waits until each writer has had new acknowledgements: a broker that starts but serves nobody fails here. */
  async #progress(): Promise<void> {
    const before = this.#loads.map(load => load.audit.acknowledged)
    const until = performance.now() + progressMsMax
    for (;;) {
      for (const load of this.#loads) load.writer.collect()
      const waiting = this.#loads.filter((load, index) => load.audit.acknowledged === before[index])
      if (waiting.length === 0) return
      assert.ok(performance.now() < until, `no acknowledgement for ${waiting.map(load => load.topic).join(', ')}`)
      await sleep(20)
    }
  }

  /** Recovery is interrupted too. */
  async #dieWhileStarting(port: number): Promise<void> {
    const abort = new AbortController()
    const starting = this.#start(port, abort.signal).catch((): undefined => undefined)
    await sleep(this.#random.below(150))
    abort.abort()
    await (await starting)?.process.kill()
  }

  async #check(address: string, start: (topic: string, partition: number) => number): Promise<void> {
    for (const { audit, writer, topic } of this.#loads) {
      // First what was acknowledged, then where the log ends: everything in the first lies before the second.
      writer.collect()
      const acknowledged = audit.pending
      const reader = new Reader(address, topic, audit)
      await reader.readFrom(Array.from({ length: partitionCount }, (_, partition) => start(topic, partition)))
      await reader.close()
      audit.settle(acknowledged)
    }
    await this.#committer?.check()
  }

  #verify(): void {
    const main = join(repository, 'packages', 'cli', 'src', 'dragoman.js')
    const verified = spawnSync(process.execPath, [main, 'verify', join(this.#directory, 'data')], { encoding: 'utf8' })
    assert.equal(verified.status, 0, `dragoman verify: ${verified.stdout}${verified.stderr}`)
  }
}
