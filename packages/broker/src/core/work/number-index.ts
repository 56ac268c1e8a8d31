/** What has numbers. */
interface Numbered {
  /** The first of each run of its numbers that it still knows of. */
  readonly numbers: readonly number[]
  /** It has none any more. */
  readonly isGone: boolean
}

/** It is not worth while to look for what can be forgotten among fewer runs. */
const runsMin = 1024

/** Which lane has which number. Of numbers that no lane has any more it may name any lane, which knows better itself. */
export class NumberIndex<L extends Numbered> {
  /** Runs of numbers of one lane, ascending: each ends where the next one begins. */
  #firsts: number[] = []
  #lanes: L[] = []
  #pruneAt = runsMin

  /** The newest numbers, from `first` on, are the lane's. */
  add(first: number, lane: L): void {
    if (this.#lanes.at(-1) === lane) return
    if (this.#firsts.length >= this.#pruneAt) this.#prune()
    this.#firsts.push(first)
    this.#lanes.push(lane)
  }

  /** The lane that has the number, if any has. */
  laneOf(number: number): L | undefined {
    return this.#lanes[lastNotAbove(this.#firsts, number)]
  }

  /** Takes the runs of all lanes in place of what there was. */
  rebuild(lanes: Iterable<L>): void {
    const runs: [first: number, lane: L][] = []
    for (const lane of lanes) for (const first of lane.numbers) runs.push([first, lane])
    runs.sort(([a], [b]) => a - b)
    this.#firsts = runs.map(([first]) => first)
    this.#lanes = runs.map(([, lane]) => lane)
    this.#pruneAt = Math.max(runsMin, 2 * runs.length)
  }

  #prune(): void {
    const isNeeded = this.#lanes.map((lane, run) => {
      const end = this.#firsts[run + 1] ?? Infinity
      return !lane.isGone && end > (lane.numbers[0] ?? Infinity)
    })
    this.#firsts = this.#firsts.filter((_, run) => isNeeded[run])
    this.#lanes = this.#lanes.filter((_, run) => isNeeded[run])
    this.#pruneAt = Math.max(runsMin, 2 * this.#firsts.length)
  }
}

/** The index of the last one that is not above the value; -1: there is none. */
export function lastNotAbove(sorted: readonly number[], value: number): number {
  let low = 0
  for (let high = sorted.length; low < high;) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
