import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { Simulator } from '../../runtime/simulated/simulator.ts'
import { AmqpDriver, type DriverConsumer } from './driver.ts'
import type { Table } from './table.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const KiB = 1024
const capacityBytes = 12 * 1024 * KiB
const bodyBytes = 8 * KiB

const yes = (name: string) => ({ name, type: 't', value: true }) as const
const wantsToKnow: Table = [{ name: 'capabilities', type: 'F', value: [yes('connection.blocked')] }]

async function drain(consumer: DriverConsumer, count: number, ack: (deliveryTag: number) => void): Promise<void> {
  for (let index = 0; index < count; index++) ack((await consumer.next()).deliveryTag)
}

test(`on a full disk publishers are told and wait, consumers go on, and nothing is lost (SEED=${seed})`, async () => {
  const simulator = new Simulator(seed, { traceLines: 0 })
  const process = simulator.process('broker')
  process.disk.capacityBytes = capacityBytes
  let isDone = false
  const run = async (): Promise<void> => {
    const options = { data: 'data', amqp: 5672, reserveBytes: 2 * 1024 * KiB, flushBytes: 1024 * KiB }
    const broker = await startBroker(options, { runtime: process.start(), journalFileBytes: 512 * KiB })
    const address = { host: 'broker', port: 5672 }
    const { network } = simulator.process('client').start()
    const publisher = await AmqpDriver.connect(network, address, { clientProperties: wantsToKnow })
    const channel = await publisher.channel()
    await channel.declare('q')
    await channel.confirm()
    const confirmed: Promise<boolean>[] = []
    // What has been trimmed may give room again for a moment.
    while (publisher.blocked.at(-1) === undefined) {
      const sent = channel.publish('', 'q', Buffer.alloc(bodyBytes, confirmed.length))
      confirmed.push(sent)
      // What comes first: it is confirmed, or the alarm.
      await Promise.race([sent, new Promise(resolve => setTimeoutIn(simulator, 2000, resolve))])
      assert(confirmed.length < 5000, 'the disk did not become full')
    }
    assert.equal(broker.core.connections.list()[0]?.state, 'blocked')
    const other = await AmqpDriver.connect(network, address)
    const consuming = await other.channel()
    const consumer = await consuming.consume('q')
    await drain(consumer, confirmed.length, tag => consuming.ack(tag))
    assert((await Promise.all(confirmed)).every(Boolean))
    assert.equal(publisher.blocked.at(-1), undefined)
    assert(publisher.blocked.every((reason, index) => reason === (index % 2 === 0 ? 'low on disk' : undefined)))
    assert.equal(await channel.publish('', 'q', 'goes on'), true)
    await broker.close()
  }
  const ended = run().finally(() => (isDone = true))
  ended.catch(() => {})
  await simulator.run(3_600_000, () => isDone)
  assert(isDone, 'it hangs')
  await ended
})

function setTimeoutIn(simulator: Simulator, delayMs: number, run: (value: unknown) => void): void {
  simulator
    .process('timer')
    .start()
    .clock.after(delayMs, () => run(undefined))
}
