/** Timers of the outside world need not reach further: an alarm that is set later rings early. */
const delayMsMax = 24 * 3_600_000

/** One timer for many deadlines: it rings at the earliest that was set since it last rang, sometimes earlier. */
export class Alarm {
  readonly #clock: { nowMs(): number; after(delayMs: number, run: () => void): () => void }
  readonly #ring: () => void
  #atMs = Infinity
  #cancel: (() => void) | undefined

  constructor(clock: { nowMs(): number; after(delayMs: number, run: () => void): () => void }, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Costs a comparison when it is to ring before that anyway. */
  setAt(atMs: number): void {
    if (atMs >= this.#atMs) return
    this.#cancel?.()
    this.#atMs = atMs
    const delayMs = Math.min(Math.max(0, atMs - this.#clock.nowMs()), delayMsMax)
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = undefined
      this.#atMs = Infinity
      this.#ring()
    })
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#atMs = Infinity
  }
}
