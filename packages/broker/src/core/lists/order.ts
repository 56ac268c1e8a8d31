import assert from 'node:assert/strict'
import type { Reader, Writer } from '@dragoman/wire'

/** Offsets of [first, last], from left to right when `step` is 1, from right to left when it is -1. */
export interface Run {
  first: number
  /** Infinity in the run that what is appended to the stream belongs to. */
  last: number
  step: 1 | -1
}

export type Side = 'left' | 'right'

const stepOf = (side: Side): 1 | -1 => (side === 'right' ? 1 : -1)

/**
 * From left to right, the offsets of a stream whose messages are a list: runs of them, of which one is open. What is appended to the stream is at that
 * one's end, which is the list's. So a list that is only ever appended to at one end is one run, however long it is.
 *
 * What of it is settled may be forgotten at any time, or not: nobody can tell the difference.
 */
export class Order {
  readonly runs: Run[] = [{ first: 0, last: Infinity, step: 1 }]

  /** The run that grows. */
  get open(): Run {
    return this.runs[this.#openAt()]!
  }

  /** Whether what is appended now is at that end of the list. */
  isOpenAt(side: Side): boolean {
    const end = side === 'left' ? this.runs[0]! : this.runs.at(-1)!
    return end.last === Infinity && end.step === stepOf(side)
  }

  /** What is appended from `offset` on is at that end of the list. */
  turn(offset: number, side: Side): void {
    this.#close(offset)
    const run: Run = { first: offset, last: Infinity, step: stepOf(side) }
    if (side === 'left') this.runs.unshift(run)
    else this.runs.push(run)
  }

  /** The message at `offset`, which is appended next, is beside the one at `anchor`; those after it are where they would have been. */
  place(offset: number, anchor: number, side: Side): void {
    const { step } = this.open
    this.#close(offset)
    this.#insert(offset, anchor, side)
    const grows: Run = { first: offset + 1, last: Infinity, step }
    if (step === 1) this.runs.push(grows)
    else this.runs.unshift(grows)
  }

  /** Runs that hold nothing below `floor` or are empty go; those in use begin there. */
  forgetBelow(floor: number): void {
    const { runs } = this
    let kept = 0
    for (const run of runs) {
      if (run.first < floor) run.first = Math.min(floor, run.last + 1)
      if (run.first <= run.last) runs[kept++] = run
    }
    runs.length = kept
  }

  /** What is at that end of the run that grows, from `offset` on, is settled up to `end`. */
  forgetNewest(offset: number, end: number): void {
    const { step } = this.open
    this.#close(offset)
    const run: Run = { first: end, last: Infinity, step }
    if (step === 1) this.runs.push(run)
    else this.runs.unshift(run)
  }

  /** All is settled below `end`: nothing of the order matters. */
  clear(end: number): void {
    const { step } = this.open
    this.runs.length = 0
    this.runs.push({ first: end, last: Infinity, step })
  }

  #openAt(): number {
    const last = this.runs.length - 1
    if (this.runs[last]?.last === Infinity) return last
    assert(this.runs[0]?.last === Infinity, 'a list grows at one of its ends')
    return 0
  }

  /** Nothing more is added to the open run; it goes when it is empty. */
  #close(end: number): void {
    const at = this.#openAt()
    const run = this.runs[at]!
    run.last = end - 1
    if (run.last < run.first) this.runs.splice(at, 1)
  }

  #insert(offset: number, anchor: number, side: Side): void {
    const { runs } = this
    const at = runs.findIndex(({ first, last }) => anchor >= first && anchor <= last)
    const single: Run = { first: offset, last: offset, step: 1 }
    const run = runs[at]
    if (!run) {
      runs.push(single)
      return
    }
    const { first, last, step } = run
    // What is on the left of the anchor, and on its right; the anchor stays on the side where the new one is not.
    const low: Run = { first, last: side === 'left' ? anchor - 1 : anchor, step }
    const high: Run = { first: side === 'left' ? anchor : anchor + 1, last, step }
    if (step === -1) {
      low.last = side === 'left' ? anchor : anchor - 1
      high.first = side === 'left' ? anchor + 1 : anchor
    }
    const pieces = step === 1 ? [low, single, high] : [high, single, low]
    runs.splice(at, 1, ...pieces.filter(piece => piece.first <= piece.last))
  }

  save(out: Writer): void {
    // One of which nothing is left would read as the one that grows.
    const runs = this.runs.filter(({ first, last }) => first <= last)
    out.u32(runs.length)
    for (const { first, last, step } of runs) {
      out.varlong(first)
      out.varlong(last === Infinity ? 0 : last - first + 1)
      out.bool(step === 1)
    }
  }

  load(from: Reader): void {
    this.runs.length = 0
    for (let left = from.u32(); left > 0; left--) {
      const first = from.varlong()
      const length = from.varlong()
      this.runs.push({ first, last: length === 0 ? Infinity : first + length - 1, step: from.bool() ? 1 : -1 })
    }
  }
}
