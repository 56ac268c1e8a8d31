import type { SessionContext } from '../protocol.ts'
import { StompError } from './errors.ts'

/** Nobody can make us beat more often. */
const intervalMsMin = 100
const intervalMsMax = 0x7fff_ffff
/** So often per interval it is looked whether there was a sign of life. */
const looksPerBeat = 4
/** After so many intervals without any, a peer is taken for dead. */
const missedMax = 2

export interface Beats {
  /** How often the broker gives a sign of life, and how often it wants one; 0: never. */
  readonly sendMs: number
  readonly expectMs: number
}

/** What a client offers and wants, and what comes of it. Throws `StompError`. [STOMP-1.2, Heart-beating] */
export function agreedBeats(header: string | undefined): Beats {
  if (header === undefined) return { sendMs: 0, expectMs: 0 }
  const [, offered, wanted] = /^(\d{1,10}),(\d{1,10})$/.exec(header.trim()) ?? []
  if (offered === undefined || wanted === undefined) {
    throw new StompError(
      'invalid_header',
      `heart-beat takes two numbers of milliseconds, not ${JSON.stringify(header)}`,
    )
  }
  return { sendMs: boundedMs(Number(wanted)), expectMs: boundedMs(Number(offered)) }
}

const boundedMs = (ms: number): number => (ms === 0 ? 0 : Math.min(intervalMsMax, Math.max(intervalMsMin, ms)))

export interface HeartbeatHost {
  /** Grow with all that is sent and received. */
  readonly traffic: { readonly sentPackets: number; readonly receivedPackets: number }
  /** Whether the peer is read: if it is not, its silence says nothing. */
  isReading(): boolean
  beat(): void
  /** Called once: nothing has come for two intervals. */
  missed(): void
}

/** Keeps an idle connection alive and notices a dead one. */
export class Heartbeat {
  readonly #clock: SessionContext['clock']
  readonly #host: HeartbeatHost
  #sent = -1
  #received = -1
  #silentLooks = 0
  #cancelSend: (() => void) | undefined
  #cancelExpect: (() => void) | undefined

  constructor({ sendMs, expectMs }: Beats, clock: SessionContext['clock'], host: HeartbeatHost) {
    this.#clock = clock
    this.#host = host
    // Sooner than promised: timers may be late.
    if (sendMs > 0) this.#send(Math.max(intervalMsMin / 2, sendMs / 2))
    if (expectMs > 0) this.#expect(expectMs / looksPerBeat)
  }

  stop(): void {
    this.#cancelSend?.()
    this.#cancelExpect?.()
  }

  #send(everyMs: number): void {
    this.#cancelSend = this.#clock.after(everyMs, () => {
      const { traffic } = this.#host
      if (traffic.sentPackets === this.#sent) this.#host.beat()
      this.#sent = traffic.sentPackets
      this.#send(everyMs)
    })
  }

  #expect(everyMs: number): void {
    this.#cancelExpect = this.#clock.after(everyMs, () => {
      const { receivedPackets } = this.#host.traffic
      const isSilent = this.#host.isReading() && receivedPackets === this.#received
      this.#received = receivedPackets
      this.#silentLooks = isSilent ? this.#silentLooks + 1 : 0
      if (this.#silentLooks >= missedMax * looksPerBeat) this.#host.missed()
      else this.#expect(everyMs)
    })
  }
}
