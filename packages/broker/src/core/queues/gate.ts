import { Ring } from '../cursor/ring.ts'

/** Lets so many do something costly at a time; the others wait in line. */
export class Gate {
  readonly #max: number
  readonly #waiting = new Ring<() => void>()
  #count = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Calls `run` at once or later. Whoever was let in calls `leave` when it is done. */
  enter(run: () => void): void {
    if (this.#count === this.#max) return this.#waiting.push(run)
    this.#count++
    run()
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#count--
  }
}
