/** A rate may be exceeded by what it gives in this time before anything is held back. */
export const burstMs = 10_000

/**
 * Credit that grows with time up to what `burstMs` bring, is spent by what is done, and may be overdrawn: then it is time to
 * wait until it is paid back. So what is done in any time is at most what the rate gives in it, a burst, and the last step.
 */
export class Bucket {
  /** Milliseconds of the rate that are to the good; below 0, how long to wait. Independent of the rate, which may change. */
  #creditMs = burstMs
  #atMs: number

  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  /** Spends `amount` at a rate of `limit` per second. Returns the milliseconds until there is credit again. */
  spend(amount: number, limit: number, nowMs: number): number {
    this.#grow(nowMs)
    this.#creditMs -= (amount / limit) * 1000
    return this.waitMs(nowMs)
  }

  waitMs(nowMs: number): number {
    this.#grow(nowMs)
    return Math.max(0, -this.#creditMs)
  }

  #grow(nowMs: number): void {
    this.#creditMs = Math.min(burstMs, this.#creditMs + nowMs - this.#atMs)
    this.#atMs = nowMs
  }
}
