/** By less than this, the two clocks differ without anybody having set one. */
const jitterMs = 5

/**
 * The time that decides what is due: the wall clock, but it never goes back, nor slower than the monotonic one. When the wall clock is set
 * forward, messages are due that much earlier; when it is set back, nothing waits longer than was asked for.
 */
export class DueClock {
  readonly #clock: { nowMs(): number; monotonicMs(): number }
  #wallMs: number
  #monotonicMs: number

  constructor(clock: { nowMs(): number; monotonicMs(): number }) {
    this.#clock = clock
    this.#wallMs = clock.nowMs()
    this.#monotonicMs = clock.monotonicMs()
  }

  /** Whole milliseconds since 1970. */
  nowMs(): number {
    const monotonicMs = this.#clock.monotonicMs()
    const wallMs = this.#clock.nowMs()
    const passedTo = this.#wallMs + monotonicMs - this.#monotonicMs
    this.#wallMs = wallMs > passedTo + jitterMs ? wallMs : passedTo
    this.#monotonicMs = monotonicMs
    return Math.floor(this.#wallMs)
  }
}
