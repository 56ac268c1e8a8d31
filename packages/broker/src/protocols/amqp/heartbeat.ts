import type { SessionContext } from '../protocol.ts'

/** Missed beats after which a peer is taken for dead. */
const missedMax = 2

/** Keeps an idle connection alive and notices a dead one. [AMQP 0-9-1, 4.2.7] */
export class Heartbeat {
  readonly #seconds: number
  readonly #clock: SessionContext['clock']
  readonly #told: { beat(): void; missed(): void }
  #sentAtMs: number
  #receivedAtMs: number
  #cancel: (() => void) | undefined
  #isPaused = false

  /** `missed` is called once, when nothing has come for two beats. */
  constructor(seconds: number, clock: SessionContext['clock'], told: { beat(): void; missed(): void }) {
    this.#seconds = seconds
    this.#clock = clock
    this.#told = told
    this.#sentAtMs = this.#receivedAtMs = clock.monotonicMs()
    this.#wait()
  }

  sent(): void {
    this.#sentAtMs = this.#clock.monotonicMs()
  }

  received(): void {
    this.#receivedAtMs = this.#clock.monotonicMs()
  }

  /** While we do not read, nothing can be said about the peer. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.received()
  }

  stop(): void {
    this.#cancel?.()
  }

  #wait(): void {
    this.#cancel = this.#clock.after((this.#seconds * 1000) / 2, () => this.#look())
  }

  #look(): void {
    const now = this.#clock.monotonicMs()
    const beatMs = this.#seconds * 1000
    if (!this.#isPaused && now - this.#receivedAtMs >= missedMax * beatMs) return this.#told.missed()
    if (now - this.#sentAtMs >= beatMs / 2) {
      this.#told.beat()
      this.sent()
    }
    this.#wait()
  }
}
