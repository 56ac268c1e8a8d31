import type { Cancel, Clock } from './runtime.ts'

/** By less than this clocks are kept right, and it is followed at once. */
const stepMsMin = 10_000
/** So much of the wall clock's time may pass between two looks at the monotonic one. */
const lookMs = 1000
/** Data that was left for longer than this is old only when the clock has said so for a while. */
const absenceMsMin = 3_600_000

/** What happened to the machine's clock, for an operator. */
export interface ClockEvent {
  readonly kind: 'set' | 'set-back-again' | 'followed' | 'behind-data'
  /** How far the machine's clock is ahead of that of the broker, which follows; negative: behind it. */
  readonly aheadMs: number
}

export interface SteadyClockOptions {
  /** A step is believed when it has lasted for so long; 0: at once. */
  readonly patienceMs: number
  tell(event: ClockEvent): void
}

/**
 * The wall clock as the broker believes it. What is kept, thrown away, timed out and due is decided by the time of day, and one wrong setting
 * of the machine's clock must not decide all of that at once. So a step of it, noticed by the monotonic clock, is followed only when it has
 * lasted; until then this clock goes on as if there had been none.
 *
 * It goes back only when such a step back is followed, and never in between.
 */
export class SteadyClock implements Clock {
  readonly #clock: Clock
  readonly #options: SteadyClockOptions
  /** What is added to the wall clock: 0, unless there was a step that is not followed yet. */
  #offsetMs = 0
  #seenWallMs: number
  #seenMonotonicMs: number
  /** On the monotonic clock: when the wall clock was last set. */
  #stepMs = 0
  #lastMs = -Infinity
  #seenSuspendedMs: number
  /** How long the data was left alone before this start, as far as the clock can tell. */
  #absenceMs = 0
  readonly #startMs: number

  constructor(clock: Clock, options: SteadyClockOptions) {
    this.#clock = clock
    this.#options = options
    this.#seenWallMs = clock.nowMs()
    this.#startMs = this.#seenMonotonicMs = clock.monotonicMs()
    this.#seenSuspendedMs = clock.suspendedMs?.() ?? 0
  }

  nowMs(): number {
    const wallMs = this.#clock.nowMs()
    const passedMs = wallMs - this.#seenWallMs
    if (!(passedMs >= 0 && passedMs < lookMs)) this.#look(wallMs)
    this.#lastMs = Math.max(this.#lastMs, wallMs + this.#offsetMs)
    return this.#lastMs
  }

  /** The machine's clock as it is: for what others have dated by theirs. */
  wallMs(): number {
    return this.#clock.nowMs()
  }

  /** The time that decides which data is too old to be kept: after a long absence that, too, has to last. */
  agesMs(): number {
    const nowMs = this.nowMs()
    if (this.#absenceMs === 0) return nowMs
    const isSoon = this.#clock.monotonicMs() - this.#startMs < this.#options.patienceMs
    if (isSoon || this.#offsetMs !== 0) return nowMs - this.#absenceMs
    this.#absenceMs = 0
    return nowMs
  }

  /** The newest data is of this time: the broker's clock begins there when the machine's is behind it. */
  begin(dataMs: number): void {
    const aheadMs = this.#clock.nowMs() - dataMs
    if (this.#options.patienceMs === 0 || dataMs <= 0) return
    if (aheadMs > absenceMsMin) this.#absenceMs = aheadMs
    if (aheadMs > -stepMsMin) return
    this.#offsetMs = -aheadMs
    this.#stepMs = this.#clock.monotonicMs()
    this.#options.tell({ kind: 'behind-data', aheadMs })
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  after(delayMs: number, run: () => void): Cancel {
    return this.#clock.after(delayMs, run)
  }

  soon(run: () => void): void {
    this.#clock.soon(run)
  }

  #look(wallMs: number): void {
    const monotonicMs = this.#clock.monotonicMs()
    // The monotonic clock stands still while the machine is suspended: then the wall clock is right.
    const suspendedMs = this.#clock.suspendedMs?.() ?? 0
    const passedMs = monotonicMs - this.#seenMonotonicMs + suspendedMs - this.#seenSuspendedMs
    const stepMs = Math.round(wallMs - this.#seenWallMs - passedMs)
    this.#seenWallMs = wallMs
    this.#seenMonotonicMs = monotonicMs
    this.#seenSuspendedMs = suspendedMs
    if (Math.abs(stepMs) >= stepMsMin) this.#stepped(stepMs, monotonicMs)
    if (this.#offsetMs !== 0 && monotonicMs - this.#stepMs >= this.#options.patienceMs) this.#follow(wallMs)
  }

  #stepped(stepMs: number, monotonicMs: number): void {
    this.#offsetMs -= stepMs
    this.#stepMs = monotonicMs
    const aheadMs = 0 - this.#offsetMs
    if (this.#options.patienceMs === 0) return
    if (Math.abs(aheadMs) >= stepMsMin) return this.#options.tell({ kind: 'set', aheadMs })
    this.#offsetMs = 0
    this.#options.tell({ kind: 'set-back-again', aheadMs })
  }

  #follow(wallMs: number): void {
    const aheadMs = 0 - this.#offsetMs
    this.#offsetMs = this.#absenceMs = 0
    this.#lastMs = wallMs
    this.#options.tell({ kind: 'followed', aheadMs })
  }
}
