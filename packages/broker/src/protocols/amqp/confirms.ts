const pending = 0
const accepted = 1
const refused = 2
/** The publisher was told of it, before one that it was published after. */
const told = 3

/** Tells that all publishes up to `sequence` (`multiple`), or it alone, were taken or refused. */
export type TellConfirm = (isAccepted: boolean, sequence: number, multiple: boolean) => void

/**
 * Publishes of one channel that their publisher waits for. They are numbered from 1 in their order.
 *
 * Invariant: those below `#base` were told. A byte each for those from there on.
 */
export class Confirms {
  #states = new Uint8Array(64)
  /** The oldest that was not told. */
  #base = 1
  /** The next number. */
  #next = 1
  #pendingCount = 0
  #settledCount = 0

  /** Publishes that are neither taken nor refused yet. */
  get pendingCount(): number {
    return this.#pendingCount
  }

  /** There is something to tell. */
  get hasNews(): boolean {
    return this.#settledCount > 0
  }

  /** The number of one more publish. */
  begin(): number {
    if (this.#next - this.#base === this.#states.length) this.#grow()
    this.#states[this.#next % this.#states.length] = pending
    this.#pendingCount++
    return this.#next++
  }

  settle(sequence: number, isAccepted: boolean): void {
    this.#states[sequence % this.#states.length] = isAccepted ? accepted : refused
    this.#pendingCount--
    this.#settledCount++
  }

  /** Those of [first, last] that are neither taken nor refused yet were taken. */
  accept(first: number, last: number): void {
    const { length } = this.#states
    for (let sequence = Math.max(first, this.#base); sequence <= last; sequence++)
      if (this.#states[sequence % length] === pending) this.settle(sequence, true)
  }

  /**
   * Tells of all that was settled since it was called last: in runs as far as none is left out, and one by one behind the oldest that is
   * pending.
   */
  tell(tell: TellConfirm): void {
    if (this.#settledCount === 0) return
    this.#settledCount = 0
    const length = this.#states.length
    while (this.#base < this.#next) {
      const state = this.#states[this.#base % length]
      if (state === pending) break
      let last = this.#base
      while (last + 1 < this.#next && this.#states[(last + 1) % length] === state) last++
      if (state !== told) tell(state === accepted, last, last > this.#base)
      this.#base = last + 1
    }
    for (let sequence = this.#base; sequence < this.#next; sequence++) {
      const at = sequence % length
      const state = this.#states[at]
      if (state !== accepted && state !== refused) continue
      tell(state === accepted, sequence, false)
      this.#states[at] = told
    }
  }

  #grow(): void {
    const old = this.#states
    const states = new Uint8Array(old.length * 2)
    for (let sequence = this.#base; sequence < this.#next; sequence++)
      states[sequence % states.length] = old[sequence % old.length]!
    this.#states = states
  }
}
