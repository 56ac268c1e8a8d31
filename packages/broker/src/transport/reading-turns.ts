import { Turns, type Waiting } from '../core/turns.ts'
import type { Clock } from '../runtime/runtime.ts'

/** A chunk below this size is no sign of a peer that brings much. */
export const muchBytes = 4096
/** A turn of the process that reads for longer is over for those who bring much. */
const turnMsMax = 20
/** So many of those who rest go on in the next turn. */
const servedPerTurn = 2

/**
 * Sees to it that connections that bring more than can be worked off do not keep the others waiting. Node reads a socket again and again while
 * there is anything to read, and all sockets one after the other: with many that are always full, a turn would last seconds.
 *
 * In a turn that has taken long, each connection that brings much is not read any more; they go on a few at a time, in their order.
 */
export class ReadingTurns {
  readonly #clock: Pick<Clock, 'monotonicMs' | 'soon'>
  readonly #resting: Turns
  /** Undefined: nobody has brought much in this turn. */
  #beganMs: number | undefined

  constructor(clock: Pick<Clock, 'monotonicMs' | 'soon'>) {
    this.#clock = clock
    this.#resting = new Turns(clock, servedPerTurn)
  }

  /** Somebody begins to work off much. */
  begin(): void {
    if (this.#beganMs !== undefined) return
    this.#beganMs = this.#clock.monotonicMs()
    this.#clock.soon(this.#end)
  }

  /** Whether who has brought much must rest: then `goOn` is called in a later turn. */
  rests(reading: Waiting): boolean {
    if (this.#clock.monotonicMs() - (this.#beganMs ?? Infinity) < turnMsMax) return false
    this.#resting.wait(reading)
    return true
  }

  readonly #end = (): void => {
    this.#beganMs = undefined
  }
}
