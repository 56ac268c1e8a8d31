import { Bucket } from './bucket.ts'

/** What one entity has used of one quota. */
export interface Meter {
  readonly bucket: Bucket
  limit: number
  usedMs: number
}

/** Part of the meters that makes room at once when there are too many. */
const evictedShare = 0.1

/**
 * The meters of one quota, by whom they are for. There are at most `countMax`: when there would be more, those that were
 * used longest ago are forgotten, and whom they are for begins anew.
 */
export class Meters {
  readonly #countMax: number
  readonly #meters = new Map<string, Meter>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /** `evicted` is called when others had to make room. */
  of(scope: string, limit: number, nowMs: number, evicted: () => void): Meter {
    let meter = this.#meters.get(scope)
    if (meter === undefined) {
      if (this.#meters.size >= this.#countMax) {
        this.#evict()
        evicted()
      }
      meter = { bucket: new Bucket(nowMs), limit, usedMs: nowMs }
      this.#meters.set(scope, meter)
    }
    meter.limit = limit
    return meter
  }

  clear(): void {
    this.#meters.clear()
  }

  #evict(): void {
    const oldest = [...this.#meters].sort(([, a], [, b]) => a.usedMs - b.usedMs)
    for (const [scope] of oldest.slice(0, Math.ceil(this.#countMax * evictedShare))) this.#meters.delete(scope)
  }
}
