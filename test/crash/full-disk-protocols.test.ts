import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MqttDriver, type DriverOptions } from '../../packages/broker/src/protocols/mqtt/driver.ts'
import { versions } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { reasons } from '../../packages/broker/src/protocols/mqtt/reasons.ts'
import { RespDriver } from '../../packages/broker/src/protocols/resp/driver.ts'
import { StompDriver } from '../../packages/broker/src/protocols/stomp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type DragomanOptions } from '../support/dragoman.ts'
import { fillDisk, mountDisk, unmountDisk } from '../support/small-disk.ts'

const megabytes = 400
/** For a while, so much less is there. */
const ballastMegabytes = 200
const reserve = '160MiB'
const bodyBytes = 200_000
const takenWhileFull = 10
/** One that finds the disk full may make room for the next: it is full when so many are refused one after the other. */
const refusedWhenFull = 10
const { network } = realRuntime()

const body = (number: number): Buffer => Buffer.alloc(bodyBytes, `${number},`)
const numberOf = (bytes: Buffer): number => {
  const number = Number(bytes.subarray(0, bytes.indexOf(',')).toString())
  assert(bytes.equals(body(number)))
  return number
}

/** One client that sends, and what takes messages. */
interface Clients {
  prepare(): Promise<void>
  /** False: it was refused, in words that tell of room. */
  send(number: number): Promise<boolean>
  /** So many messages in their order; fewer when none comes for a while. */
  take(most: number, patienceMs?: number): Promise<number[]>
}

class MqttClients implements Clients {
  readonly #port: () => number
  #publisher: MqttDriver | undefined

  constructor(port: () => number) {
    this.#port = port
  }

  async prepare(): Promise<void> {
    const subscriber = await this.#connect(lasting)
    await subscriber.subscribe('full', 1)
    subscriber.disconnect()
    await subscriber.over()
  }

  async send(number: number): Promise<boolean> {
    const is5 = number % 2 === 0
    const publisher = is5
      ? await this.#publishing()
      : await this.#connect({ clientId: 'old', version: versions.mqtt311 })
    const reason = await publisher.publish('full', body(number), { qos: 1 }).catch((error: unknown) => String(error))
    if (!is5) publisher.destroy()
    if (reason === 0) return true
    // Before 5.0 there are no words for it: the connection ends, and nothing is acknowledged.
    if (is5) assert.equal(reason, reasons.quotaExceeded)
    else assert.match(String(reason), /the connection is over/)
    return false
  }

  async take(most: number, patienceMs = 30_000): Promise<number[]> {
    const subscriber = await this.#connect(lasting)
    const found: number[] = []
    while (found.length < most) {
      const message = await Promise.race([subscriber.message(), sleep(patienceMs)])
      if (!message) break
      found.push(numberOf(message.payload))
    }
    subscriber.disconnect()
    await subscriber.over()
    return found
  }

  async #publishing(): Promise<MqttDriver> {
    if (!this.#publisher || this.#publisher.isOver) this.#publisher = await this.#connect({ clientId: 'publisher' })
    return this.#publisher
  }

  #connect(options: DriverOptions): Promise<MqttDriver> {
    return MqttDriver.connect(network, { host: '127.0.0.1', port: this.#port() }, options)
  }
}

const lasting: DriverOptions = {
  clientId: 'subscriber',
  cleanStart: false,
  // As many as are taken while the disk is full: what is given out and not acknowledged comes again out of order.
  properties: { sessionExpiry: 3600, receiveMaximum: 1 },
}

class StompClients implements Clients {
  readonly #port: () => number
  #sender: StompDriver | undefined

  constructor(port: () => number) {
    this.#port = port
  }

  async prepare(): Promise<void> {}

  async send(number: number): Promise<boolean> {
    const sender = (this.#sender ??= await this.#connect())
    try {
      await sender.ask('SEND', { destination: '/queue/full' }, body(number))
      return true
    } catch (error) {
      this.#sender = undefined
      assert.match(String(error), /disk|room/)
      return false
    }
  }

  async take(most: number, patienceMs = 30_000): Promise<number[]> {
    const driver = await this.#connect()
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/queue/full', ack: 'client', 'prefetch-count': '1' })
    const found: number[] = []
    while (found.length < most) {
      const message = await Promise.race([driver.message('1'), sleep(patienceMs)])
      if (!message) break
      found.push(numberOf(message.body))
      await driver.ask('ACK', { id: message.headers['ack'] ?? '' })
    }
    driver.close()
    return found
  }

  #connect(): Promise<StompDriver> {
    return StompDriver.connect(network, { host: '127.0.0.1', port: this.#port() })
  }
}

class RespClients implements Clients {
  readonly #port: () => number

  constructor(port: () => number) {
    this.#port = port
  }

  async prepare(): Promise<void> {}

  async send(number: number): Promise<boolean> {
    const driver = await this.#connect()
    const answer = await driver.ask('RPUSH', 'full', body(number))
    driver.close()
    if (!(answer instanceof Error)) return true
    assert.match(answer.message, /^MISCONF /)
    return false
  }

  async take(most: number): Promise<number[]> {
    const driver = await this.#connect()
    const found: number[] = []
    while (found.length < most) {
      const answer = await driver.ask('LPOP', 'full')
      if (!Buffer.isBuffer(answer)) break
      found.push(numberOf(answer))
    }
    driver.close()
    return found
  }

  #connect(): Promise<RespDriver> {
    return RespDriver.connect(network, { host: '127.0.0.1', port: this.#port() })
  }
}

const protocols = { mqtt: MqttClients, stomp: StompClients, resp: RespClients } as const

for (const [name, Made] of Object.entries(protocols)) {
  const protocol = name as keyof typeof protocols
  const path = dragomanIsThere ? mountDisk(megabytes) : undefined
  const skip = path === undefined ? 'needs root to mount a small file system' : false
  test(
    `${name}: a full disk refuses what is sent, serves who takes, and goes on when there is room`,
    { skip, timeout: 240_000 },
    async t => {
      const disk = path ?? ''
      const ballast = join(disk, 'ballast')
      t.after(() => unmountDisk(disk))
      fillDisk(ballast, (megabytes - ballastMegabytes) * 1024 * 1024)
      const options = { data: join(disk, 'data'), protocol, args: ['--reserve-bytes', reserve] }
      let broker = await startDragoman(options)
      t.after(() => broker.process.kill())
      const clients = new Made(() => broker.port)
      await clients.prepare()
      const confirmed: number[] = []
      let number = 0
      for (let refused = 0; refused < refusedWhenFull; number++) {
        const isTaken = await clients.send(number)
        refused = isTaken ? 0 : refused + 1
        if (isTaken) confirmed.push(number)
        assert(number < 10_000, 'the disk is full, yet everything was taken')
      }
      assert(confirmed.length > takenWhileFull)
      const taken = await clients.take(takenWhileFull)
      assert.deepEqual(taken, confirmed.slice(0, takenWhileFull))
      rmSync(ballast)
      for (let isTaken = false; !isTaken; number++) {
        isTaken = await clients.send(number)
        if (isTaken) confirmed.push(number)
        assert(broker.process.running, broker.process.tail())
      }
      await broker.process.kill()
      broker = await startDragoman(options)
      assert.deepEqual([...taken, ...(await clients.take(confirmed.length - taken.length))], confirmed)
      assert.deepEqual(await clients.take(1, 500), [])
      assert.equal(await broker.process.stop(), 0)
    },
  )
}

const will = { topic: 'w/lost', payload: Buffer.from('lost'), qos: 1, isRetained: true, properties: {} }

const willDisk = dragomanIsThere ? mountDisk(megabytes) : undefined
test(
  'mqtt: a will of a full disk reaches nobody before there is room, and everybody then, also when the broker is killed in between',
  { skip: willDisk === undefined ? 'needs root to mount a small file system' : false, timeout: 240_000 },
  async t => {
    const disk = willDisk ?? ''
    const ballast = join(disk, 'ballast')
    t.after(() => unmountDisk(disk))
    fillDisk(ballast, (megabytes - ballastMegabytes) * 1024 * 1024)
    const options: DragomanOptions = { data: join(disk, 'data'), protocol: 'mqtt', args: ['--reserve-bytes', reserve] }
    let broker = await startDragoman(options)
    t.after(() => broker.process.kill())
    const clients = new MqttClients(() => broker.port)
    const dial = (of: DriverOptions) => MqttDriver.connect(network, { host: '127.0.0.1', port: broker.port }, of)
    const heir: DriverOptions = { clientId: 'heir', cleanStart: false, properties: { sessionExpiry: 3600 } }
    const absent = await dial(heir)
    await absent.subscribe('w/#', 1)
    absent.disconnect()
    await absent.over()
    const live = await dial({ clientId: 'live' })
    await live.subscribe('w/#', 1)
    await clients.prepare()
    for (let refused = 0, number = 0; refused < refusedWhenFull; number++)
      refused = (await clients.send(number)) ? 0 : refused + 1
    ;(await dial({ clientId: 'lost', will })).destroy()
    // What is decided of the will is durable when what came later is.
    const again = await dial({ clientId: 'lost', cleanStart: false, properties: { sessionExpiry: 3600 } })
    assert.equal(again.connack.reason, 0)
    assert.equal(live.waitingMessages, 0)
    await broker.process.kill()
    rmSync(ballast)
    broker = await startDragoman(options)
    const late = await dial(heir)
    const { topic, isRetained } = await late.message()
    assert.deepEqual([topic, isRetained], ['w/lost', false])
    const fresh = await dial({ clientId: 'fresh' })
    await fresh.subscribe('w/#', 1)
    assert.deepEqual((await fresh.message()).isRetained, true)
    await fresh.publish('w/last', '', { qos: 1 })
    assert.equal((await late.message()).topic, 'w/last')
    assert.equal(await broker.process.stop(), 0)
  },
)
