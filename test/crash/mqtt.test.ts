import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { MqttDriver, type DriverOptions } from '../../packages/broker/src/protocols/mqtt/driver.ts'
import { encodeAck } from '../../packages/broker/src/protocols/mqtt/incoming.ts'
import { types } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'

const { network } = realRuntime()
const rounds = 4
/** What is sent at least before each kill. */
const sentPerRound = 50
const lasting: DriverOptions = {
  cleanStart: false,
  acknowledges: false,
  properties: { sessionExpiry: 3600, receiveMaximum: 50 },
}

/** A client that sends one message after the other, exactly once, whatever becomes of the broker. */
class Publisher {
  readonly #name: string
  readonly sent: string[] = []
  #number = 0
  #isTaken = false

  constructor(name: string) {
    this.#name = name
  }

  async untilGone(port: number): Promise<void> {
    const driver = await open(port, this.#name)
    for (let isAgain = true; ; isAgain = false) {
      const packetId = 1 + (this.#number % 7)
      const body = `${this.#name}-${this.#number}`
      if (!this.#isTaken) {
        driver.send(driver.publishBytes('work', body, { qos: 2, packetId, isDuplicate: isAgain }))
        await driver.ack(types.pubrec, packetId)
        this.#isTaken = true
      }
      driver.send(encodeAck(types.pubrel, packetId, 0))
      await driver.ack(types.pubcomp, packetId)
      this.sent.push(body)
      this.#number++
      this.#isTaken = false
    }
  }

  /** The message whose hand-shake was interrupted may be there. */
  get interrupted(): string {
    return `${this.#name}-${this.#number}`
  }
}

/** A client that takes messages exactly once: what it has under an identifier, it does not take again before that is released. */
class Subscriber {
  readonly taken: string[] = []
  readonly #held = new Set<number>()

  /** Before anything is published. */
  async subscribe(port: number): Promise<void> {
    const driver = await open(port, 'subscriber')
    await driver.subscribe('work', 2)
    driver.disconnect()
    await driver.over()
  }

  async untilGone(port: number): Promise<void> {
    const driver = await open(port, 'subscriber')
    await Promise.all([this.#take(driver), this.#release(driver)])
  }

  async #take(driver: MqttDriver): Promise<void> {
    for (;;) {
      const { packetId, payload } = await driver.message()
      if (!this.#held.has(packetId)) this.taken.push(payload.toString())
      this.#held.add(packetId)
      driver.send(encodeAck(types.pubrec, packetId, 0))
    }
  }

  async #release(driver: MqttDriver): Promise<void> {
    for (;;) {
      const { packetId } = (await driver.expect(types.pubrel)) as { packetId: number }
      this.#held.delete(packetId)
      driver.send(encodeAck(types.pubcomp, packetId, 0))
    }
  }
}

/** The test's own limit ends it otherwise. */
async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await new Promise(resolve => setTimeout(resolve, 10))
}

/** A busy machine takes its time. */
const start = (data: string): Promise<Dragoman> => startDragoman({ data, protocol: 'mqtt', timeoutMs: 200_000 })

const open = (port: number, clientId: string): Promise<MqttDriver> =>
  MqttDriver.connect(network, { host: '127.0.0.1', port }, { ...lasting, clientId })

test(
  'kill -9 under load: each message of quality 2 arrives exactly once',
  { skip: !dragomanIsThere, timeout: 600_000 },
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-mqtt-'))
    const publishers = ['a', 'b', 'c'].map(name => new Publisher(name))
    const subscriber = new Subscriber()
    const clients = [subscriber, ...publishers]
    const sentCount = (): number => publishers.reduce((sum, { sent }) => sum + sent.length, 0)
    for (let round = 0; round < rounds; round++) {
      const { process: server, port } = await start(data)
      if (round === 0) await subscriber.subscribe(port)
      const load = clients.map(client => client.untilGone(port).catch(() => {}))
      await until(() => sentCount() >= (round + 1) * sentPerRound)
      await server.kill()
      await Promise.all(load)
    }
    const { process: server, port } = await start(data)
    void subscriber.untilGone(port).catch(() => {})
    const sent = publishers.flatMap(publisher => publisher.sent)
    // It comes behind all others.
    await (await open(port, 'last')).publish('work', 'last', { qos: 1 })
    await until(() => subscriber.taken.includes('last'))
    assert.equal(subscriber.taken.pop(), 'last')
    await server.stop()
    rmSync(data, { recursive: true, force: true })
    const taken = new Set(subscriber.taken)
    assert.equal(taken.size, subscriber.taken.length, 'a message came twice')
    for (const body of sent) assert(taken.delete(body), `${body} is lost`)
    for (const publisher of publishers) taken.delete(publisher.interrupted)
    assert.deepEqual([...taken], [])
  },
)

const willOf = (topic: string) => ({ topic, payload: Buffer.from(topic), qos: 1, isRetained: false, properties: {} })

test(
  'kill -9: the will of a client whose session ends with its connection is published, once, and not that of one that left',
  { skip: !dragomanIsThere, timeout: 600_000 },
  async t => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-mqtt-'))
    t.after(() => rmSync(data, { recursive: true, force: true }))
    let broker = await start(data)
    t.after(() => broker.process.kill())
    const dial = (options: DriverOptions): Promise<MqttDriver> =>
      MqttDriver.connect(network, { host: '127.0.0.1', port: broker.port }, options)
    const restart = async (): Promise<void> => {
      await broker.process.kill()
      broker = await start(data)
    }
    const heir = { ...lasting, acknowledges: true, clientId: 'heir' }
    const subscriber = await dial(heir)
    await subscriber.subscribe('w/#', 1)
    await dial({ clientId: 'lost', will: willOf('w/lost') })
    const left = await dial({ clientId: 'left', will: willOf('w/left') })
    left.disconnect()
    await left.over()
    await restart()
    const again = await dial(heir)
    assert.equal((await again.message()).topic, 'w/lost')
    // What it has acknowledged is durable when what came later is.
    await again.publish('nobody', '', { qos: 1 })
    const fresh = await dial({ clientId: 'lost', cleanStart: false })
    assert.equal(fresh.connack.flags, 0)
    await restart()
    const third = await dial(heir)
    const publisher = await dial({ clientId: 'publisher' })
    await publisher.publish('w/last', '', { qos: 1 })
    // What was delivered before the crash may come once more, and says so.
    const received = [await third.message()]
    while (received.at(-1)?.topic !== 'w/last') received.push(await third.message())
    assert.deepEqual(
      received.filter(({ isDuplicate }) => !isDuplicate).map(({ topic }) => topic),
      ['w/last'],
    )
    assert.equal(await broker.process.stop(), 0)
  },
)
