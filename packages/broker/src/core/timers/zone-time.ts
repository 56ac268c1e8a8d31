const secondMs = 1000
const dayMs = 86_400_000

/**
 * What the clocks show in a time zone: "local" times are milliseconds since 1970 as if the clocks showed UTC. Whole seconds.
 */
export class ZoneTime {
  readonly #format: Intl.DateTimeFormat | undefined

  private constructor(format: Intl.DateTimeFormat | undefined) {
    this.#format = format
  }

  /** Undefined for a name that the runtime does not know. */
  static of(timeZone: string): ZoneTime | undefined {
    if (timeZone === 'UTC') return new ZoneTime(undefined)
    // An offset is no zone: clocks are not put forward there, which nobody would notice in time.
    if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(timeZone)) return undefined
    const number = 'numeric'
    const parts = { year: number, month: number, day: number, hour: number, minute: number, second: number } as const
    try {
      return new ZoneTime(
        new Intl.DateTimeFormat('en-US', { timeZone, calendar: 'gregory', hourCycle: 'h23', ...parts }),
      )
    } catch (error) {
      if (error instanceof RangeError) return undefined
      throw error
    }
  }

  localOf(moment: number): number {
    const whole = Math.floor(moment / secondMs) * secondMs
    if (!this.#format) return whole
    const found = new Map(this.#format.formatToParts(whole).map(({ type, value }) => [type, Number(value)]))
    const part = (type: Intl.DateTimeFormatPartTypes): number => found.get(type) ?? 0
    return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'))
  }

  /** The first moment at which the clocks show it; where they are put forward over it, when that happens. */
  momentOf(local: number): number {
    if (!this.#format) return local
    const before = this.#offset(local - dayMs)
    const after = this.#offset(local + dayMs)
    const early = local - Math.max(before, after)
    const late = local - Math.min(before, after)
    if (this.localOf(early) === local) return early
    if (this.localOf(late) === local) return late
    // Nothing shows it: the change lies between the two.
    let low = early
    let high = late
    while (high - low > secondMs) {
      const middle = low + Math.floor((high - low) / 2 / secondMs) * secondMs
      if (this.localOf(middle) < local) low = middle
      else high = middle
    }
    return high
  }

  /** What the clocks are ahead of UTC. */
  #offset(moment: number): number {
    return this.localOf(moment) - moment
  }
}
