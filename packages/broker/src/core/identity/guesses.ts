/** The answer to the first wrong guess is held back for so long, that to each further one twice as long, up to the most. */
const delayMsMin = 200
const delayMsMax = 10_000
/** After so long without a wrong guess a host has a clean slate. */
const forgetMs = 60_000
const hostsMax = 10_000

/** Makes guessing slow: counts the wrong ones of each host. */
export class Guesses {
  readonly #clock: { monotonicMs(): number }
  /** The one that guessed longest ago first. */
  readonly #hosts = new Map<string, { count: number; atMs: number }>()

  constructor(clock: { monotonicMs(): number }) {
    this.#clock = clock
  }

  /** Notes a wrong guess; says for how long its answer is to be held back. */
  wrong(host: string): number {
    const now = this.#clock.monotonicMs()
    const before = this.#hosts.get(host)
    const count = before !== undefined && now - before.atMs < forgetMs ? before.count + 1 : 1
    this.#hosts.delete(host)
    this.#hosts.set(host, { count, atMs: now })
    const [oldest] = this.#hosts.keys()
    if (this.#hosts.size > hostsMax && oldest !== undefined) this.#hosts.delete(oldest)
    return Math.min(delayMsMax, delayMsMin * 2 ** Math.min(count - 1, 16))
  }
}
