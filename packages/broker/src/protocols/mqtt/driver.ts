import assert from 'node:assert/strict'
import { Reader } from '@dragoman/wire'
import type { Address, ClientTls, Connection, Network } from '../../runtime/runtime.ts'
import { PacketDecoder } from './framing.ts'
import { encodeAck } from './incoming.ts'
import {
  auth,
  type connack,
  connect,
  disconnect,
  messagesByType,
  publish,
  type suback,
  subscribe,
  types,
  type unsuback,
  unsubscribe,
  versions,
  type Connect,
  type Publish,
} from './messages.ts'
import type { Properties } from './properties.ts'

export interface DriverOptions extends Partial<Omit<Connect, 'version'>> {
  version?: number
  tls?: ClientTls
  /** Acknowledges by itself what it is sent. */
  acknowledges?: boolean
}

export interface Got {
  readonly type: number
  readonly flags: number
  readonly value: unknown
}

/** Is told of all that comes, in its order. */
interface Listening {
  message(message: Publish): void
  packet(got: Got): void
  /** The connection is over. */
  over(): void
}

type PublishOptions = Partial<Omit<Publish, 'payload' | 'topic'>>

/** A client for tests. */
export class MqttDriver {
  readonly version: number
  /** What CONNECT was answered with. */
  connack: { flags: number; reason: number; properties: Properties } = { flags: 0, reason: -1, properties: {} }
  readonly #connection: Connection
  readonly #decoder = new PacketDecoder({ frameBytesMax: 2 ** 28 })
  readonly #got: Got[] = []
  readonly #messages: Publish[] = []
  #told: (() => void) | undefined
  #listening: Listening | undefined
  #isOver = false
  #wasEnded = false
  #acknowledges = true
  #nextId = 1

  /** Connected and open. */
  static async connect(network: Network, address: Address, options: DriverOptions = {}): Promise<MqttDriver> {
    const driver = await MqttDriver.dial(network, address, options)
    driver.hello(options)
    driver.connack = (await driver.expect(types.connack)) as MqttDriver['connack']
    assert.equal(driver.connack.reason, 0)
    return driver
  }

  /** Connected, and nothing was said. */
  static async dial(network: Network, address: Address, options: DriverOptions = {}): Promise<MqttDriver> {
    const { version = versions.mqtt5, tls, acknowledges = true } = options
    const driver = new MqttDriver(await network.connect(address, tls), version)
    driver.#acknowledges = acknowledges
    return driver
  }

  private constructor(connection: Connection, version: number) {
    this.#connection = connection
    this.version = version
    const over = (): void => {
      this.#isOver = true
      this.#told?.()
      this.#listening?.over()
    }
    connection.handle({
      data: chunk => this.#decoder.push(chunk, ({ first, bytes, at, end }) => this.#take(first, bytes, at, end)),
      ended: () => {
        this.#wasEnded = true
        over()
        connection.destroy()
      },
      drained: () => {},
      closed: over,
    })
  }

  hello(options: DriverOptions = {}): void {
    const { version: _version, tls: _tls, acknowledges: _acknowledges, ...given } = options
    const { version } = this
    const protocolName = version === versions.mqtt31 ? 'MQIsdp' : 'MQTT'
    const fields: Connect = {
      protocolName,
      version,
      cleanStart: true,
      keepAliveSeconds: 0,
      properties: {},
      clientId: 'driver',
      will: undefined,
      username: undefined,
      password: undefined,
      ...given,
    }
    this.send(connect.encode(fields, version))
  }

  send(...parts: Buffer[]): void {
    this.#connection.write(parts)
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The broker has ended the connection, not the network. */
  get wasEnded(): boolean {
    return this.#wasEnded
  }

  freeId(): number {
    return this.#nextId++
  }

  publishBytes(topic: string, payload: string | Buffer, options: PublishOptions = {}): Buffer {
    const { qos = 0 } = options
    const fields = { qos, isDuplicate: false, isRetained: false, packetId: 0, properties: {}, ...options }
    return publish.encode({ ...fields, topic, payload: Buffer.from(payload) }, this.version)
  }

  /** Resolves with the reason when the hand-shake is over. */
  async publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<number> {
    const { qos = 0 } = options
    const packetId = qos > 0 ? (options.packetId ?? this.freeId()) : 0
    this.send(this.publishBytes(topic, payload, { ...options, packetId }))
    if (qos === 0) return 0
    const { reason } = await this.ack(qos === 1 ? types.puback : types.pubrec, packetId)
    if (qos === 1 || reason >= 0x80) return reason
    this.send(encodeAck(types.pubrel, packetId, 0))
    await this.ack(types.pubcomp, packetId)
    return reason
  }

  async subscribe(filter: string, qos = 2, options = 0, properties: Properties = {}): Promise<number> {
    const packetId = this.freeId()
    const wanted = [{ filter, options: qos | options }]
    this.send(subscribe.encode({ packetId, properties, wanted }, this.version))
    const { reasons } = (await this.expect(types.suback)) as ReturnType<typeof suback.read>
    return reasons[0] ?? -1
  }

  async unsubscribe(filter: string): Promise<number> {
    const packetId = this.freeId()
    this.send(unsubscribe.encode({ packetId, properties: {}, filters: [filter] }, this.version))
    const { reasons } = (await this.expect(types.unsuback)) as ReturnType<typeof unsuback.read>
    return reasons[0] ?? 0
  }

  async ack(type: number, packetId: number): Promise<{ packetId: number; reason: number }> {
    const { packetId: id, rest } = (await this.expect(type)) as { packetId: number; rest: { reason: number } }
    assert.equal(id, packetId)
    return { packetId: id, reason: rest.reason }
  }

  /** The next message. */
  async message(): Promise<Publish> {
    for (;;) {
      const first = this.#messages.shift()
      if (first) return first
      await this.#more()
    }
  }

  get waitingMessages(): number {
    return this.#messages.length
  }

  /** The next packet that is no message; undefined when the broker has ended the connection. */
  async next(): Promise<Got | undefined> {
    while (this.#got.length === 0 && !this.#isOver) await this.#more()
    return this.#got.shift()
  }

  async expect(type: number): Promise<unknown> {
    const got = await this.next()
    assert.equal(got?.type, type, JSON.stringify(got?.value ?? 'the connection is over'))
    return got.value
  }

  /** The reason of DISCONNECT, or of CONNACK; -1 when the connection ends without a word. */
  async refusal(): Promise<number> {
    const got = await this.next()
    if (!got) return -1
    if (got.type === types.connack) return (got.value as ReturnType<typeof connack.read>).reason
    assert.equal(got.type, types.disconnect)
    return (got.value as ReturnType<typeof disconnect.read>).rest.reason
  }

  auth(reason: number, properties: Properties): void {
    this.send(auth.encode({ rest: { reason, properties } }, this.version))
  }

  /** Says goodbye. */
  disconnect(reason = 0, properties: Properties = {}): void {
    this.send(disconnect.encode({ rest: { reason, properties } }, this.version))
  }

  /** As if the client had died. */
  destroy(): void {
    this.#connection.destroy()
  }

  /** From now on what comes is handed on: what has come already, packets first, and then all as it comes. */
  listen(listening: Listening): void {
    for (const got of this.#got.splice(0)) listening.packet(got)
    for (const message of this.#messages.splice(0)) listening.message(message)
    this.#listening = listening
    if (this.#isOver) listening.over()
  }

  /** Resolves when the connection is over. */
  async over(): Promise<void> {
    while (!this.#isOver) await this.#more()
  }

  #more(): Promise<void> {
    if (this.#isOver) return Promise.reject(new Error('The broker has ended the connection'))
    return new Promise(resolve => {
      const before = this.#told
      this.#told = () => {
        before?.()
        resolve()
      }
    })
  }

  #take(first: number, bytes: Buffer, at: number, end: number): void {
    const [type, flags] = [first >> 4, first & 0xf]
    const form = messagesByType.get(type)
    assert(form)
    const own = Buffer.from(bytes.subarray(at, end))
    const value: unknown = form.readBody(new Reader(own), this.version, flags)
    if (type === types.publish) this.#message(value as Publish)
    else if (type === types.pubrel && this.#acknowledges) {
      this.send(encodeAck(types.pubcomp, (value as { packetId: number }).packetId, 0))
    } else if (this.#listening) this.#listening.packet({ type, flags, value })
    else this.#got.push({ type, flags, value })
    const told = this.#told
    this.#told = undefined
    told?.()
  }

  #message(message: Publish): void {
    if (this.#listening) this.#listening.message(message)
    else this.#messages.push(message)
    if (!this.#acknowledges || message.qos === 0) return
    this.send(encodeAck(message.qos === 1 ? types.puback : types.pubrec, message.packetId, 0))
  }
}
