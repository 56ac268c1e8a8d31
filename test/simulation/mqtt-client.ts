import { MqttDriver, type DriverOptions, type Got } from '../../packages/broker/src/protocols/mqtt/driver.ts'
import { pingreq, types, type Publish } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import type { Connection, Network, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import { mqttPort } from './client.ts'
import type { Shared } from './workload.ts'

/** Silence for so long, though it was asked whether anybody is there, ends a connection. */
const silenceMsMax = 6_000
const pingEveryMs = 1_500
const connectMsMax = 8_000
/** What was not answered may still be done for so long: cut links, a paused broker. */
const lateMsMax = 25_000

export interface MqttEvents {
  message(message: Publish): void
  /** PUBACK, PUBREC, PUBREL or PUBCOMP. */
  ack(type: number, packetId: number, reason: number): void
}

/** What has come of CONNECT: the connection, and whether the broker knew the client. */
export interface Opened {
  readonly link: MqttLink
  readonly isPresent: boolean
}

/** One connection of a client, until it is over. */
export class MqttLink {
  readonly driver: MqttDriver
  /** Of the broker. */
  readonly incarnation: number
  readonly #shared: Shared
  #heardMs: number
  #isOver = false
  /** When it was asked whether anybody is there, and was not answered yet. */
  readonly #askedMs: number[] = []
  #provenMs: number

  constructor(shared: Shared, driver: MqttDriver) {
    this.#shared = shared
    this.driver = driver
    this.incarnation = shared.broker.incarnation
    this.#heardMs = this.#provenMs = shared.simulator.nowMs
  }

  /** When something came last: the broker had this connection shortly before. */
  get heardMs(): number {
    return this.#heardMs
  }

  /** The broker had this connection after that moment. */
  get provenMs(): number {
    return this.#provenMs
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Hands on what comes. */
  begin(events: MqttEvents): void {
    const heard = (): boolean => {
      if (!this.#isOver) this.#heardMs = this.#shared.simulator.nowMs
      return !this.#isOver
    }
    this.driver.listen({
      message: message => heard() && events.message(message),
      packet: got => heard() && this.#packet(events, got),
      over: () => (this.#isOver = true),
    })
    void this.#watch()
  }

  send(bytes: Buffer): void {
    if (!this.#isOver) this.driver.send(bytes)
  }

  /** As a client that has crashed. */
  drop(): void {
    this.#isOver = true
    this.driver.destroy()
  }

  #packet(events: MqttEvents, { type, value }: Got): void {
    if (type === types.pingresp) this.#provenMs = this.#askedMs.shift() ?? this.#provenMs
    if (type < types.puback || type > types.pubcomp) return
    const { packetId, rest } = value as { packetId: number; rest: { reason: number } }
    events.ack(type, packetId, rest.reason)
  }

  /** Gives the connection up when nobody is there. */
  async #watch(): Promise<void> {
    const { simulator } = this.#shared
    while (!this.#isOver) {
      await simulator.sleep(pingEveryMs)
      if (simulator.nowMs - this.#heardMs > silenceMsMax) this.drop()
      else this.ping()
    }
  }

  ping(): void {
    this.#askedMs.push(this.#shared.simulator.nowMs)
    this.send(pingreq.encode({}, this.driver.version))
  }
}

/** Makes connections for one client, which has the same name on each. */
export class MqttDialer {
  readonly #shared: Shared
  readonly #runtime: Runtime
  readonly #options: DriverOptions
  /** What was last sent without an answer: in which life of the broker, and until when it may be done. */
  #late = { incarnation: -1, untilMs: -Infinity }
  #wasSent = false

  constructor(shared: Shared, options: DriverOptions & { clientId: string }) {
    this.#shared = shared
    this.#options = { ...options, acknowledges: false }
    this.#runtime = shared.simulator.process(`mqtt-${options.clientId}`).start()
  }

  /** Undefined: it may have been done, or not. `more`: what this connection has besides. */
  async open(more: DriverOptions = {}): Promise<Opened | undefined> {
    const { simulator, broker } = this.#shared
    const { incarnation } = broker
    let socket: Connection | undefined
    const { network } = this.#runtime
    const keeping: Pick<Network, 'connect'> = {
      connect: async address => (socket = await network.connect(address)),
    }
    const address = { host: 'broker', port: mqttPort }
    try {
      const options = { ...this.#options, ...more }
      const driver = await this.inTime(MqttDriver.connect({ ...network, ...keeping }, address, options))
      return { link: new MqttLink(this.#shared, driver), isPresent: driver.connack.flags === 1 }
    } catch {
      this.#wasSent = socket !== undefined
      if (this.#wasSent) this.#late = { incarnation, untilMs: simulator.nowMs + lateMsMax }
      socket?.destroy()
      await simulator.sleep(20 + simulator.random.float() * 100)
      return undefined
    }
  }

  /** Whether the last attempt, which has failed, may have come about. */
  get mayBeOpen(): boolean {
    return this.#wasSent
  }

  /** Whether a connection that was given up may still come about. */
  get mayOpenLate(): boolean {
    const { incarnation, untilMs } = this.#late
    return incarnation === this.#shared.broker.incarnation && this.#shared.simulator.nowMs < untilMs
  }

  inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#shared.simulator.at(connectMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(resolve, reject).finally(cancel)
    })
  }
}
