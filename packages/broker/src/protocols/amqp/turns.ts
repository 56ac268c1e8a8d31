import { Ring } from '../../core/cursor/ring.ts'
import { perBroker } from '../per-broker.ts'

/** So many of those who wait go on in one turn of the process. */
const servedPerTurn = 4

/** Who has done much in one turn waits here for another, however many do: what others ask of the broker is not held up by all of them together. */
export class Turns {
  static readonly of = perBroker(() => new Turns())
  readonly #waiting = new Ring<() => void>()

  /** Resolves in a later turn, after those who came before. */
  next(clock: { soon(run: () => void): void }): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) clock.soon(() => this.#serve(clock))
    })
  }

  #serve(clock: { soon(run: () => void): void }): void {
    for (let left = servedPerTurn; left > 0; left--) this.#waiting.shift()?.()
    if (this.#waiting.length > 0) clock.soon(() => this.#serve(clock))
  }
}
