import { noTimer, type TimerTarget, type TimerWheel } from '../timers/wheel.ts'

interface IdlenessOptions {
  wheel: TimerWheel
  monotonicMs(): number
  /** Milliseconds after which an unused queue goes; -1: it stays. */
  expiresMs(): number
  /** Whether somebody uses the queue just now. */
  isUsed(): boolean
  /** Nobody has used the queue for so long. */
  over(): void
}

/** Whoever waits longer looks again: clocks drift. */
const lookMsMax = 24 * 3600 * 1000

/** How long nobody has used a queue. A start of the broker counts as a use. */
export class Idleness implements TimerTarget {
  readonly #options: IdlenessOptions
  #timer = noTimer
  #usedMs: number

  constructor(options: IdlenessOptions) {
    this.#options = options
    this.#usedMs = options.monotonicMs()
  }

  /** The time may be another one. */
  configured(): void {
    this.close()
    this.#wait()
  }

  /** Somebody uses the queue, or did until now. */
  used(): void {
    this.#usedMs = this.#options.monotonicMs()
  }

  due(): void {
    this.#timer = noTimer
    const { isUsed, expiresMs, over } = this.#options
    if (isUsed()) this.used()
    if (expiresMs() >= 0 && this.#leftMs <= 0) over()
    else this.#wait()
  }

  close(): void {
    this.#options.wheel.cancel(this.#timer)
    this.#timer = noTimer
  }

  get #leftMs(): number {
    const { monotonicMs, expiresMs } = this.#options
    return this.#usedMs + expiresMs() - monotonicMs()
  }

  #wait(): void {
    const { wheel, monotonicMs, expiresMs } = this.#options
    if (expiresMs() < 0) return
    this.#timer = wheel.at(monotonicMs() + Math.min(this.#leftMs, lookMsMax), this)
  }
}
