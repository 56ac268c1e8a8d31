import type { SessionContext } from '../protocol.ts'
import type { Traffic } from '../live-connection.ts'

/** Missed beats after which a peer is taken for dead. */
const missedMax = 2
/** How often it is looked whether there was a sign of life, in one beat: the peer's silence may be two looks long before it hears from us. */
const looksPerBeat = 4

export interface HeartbeatHost {
  readonly traffic: Traffic
  /** Whether the peer is read: if it is not, its silence says nothing. */
  isReading(): boolean
  beat(): void
  /** Called once: nothing has come for two beats. */
  missed(): void
}

/** Keeps an idle connection alive and notices a dead one. [AMQP 0-9-1, 4.2.7] */
export class Heartbeat {
  readonly #intervalMs: number
  readonly #clock: SessionContext['clock']
  readonly #host: HeartbeatHost
  #sent = 0
  #received = 0
  /** Looks since something came. */
  #silentLooks = 0
  #cancel: (() => void) | undefined

  constructor(seconds: number, clock: SessionContext['clock'], host: HeartbeatHost) {
    this.#intervalMs = (seconds * 1000) / looksPerBeat
    this.#clock = clock
    this.#host = host
    this.#wait()
  }

  stop(): void {
    this.#cancel?.()
  }

  #wait(): void {
    this.#cancel = this.#clock.after(this.#intervalMs, () => this.#look())
  }

  #look(): void {
    const { traffic } = this.#host
    const isSilent = this.#host.isReading() && traffic.receivedPackets === this.#received
    this.#received = traffic.receivedPackets
    this.#silentLooks = isSilent ? this.#silentLooks + 1 : 0
    if (this.#silentLooks >= missedMax * looksPerBeat) return this.#host.missed()
    if (traffic.sentPackets === this.#sent) this.#host.beat()
    this.#sent = traffic.sentPackets
    this.#wait()
  }
}
