import type { Journal } from '../storage/journal.ts'
import type { CellOptions } from './options.ts'

/** One turn is so many steps, unless they take longer than this. */
const stepsPerTurnMax = 32
const turnMsMax = 5

/** Adds a part, of some dozens of facts at the most. Returns whether there is more. */
export type Step = () => boolean

/** What is added to one block in several turns. */
export interface LongBlock {
  /** The number of the block, once all is in it; rejects with what a step has thrown, or with `Fenced` when the cell ends before. */
  readonly added: Promise<number>
  /** Adds the rest now. */
  finish(): void
}

/** What it needs of its cell. */
export interface LongBlocksHost {
  readonly journal: Pick<Journal, 'atomic' | 'keepOpen' | 'letGo'>
  readonly clock: CellOptions['clock']
  /** Whether what grows the data is taken though the disk is full. */
  isCommitted: boolean
  readonly full: boolean
}

/**
 * Adds to one block what takes too long for one turn: a bit of it in each, while everybody else is served. What others add meanwhile is in the same block, and all of
 * it becomes durable together.
 *
 * One is added at a time, and each to a block of its own, so that every block ends. The first turn is that of the call.
 */
export class LongBlocks {
  readonly #cell: LongBlocksHost
  #current: Work | undefined
  readonly #waiting: Work[] = []

  constructor(cell: LongBlocksHost) {
    this.#cell = cell
  }

  add(step: Step): LongBlock {
    const work: Work = new Work(step, () => this.#finish(work))
    if (this.#current) this.#waiting.push(work)
    else this.#begin(work)
    return work
  }

  /** The cell ends: all that was begun, or asked for, is added now. */
  finish(): void {
    this.#current?.finish()
    while (this.#waiting[0]) this.#waiting[0].finish()
  }

  #begin(work: Work): void {
    work.wasFull = this.#cell.full
    if (!this.#addSome(work)) return this.#nextSoon()
    this.#current = work
    this.#cell.journal.keepOpen(work.finish)
    this.#cell.clock.soon(this.#go)
  }

  readonly #go = (): void => {
    const work = this.#current
    if (!work) return
    if (this.#addSome(work)) this.#cell.clock.soon(this.#go)
    else this.#end()
  }

  /** As much as is added in one turn. Returns whether there is more. */
  #addSome(work: Work): boolean {
    const { clock } = this.#cell
    const untilMs = clock.monotonicMs() + turnMsMax
    let left = stepsPerTurnMax
    return this.#add(work, () => --left > 0 && clock.monotonicMs() < untilMs)
  }

  #finish(work: Work): void {
    if (this.#current === work) {
      this.#add(work, always)
      return this.#end()
    }
    const at = this.#waiting.indexOf(work)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    work.wasFull = this.#cell.full
    this.#add(work, always)
  }

  /** Returns whether there is more. What is begun is not refused any more: the disk was not full then. */
  #add(work: Work, goesOn: () => boolean): boolean {
    const cell = this.#cell
    let hasMore = true
    try {
      cell.isCommitted = !work.wasFull
      const seq = cell.journal.atomic(() => {
        do hasMore = work.step()
        while (hasMore && goesOn())
      })
      if (!hasMore) work.resolve(seq)
    } catch (error) {
      hasMore = false
      work.reject(error)
    } finally {
      cell.isCommitted = false
    }
    return hasMore
  }

  #end(): void {
    this.#current = undefined
    this.#cell.journal.letGo()
    this.#nextSoon()
  }

  #nextSoon(): void {
    if (this.#waiting.length > 0) this.#cell.clock.soon(this.#next)
  }

  readonly #next = (): void => {
    const work = this.#current ? undefined : this.#waiting.shift()
    if (work) this.#begin(work)
  }
}

class Work implements LongBlock {
  readonly step: Step
  readonly finish: () => void
  readonly added: Promise<number>
  resolve!: (seq: number) => void
  reject!: (error: unknown) => void
  wasFull = false

  constructor(step: Step, finish: () => void) {
    this.step = step
    this.finish = finish
    this.added = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

const always = (): boolean => true
