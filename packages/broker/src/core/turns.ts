import type { Clock } from '../runtime/runtime.ts'
import { Ring } from './cursor/ring.ts'

/** Who has made way for others, and can be told to go on. */
export interface Waiting {
  goOn(): void
}

/** Those who have done much in one turn of the process wait here for others: a few of them go on in each turn, in their order, however many they are. */
export class Turns {
  readonly #clock: Pick<Clock, 'soon'>
  readonly #servedPerTurn: number
  readonly #waiting = new Ring<Waiting>()

  constructor(clock: Pick<Clock, 'soon'>, servedPerTurn: number) {
    this.#clock = clock
    this.#servedPerTurn = servedPerTurn
  }

  /** Tells it to go on in a later turn, after those who came before. */
  wait(waiting: Waiting): void {
    this.#waiting.push(waiting)
    if (this.#waiting.length === 1) this.#clock.soon(this.#serve)
  }

  /** Resolves in a later turn, after those who came before. */
  next(): Promise<void> {
    return new Promise(goOn => this.wait({ goOn }))
  }

  readonly #serve = (): void => {
    for (let left = this.#servedPerTurn; left > 0; left--) this.#waiting.shift()?.goOn()
    if (this.#waiting.length > 0) this.#clock.soon(this.#serve)
  }
}
