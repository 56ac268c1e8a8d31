/** A rate is taken over at least so long. */
const windowMs = 5000
/** Things whose rates are remembered; who was asked for longest ago gives way. */
const knownMax = 20_000

interface Sample {
  readonly atMs: number
  readonly values: Readonly<Record<string, number>>
}

interface Known {
  older: Sample | undefined
  newer: Sample
}

/**
 * How fast counters grow. Nothing is sampled on its own: what is asked for is compared with what it was when it was asked for before, so that a
 * rate is that of the time between, and what nobody asks for costs nothing. The first time, a rate is 0.
 */
export class Rates {
  readonly #known = new Map<string, Known>()

  /** Rates per second of the present values, by the same names. `key` is the same for the same thing. */
  of(key: string, values: Readonly<Record<string, number>>, nowMs: number): Record<string, number> {
    const known = this.#known.get(key) ?? { older: undefined, newer: { atMs: nowMs, values } }
    this.#known.delete(key)
    this.#known.set(key, known)
    if (nowMs - known.newer.atMs >= windowMs) {
      known.older = known.newer
      known.newer = { atMs: nowMs, values }
    }
    const [first] = this.#known.keys()
    if (this.#known.size > knownMax && first !== undefined) this.#known.delete(first)
    const { atMs, values: before } = known.older ?? known.newer
    const seconds = (nowMs - atMs) / 1000
    const rates: Record<string, number> = {}
    for (const name in values) {
      const value = values[name] ?? 0
      const grown = value - (before[name] ?? value)
      rates[name] = seconds < 1 ? 0 : Math.round((grown / seconds) * 100) / 100
    }
    return rates
  }
}

/** Each value, and how fast it grows, as clients of this API know it. */
export function withRates(
  values: Readonly<Record<string, number>>,
  rates: Readonly<Record<string, number>>,
): Record<string, unknown> {
  const both: Record<string, unknown> = {}
  for (const name in values) {
    both[name] = values[name]
    both[`${name}_details`] = { rate: rates[name] ?? 0 }
  }
  return both
}
