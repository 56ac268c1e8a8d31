import { encodeAck } from '../../packages/broker/src/protocols/mqtt/incoming.ts'
import { types, versions } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { failureFrom, reasons } from '../../packages/broker/src/protocols/mqtt/reasons.ts'
import { MqttDialer, type MqttLink } from './mqtt-client.ts'
import type { Shared } from './workload.ts'

export const lasting = { cleanStart: false, properties: { sessionExpiry: 1_000_000 } }

export interface Outgoing {
  readonly topic: string
  readonly payload: Buffer
  /** 0: it is sent if there is a connection, and nothing is known of it. */
  readonly qos: number
  readonly isRetained: boolean
  /** It is not sent to anybody when it is older. */
  readonly expirySeconds?: number
  /** The hand-shake is over, or it was refused; undefined: nobody knows, as an earlier attempt may have been taken. */
  answered(isTaken: boolean | undefined): void
}

interface InFlight {
  readonly message: Outgoing
  isReleased: boolean
  wasResent: boolean
}

/** Reasons that a message may be refused for: there is no room, or the broker stops. */
const passing: readonly number[] = [
  reasons.quotaExceeded,
  reasons.shuttingDown,
  reasons.serverBusy,
  reasons.unspecified,
]

/** A client that goes on with each message, over all its connections, until it is answered. */
export class MqttPublisher {
  readonly #shared: Shared
  readonly #dialer: MqttDialer
  readonly #version: number
  readonly #name: string
  readonly #inFlight = new Map<number, InFlight>()
  readonly #waiting: Outgoing[] = []
  readonly #windowMax: number
  #link: MqttLink | undefined
  #nextId = 0
  #wasKnown = false

  constructor(shared: Shared, name: string, windowMax: number) {
    const { random } = shared.simulator
    this.#shared = shared
    this.#name = name
    this.#windowMax = windowMax
    this.#version = random.chance(0.7) ? versions.mqtt5 : versions.mqtt311
    this.#dialer = new MqttDialer(shared, { ...lasting, version: this.#version, clientId: name })
  }

  /** Its messages can have a time. */
  get expires(): boolean {
    return this.#version === versions.mqtt5
  }

  get isIdle(): boolean {
    return this.#inFlight.size + this.#waiting.length === 0
  }

  get hasRoom(): boolean {
    return this.#inFlight.size + this.#waiting.length < this.#windowMax
  }

  publish(message: Outgoing): void {
    const link = this.#link
    if (message.qos === 0) return link?.send(this.#bytesOf(link, message, 0, false))
    this.#waiting.push(message)
    this.#flush()
  }

  /** Until `isOver`, and nothing is under way. */
  async run(isOver: () => boolean): Promise<void> {
    const { simulator } = this.#shared
    while (!isOver() || !this.isIdle) {
      if (!this.#link || this.#link.isOver) await this.#connect()
      else if (!isOver() && simulator.random.chance(0.002)) this.#link.drop()
      await simulator.sleep(20)
    }
    this.#link?.drop()
  }

  async #connect(): Promise<void> {
    const opened = await this.#dialer.open()
    if (!opened) return
    const { link, isPresent } = opened
    if (this.#wasKnown && !isPresent) this.#shared.simulator.fail(`the session of ${this.#name} is gone`)
    this.#wasKnown = true
    this.#link = link
    link.begin({ message: () => {}, ack: (type, id, reason) => this.#acked(link, type, id, reason) })
    for (const [id, sent] of this.#inFlight) {
      sent.wasResent = true
      if (sent.isReleased) link.send(encodeAck(types.pubrel, id, 0))
      else link.send(this.#bytesOf(link, sent.message, id, true))
    }
    this.#flush()
  }

  #bytesOf(
    { driver }: MqttLink,
    { topic, payload, qos, isRetained, expirySeconds }: Outgoing,
    packetId: number,
    isDuplicate: boolean,
  ) {
    const properties = expirySeconds === undefined ? {} : { messageExpiry: expirySeconds }
    return driver.publishBytes(topic, payload, { qos, isRetained, packetId, isDuplicate, properties })
  }

  #flush(): void {
    const link = this.#link
    while (link && !link.isOver && this.#inFlight.size < this.#windowMax) {
      const message = this.#waiting.shift()
      if (!message) return
      const id = this.#freeId()
      this.#inFlight.set(id, { message, isReleased: false, wasResent: false })
      link.send(this.#bytesOf(link, message, id, false))
    }
  }

  /** Soon used again. */
  #freeId(): number {
    do this.#nextId = 1 + (this.#nextId % (2 * this.#windowMax))
    while (this.#inFlight.has(this.#nextId))
    return this.#nextId
  }

  #acked(link: MqttLink, type: number, id: number, reason: number): void {
    const { simulator } = this.#shared
    if (link !== this.#link) return
    const known = this.#inFlight.get(id)
    // The answer to what was sent again may come twice.
    if (!known) return
    simulator.note(`${this.#name}: ${type} of ${id}: ${reason}`)
    const { message } = known
    if (type === (message.qos === 1 ? types.puback : types.pubcomp)) {
      const isTaken = reason < failureFrom || type === types.pubcomp
      if (!isTaken) this.#checkRefusal(reason)
      this.#over(id, isTaken)
    } else if (type === types.pubrec && reason >= failureFrom) {
      this.#checkRefusal(reason)
      this.#over(id, false)
    } else if (type === types.pubrec) {
      known.isReleased = true
      link.send(encodeAck(types.pubrel, id, 0))
    } else simulator.fail(`${this.#name} is sent a packet of type ${type} for ${id}`)
  }

  #checkRefusal(reason: number): void {
    const isFull = reason === reasons.quotaExceeded && !this.#shared.mayBeFull() && !this.#shared.mayFail()
    if (isFull || !passing.includes(reason))
      this.#shared.simulator.fail(`${this.#name} is refused with reason ${reason}`)
  }

  #over(id: number, isTaken: boolean): void {
    const { message, wasResent } = this.#inFlight.get(id)!
    this.#inFlight.delete(id)
    this.#shared.operations++
    if (isTaken) this.#shared.acknowledged++
    message.answered(!isTaken && wasResent && message.qos === 1 ? undefined : isTaken)
    this.#flush()
  }
}
