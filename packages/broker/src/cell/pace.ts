import type { Clock } from '../runtime/runtime.ts'

/** So long is worked in one go, and so long is rested before going on: what clients wait for comes in between. */
const sliceMs = 2
const restMs = 2

/** Cuts long work in the background, of which only one is under way, into slices. Ask `isDue` every few microseconds of work, and await `rest` when it says so. */
export class Pace {
  readonly #clock: Clock
  #untilMs: number
  #isOver = false
  #wake: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#untilMs = clock.monotonicMs() + sliceMs
  }

  get isDue(): boolean {
    return this.#clock.monotonicMs() >= this.#untilMs
  }

  async rest(): Promise<void> {
    if (this.#isOver) return
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#clock.after(restMs, resolve)
    })
    this.#untilMs = this.#clock.monotonicMs() + sliceMs
  }

  /** Nobody rests any more: what is left to do is to stop. */
  end(): void {
    this.#isOver = true
    this.#wake?.()
  }
}
