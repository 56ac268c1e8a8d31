import { laneIndexOf } from '../queues/lanes/lane-offsets.ts'
import type { Cursor } from './cursor.ts'

/**
 * How far a consumer that does not want everything has looked: what lies below was not for it, or was given to it or to others. One position for
 * each lane, as what comes next may lie in any.
 */
export class Looked {
  readonly #to = new Map<number, number>()

  /** The lowest available offset that it has not looked at. It may lie at or beyond the stream's end. */
  next(cursor: Cursor): number {
    for (let at = cursor.nextAvailable(); ;) {
      const to = this.#to.get(laneIndexOf(at)) ?? 0
      if (at >= to) return at
      at = cursor.nextAvailable(to)
    }
  }

  /** It has looked at all up to `offset`, which is included. */
  at(offset: number): void {
    this.#to.set(laneIndexOf(offset), offset + 1)
  }

  /** Something at or above `from` is available again. */
  back(from: number): void {
    const lane = laneIndexOf(from)
    const to = this.#to.get(lane)
    if (to !== undefined && to > from) this.#to.set(lane, from)
  }
}
