import type { CellClient } from '../../cell/client.ts'
import { Heap } from '../work/heap.ts'
import { isBehind, RunReader } from './index-run.ts'
import { KeyHeap } from './key-heap.ts'
import type { Run, VolumeState } from './volume-state.ts'

/** Offsets of recent messages are counted from where the runs end: so many fit into a key beside the due time. */
const recentBits = 20
const recentFactor = 1 << recentBits
/** So many readers of runs are set up at a time. */
const seeksMax = 8

/**
 * What is still to come of a volume, in the order of (due, offset): the recent messages from memory, the others by the runs of the index, of
 * each of which one block is in memory.
 */
export class VolumeQueue {
  readonly state: VolumeState
  readonly #cell: CellClient
  readonly #recent = new KeyHeap()
  readonly #runs = new Heap<RunReader>((a, b) => isBehind(b.due, b.offset, a.due, a.offset))
  /** What was taken last. */
  #due: number
  #offset: number
  /** Where the recent messages begin, whose keys are counted from it. */
  #base: number
  #loading = 0
  #error: Error | undefined
  #loaded: () => void

  /** Behind (due, offset). `loaded` is called in a later turn when what was read from the disk is there. */
  constructor(state: VolumeState, cell: CellClient, [due, offset]: [number, number], loaded: () => void) {
    this.state = state
    this.#cell = cell
    this.#due = due
    this.#offset = offset
    this.#base = state.indexedTo
    this.#loaded = loaded
    for (let at = state.indexedTo; at < state.count; at++) this.add(at)
    if (state.runs.length > 0) void this.#open([...state.runs])
  }

  /** What was put into the volume just now. */
  add(offset: number): void {
    const due = this.state.recentDue(offset)
    if (isBehind(due, offset, this.#due, this.#offset)) {
      this.#recent.add(due * recentFactor + (offset - this.#base))
    }
  }

  /** All that was recent is in this run now, which can be read once `whenDurable` calls back. */
  indexed(run: Run, whenDurable: (then: () => void) => void): void {
    this.#recent.clear()
    this.#base = this.state.indexedTo
    if (run.blocks === 0) return
    this.#loading++
    whenDurable(() => {
      this.#loading--
      void this.#open([run])
    })
  }

  /** Due time of the next message; Infinity: there is none; undefined: that is being read. */
  get due(): number | undefined {
    if (this.#loading > 0 || this.#error) return undefined
    const recent = this.#recent.first
    return Math.min(
      this.#runs.first?.due ?? Infinity,
      recent === undefined ? Infinity : Math.floor(recent / recentFactor),
    )
  }

  /** Why the next message cannot be told. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Where it was taken last. */
  get taken(): [number, number] {
    return [this.#due, this.#offset]
  }

  /** Takes the next message and returns its offset; its due time was told before. */
  take(): number {
    const key = this.#recent.first
    const run = this.#runs.first
    const due = key === undefined ? Infinity : Math.floor(key / recentFactor)
    const offset = key === undefined ? Infinity : this.#base + (key % recentFactor)
    if (run && isBehind(due, offset, run.due, run.offset)) {
      this.#due = run.due
      this.#offset = run.offset
      this.#runs.delete(run)
      if (run.next()) this.#runs.add(run)
      else if (run.hasMore) void this.#load(run)
    } else {
      this.#due = due
      this.#offset = offset
      this.#recent.removeFirst()
    }
    return this.#offset
  }

  close(): void {
    this.#loaded = () => {}
  }

  async #open(runs: Run[]): Promise<void> {
    this.#loading++
    const one = async (): Promise<void> => {
      for (let run = runs.shift(); run; run = runs.shift()) {
        const reader = new RunReader(this.#cell, this.state.index, run)
        if (await reader.seek(this.#due, this.#offset)) this.#runs.add(reader)
      }
    }
    await this.#settle(Promise.all(Array.from({ length: Math.min(seeksMax, runs.length) }, one)))
  }

  async #load(run: RunReader): Promise<void> {
    this.#loading++
    const load = async (): Promise<void> => {
      if (await run.load()) this.#runs.add(run)
    }
    await this.#settle(load())
  }

  async #settle(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error))
    }
    this.#loading--
    if (this.#loading === 0) this.#loaded()
  }
}
