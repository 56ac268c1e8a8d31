import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AmqpDriver, type DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman } from '../support/dragoman.ts'
import { fillDisk, mountDisk, unmountDisk } from '../support/small-disk.ts'

const megabytes = 400
/** For a while, so much less is there. */
const ballastMegabytes = 200
/** What was taken before the disk was found full, and is written to it twice, fits into it. */
const reserve = '160MiB'
const bodyBytes = 50_000
const window = 100
const { network } = realRuntime()

const connect = (port: number): Promise<AmqpDriver> => AmqpDriver.connect(network, { host: '127.0.0.1', port })
const body = (number: number): Buffer => Buffer.alloc(bodyBytes, `${number},`)
const numberOf = (bytes: Buffer): number => Number(bytes.subarray(0, bytes.indexOf(',')).toString())

/** Publishes until the broker takes no more; what is confirmed goes into `confirmed`, also later. Returns those that wait. */
async function publishUntilBlocked(driver: AmqpDriver, channel: DriverChannel, confirmed: Set<number>) {
  const sent: Promise<void>[] = []
  for (let number = 0; driver.blocked.at(-1) === undefined; number++) {
    assert(number < 10_000, 'the disk is full, yet everything was taken')
    const publish = channel.publish('', 'full', body(number), { deliveryMode: 2 })
    sent.push(
      publish.then(isTaken => {
        // One that finds the disk full while it is taken is refused, and its publisher knows.
        if (isTaken) confirmed.add(number)
      }),
    )
    while (sent.length - confirmed.size > window && driver.blocked.at(-1) === undefined) await sleep(1)
  }
  return sent
}

async function takeAll(port: number, most = Infinity): Promise<number[]> {
  const driver = await connect(port)
  const channel = await driver.channel()
  const found: number[] = []
  for (let message; found.length < most && (message = await channel.get('full')) !== undefined;) {
    const number = numberOf(message.body)
    assert(message.body.equals(body(number)))
    found.push(number)
    channel.ack(message.deliveryTag)
  }
  await channel.declare('full', { passive: true })
  await driver.close()
  return found
}

const path = dragomanIsThere ? mountDisk(megabytes) : undefined
const skip = path === undefined ? 'needs root to mount a small file system' : false

test(
  'a full disk blocks who publishes, serves who consumes, and goes on when there is room',
  { skip, timeout: 240_000 },
  async t => {
    const disk = path ?? ''
    const ballast = join(disk, 'ballast')
    t.after(() => unmountDisk(disk))
    fillDisk(ballast, (megabytes - ballastMegabytes) * 1024 * 1024)
    const options = { data: join(disk, 'data'), protocol: 'amqp' as const, args: ['--reserve-bytes', reserve] }
    let broker = await startDragoman(options)
    t.after(() => broker.process.kill())
    const driver = await connect(broker.port)
    const channel = await driver.channel()
    await channel.declare('full')
    await channel.confirm()
    const confirmed = new Set<number>()
    const sent = await publishUntilBlocked(driver, channel, confirmed)
    assert(confirmed.size > 0)
    const taken = await takeAll(broker.port, 20)
    assert.equal(taken.length, 20)
    rmSync(ballast)
    // All that was sent while it was blocked is taken now.
    await Promise.all(sent)
    assert.equal(driver.blocked.at(-1), undefined)
    assert(confirmed.size > sent.length - 50, `${sent.length - confirmed.size} of ${sent.length} were refused`)
    await broker.process.kill()
    broker = await startDragoman(options)
    const rest = await takeAll(broker.port)
    assert.deepEqual(
      [...taken, ...rest],
      [...confirmed].toSorted((a, b) => a - b),
    )
    assert.equal(await broker.process.stop(), 0)
  },
)
