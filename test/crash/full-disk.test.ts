import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import kafkajs from 'kafkajs'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { fillDisk, mountDisk, unmountDisk } from '../support/small-disk.ts'
import { Audit } from './audit.ts'
import { Reader } from './reader.ts'
import { write } from './record.ts'

const recordBytes = 2_000
const recordsPerBatch = 50

class Producer {
  readonly audit = new Audit('full', 1, false)
  readonly #producer: kafkajs.Producer
  #number = 0

  constructor(address: string) {
    const retry = { retries: 1, initialRetryTime: 20 }
    const kafka = new kafkajs.Kafka({
      brokers: [address],
      logLevel: kafkajs.logLevel.NOTHING,
      requestTimeout: 2_000,
      retry,
    })
    this.#producer = kafka.producer()
  }

  async send(): Promise<void> {
    await this.#producer.connect()
    const stamps = Array.from({ length: recordsPerBatch }, (_, index) => ({
      writer: 'full',
      key: 'k',
      number: this.#number + index,
    }))
    const messages = stamps.map(stamp => ({ key: stamp.key, value: write(stamp, recordBytes) }))
    const [result] = await this.#producer.send({ topic: 'full', messages, timeout: 1_000 })
    this.#number += recordsPerBatch
    const first = Number(result?.baseOffset)
    for (const [index, { key, number }] of stamps.entries()) {
      this.audit.acknowledge({ key, number, partition: 0, offset: first + index })
    }
  }

  /** Sends until one is refused; at most `count` batches. */
  async sendUntilRefused(count: number): Promise<unknown> {
    for (let batch = 0; batch < count; batch++) {
      try {
        await this.send()
      } catch (error) {
        return error
      }
    }
    return undefined
  }

  close(): Promise<void> {
    return this.#producer.disconnect()
  }
}

/** Everything that was acknowledged is read, wherever the log ends. */
async function readAll(broker: Dragoman, audit: Audit): Promise<void> {
  const acknowledged = audit.pending
  const reader = new Reader(broker.address, 'full', audit)
  await reader.readFrom([0])
  await reader.close()
  audit.settle(acknowledged)
}

const ways = [
  { name: 'by its own records', reserve: '32MiB', megabytes: 192, suddenly: false },
  { name: 'by another program, all at once', reserve: '4MiB', megabytes: 256, suddenly: true },
]

for (const { name, reserve, megabytes, suddenly } of ways) {
  const directory = dragomanIsThere ? mountDisk(megabytes) : undefined
  const skip = directory === undefined ? 'needs root to mount a small file system' : false
  test(`a disk that was filled ${name} refuses writes, serves reads and heals`, { skip }, async t => {
    const path = directory ?? ''
    const data = join(path, 'data')
    const ballast = join(path, 'ballast')
    t.after(() => unmountDisk(path))
    fillDisk(ballast, (megabytes - 16) * 1024 * 1024) // Something to free later.
    const args = ['--reserve-bytes', reserve]
    let broker = await startDragoman({ data, args })
    t.after(() => broker.process.kill())
    const producer = new Producer(broker.address)
    await producer.send()
    if (suddenly) fillDisk(ballast, 256 * 1024)
    const first = await producer.sendUntilRefused(5_000)
    assert.ok(first instanceof Error, 'the disk is full, yet everything was taken')
    assert.ok(isRetriable(first), `the refusal is not one that a producer repeats: ${String(first)}`)
    assert.ok(broker.process.running, broker.process.tail())
    await readAll(broker, producer.audit)
    rmSync(ballast)
    // The broker looks for space again by and by; a producer that repeats is served then.
    while ((await producer.sendUntilRefused(1)) !== undefined) assert.ok(broker.process.running, broker.process.tail())
    await readAll(broker, producer.audit)
    await broker.process.kill()
    broker = await startDragoman({ data, args })
    await readAll(broker, producer.audit)
    await producer.close()
    assert.equal(await broker.process.stop(), 0)
  })
}

function isRetriable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { retriable, type, cause } = error as Error & { retriable?: boolean; type?: string }
  return (retriable === true && type !== undefined) || isRetriable(cause)
}
