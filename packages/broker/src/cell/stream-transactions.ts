import type { Reader, Writer } from '@dragoman/wire'
import { Rows } from '../storage/rows.ts'

/** Columns of the aborted transactions: `stable` is the last stable offset that the end of the transaction left behind. */
const aborted = { producer: 0, first: 1, last: 2, stable: 3 } as const
/** Columns of the transactions that have ended by a marker which is not durable yet. */
const ending = { first: 0, marker: 1 } as const

/** The records of `producerId` from `firstOffset` to its marker at `lastOffset` were not committed. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  readonly lastOffset: number
}

/**
 * Which transactions are open in one stream, and which of those that have ended were aborted.
 *
 * A transaction is open from its first batch to its marker. The *last stable offset* is where the first open one begins: what is
 * below it will not change its fate any more. Readers of what is committed see what is below it, without what was aborted.
 *
 * Invariants: `#open` is in the order of first offsets, because a transaction begins at the end of the stream; the rows of
 * `#aborted` ascend by their markers and by what was stable then, so that a look-up ends early.
 */
export class StreamTransactions {
  /** First offset by producer. */
  readonly #open = new Map<number, number>()
  readonly #ending = new Rows(2)
  readonly #aborted = new Rows(4)

  /** Where the open transaction of a producer begins; undefined when it has none. */
  firstOffsetOf(producer: number): number | undefined {
    return this.#open.get(producer)
  }

  begin(producer: number, firstOffset: number): void {
    if (!this.#open.has(producer)) this.#open.set(producer, firstOffset)
  }

  /** The marker at `marker` ends the producer's transaction, if it has one. */
  end(producer: number, isCommitted: boolean, marker: number): void {
    const first = this.#open.get(producer)
    if (first === undefined) return
    this.#open.delete(producer)
    const left = this.#ending.add()
    this.#ending.set(left, ending.first, first)
    this.#ending.set(left, ending.marker, marker)
    if (isCommitted) return
    const row = this.#aborted.add()
    this.#aborted.set(row, aborted.producer, producer)
    this.#aborted.set(row, aborted.first, first)
    this.#aborted.set(row, aborted.last, marker)
    this.#aborted.set(row, aborted.stable, this.stableEnd(marker + 1))
  }

  /** The last stable offset, going by all that was written, up to `endOffset`. */
  stableEnd(endOffset: number): number {
    for (const first of this.#open.values()) return first
    return endOffset
  }

  /** The last stable offset as far as it is durable: a marker beyond `visibleEnd` has ended nothing yet. */
  settle(visibleEnd: number): number {
    let done = 0
    while (done < this.#ending.count && this.#ending.get(done, ending.marker) < visibleEnd) done++
    this.#ending.dropFirst(done)
    let stable = Math.min(visibleEnd, this.stableEnd(visibleEnd))
    for (let row = 0; row < this.#ending.count; row++) stable = Math.min(stable, this.#ending.get(row, ending.first))
    return stable
  }

  /** Aborted transactions with records in [from, to), in the order of their markers. */
  abortedIn(from: number, to: number): AbortedTransaction[] {
    const found: AbortedTransaction[] = []
    const rows = this.#aborted
    for (let row = rows.lastAtMost(aborted.last, from - 1) + 1; row < rows.count; row++) {
      const firstOffset = rows.get(row, aborted.first)
      const producerId = rows.get(row, aborted.producer)
      if (firstOffset < to) found.push({ producerId, firstOffset, lastOffset: rows.get(row, aborted.last) })
      // What ended later began at or beyond what was stable here.
      if (rows.get(row, aborted.stable) >= to) break
    }
    return found
  }

  /** Where the first aborted transaction that is remembered ends; undefined when there is none. */
  get firstAborted(): number | undefined {
    return this.#aborted.count > 0 ? this.#aborted.get(0, aborted.last) : undefined
  }

  /** Forgets what was aborted below an offset: nothing of it is there any more. */
  trim(start: number): void {
    this.#aborted.dropFirst(this.#aborted.lastAtMost(aborted.last, start - 1) + 1)
  }

  save(out: Writer): void {
    out.u32(this.#open.size)
    for (const [producer, first] of this.#open) {
      out.i64(producer)
      out.i64(first)
    }
    out.u32(this.#aborted.count)
    for (let row = 0; row < this.#aborted.count; row++) {
      for (let column = 0; column < this.#aborted.width; column++) out.i64(this.#aborted.get(row, column))
    }
  }

  load(from: Reader): void {
    for (let left = from.u32(); left > 0; left--) this.#open.set(from.i64(), from.i64())
    for (let left = from.u32(); left > 0; left--) {
      const row = this.#aborted.add()
      for (let column = 0; column < this.#aborted.width; column++) this.#aborted.set(row, column, from.i64())
    }
  }
}
