import type { Clock } from '../runtime/runtime.ts'

/** So long is worked in one go. What clients wait for comes in between. */
const sliceMs = 1
/** So long is rested: the longer the more else there is to do, which shows in timers that fire late by more than their grain. */
const restMsMin = 4
const restMsMax = 16
const lateMs = 1.5

/** Cuts long work in the background, of which only one is under way, into slices. Ask `isDue` every few microseconds of work, and await `rest` when it says so. */
export class Pace {
  readonly #clock: Clock
  #untilMs = 0
  #restMs = restMsMin
  #isOver = false
  #wake: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Work begins, and with it a slice. */
  begin(): void {
    this.#untilMs = this.#clock.monotonicMs() + sliceMs
  }

  get isDue(): boolean {
    return this.#clock.monotonicMs() >= this.#untilMs
  }

  async rest(): Promise<void> {
    if (this.#isOver) return
    const dueMs = this.#clock.monotonicMs() + this.#restMs
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#clock.after(this.#restMs, resolve)
    })
    const nowMs = this.#clock.monotonicMs()
    this.#restMs =
      nowMs > dueMs + lateMs ? Math.min(restMsMax, this.#restMs * 2) : Math.max(restMsMin, this.#restMs / 2)
    this.begin()
  }

  /** Nobody rests any more: what is left to do is to stop. */
  end(): void {
    this.#isOver = true
    this.#wake?.()
  }
}
