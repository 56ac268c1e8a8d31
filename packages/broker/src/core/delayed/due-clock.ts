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
    this.#wallMs = Math.max(this.#clock.nowMs(), this.#wallMs + monotonicMs - this.#monotonicMs)
    this.#monotonicMs = monotonicMs
    return Math.floor(this.#wallMs)
  }
}
