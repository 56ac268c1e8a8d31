import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import kafkajs from 'kafkajs'
import { toolPath } from '../../bench/harness/tools.ts'
import type { Audit } from './audit.ts'
import { write } from './record.ts'

export interface Writer {
  /** Sends what it still has, gives up what cannot be sent, and returns when no more acknowledgement can come. */
  stop(): Promise<void>
  /** Tells the audit of each acknowledgement so far. */
  collect(): void
}

export interface WriterOptions {
  address: string
  topic: string
  audit: Audit
  partitionCount: number
  keyCount: number
  idempotent: boolean
}

const batchRecordsMax = 40
const paddingMax = 700

/**
 * One kafkajs producer, one request in flight for each partition. It never gives a request up, because a producer that
 * does so has to say whether its next batch follows a lost one; that is the client's matter and not what is tested.
 */
export class KafkajsWriter implements Writer {
  readonly #options: WriterOptions
  readonly #producer: kafkajs.Producer
  readonly #loops: Promise<void>[]
  #stopping = false

  constructor(options: WriterOptions) {
    this.#options = options
    const kafka = new kafkajs.Kafka({
      brokers: [options.address],
      logLevel: kafkajs.logLevel.NOTHING,
      connectionTimeout: 500,
      requestTimeout: 3_000,
      retry: { retries: 1_000_000, initialRetryTime: 20, maxRetryTime: 100 },
    })
    this.#producer = kafka.producer({ idempotent: options.idempotent, maxInFlightRequests: 1 })
    this.#loops = Array.from({ length: options.partitionCount }, (_, partition) => this.#write(partition))
  }

  async #write(partition: number): Promise<void> {
    const { topic, audit, partitionCount, keyCount } = this.#options
    const keys = Array.from({ length: keyCount }, (_, index) => index).filter(key => key % partitionCount === partition)
    await this.#producer.connect()
    for (let round = 0, number = 0; !this.#stopping; round++) {
      const size = 1 + ((round * 7) % batchRecordsMax)
      const stamps = Array.from({ length: size }, (_, index) => {
        const key = `${audit.name}-${keys[index % keys.length]}`
        return { writer: audit.name, key, number: number + Math.floor(index / keys.length) }
      })
      number += Math.ceil(size / keys.length)
      // Each key's numbers are dense: the batch ends with the last key.
      while (stamps.length % keys.length !== 0) {
        const index = stamps.length
        const key = `${audit.name}-${keys[index % keys.length]}`
        stamps.push({ writer: audit.name, key, number: number - 1 })
      }
      const messages = stamps.map(stamp => ({
        key: stamp.key,
        partition,
        value: write(stamp, (stamp.number * 13) % paddingMax),
      }))
      const [result] = await this.#producer.send({ topic, messages, acks: -1 })
      const first = Number(result?.baseOffset ?? -1)
      for (const [index, stamp] of stamps.entries()) {
        audit.acknowledge({ key: stamp.key, number: stamp.number, partition, offset: first < 0 ? -1 : first + index })
      }
    }
  }

  collect(): void {
    // Acknowledgements are told as they come.
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#loops)
    await this.#producer.disconnect()
  }
}

/** librdkafka in a process of its own, with many requests in flight when it is idempotent. */
export class LibrdkafkaWriter implements Writer {
  readonly #child: ChildProcess
  readonly #log: string
  readonly #audit: Audit
  readonly #exited: Promise<unknown>
  #read = 0
  #rest = ''

  constructor(options: WriterOptions, log: string) {
    this.#audit = options.audit
    this.#log = log
    writeFileSync(log, '')
    const words = [
      'ledger',
      '--brokers',
      options.address,
      '--topic',
      options.topic,
      '--writer',
      options.audit.name,
      '--log',
      log,
    ]
    const sizes = [
      '--partitions',
      options.partitionCount,
      '--keys',
      options.keyCount,
      '--size',
      paddingMax,
      '--rate',
      4000,
    ]
    const mode = ['--idempotence', options.idempotent ? 1 : 0, '--linger', options.idempotent ? 2 : 5]
    this.#child = spawn(toolPath('kafka-load'), [...words, ...sizes, ...mode].map(String), {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#exited = new Promise(resolve => this.#child.on('close', resolve))
  }

  collect(): void {
    const file = openSync(this.#log, 'r')
    const chunk = Buffer.alloc(1 << 20)
    for (let size = readSync(file, chunk, 0, chunk.length, this.#read); size > 0;) {
      this.#read += size
      const lines = (this.#rest + chunk.toString('latin1', 0, size)).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) {
        const [key = '', number, partition, offset] = line.split(' ')
        this.#audit.acknowledge({ key, number: Number(number), partition: Number(partition), offset: Number(offset) })
      }
      size = readSync(file, chunk, 0, chunk.length, this.#read)
    }
    closeSync(file)
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exited
    this.collect()
  }
}
