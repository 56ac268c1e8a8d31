import { BatchRecords } from '../storage/batch-records.ts'
import * as batches from '../storage/record-batch.ts'
import { Survivors } from '../storage/rebuild-batch.ts'
import type { Usage } from './checkpoint.ts'
import type { CellCore } from './core.ts'
import type { LiveRecords } from './options.ts'
import type { BatchFilter, LeftOut, Rewritten, Run } from './rewriter.ts'
import { extent } from './stream.ts'
import type { Stream } from './stream.ts'

/** Records left, by stream, then by the first offset of an extent. */
type Counts = Map<number, Map<number, number>>

/**
 * Knows what of segments nobody needs any more though it lies above the start of its stream: single records among others that are still
 * needed. An old one pins itself, and not its segment.
 *
 * How many records an extent has left is remembered for those that were rewritten, so that this comes to rest; it is volatile: after a start,
 * one more rewrite may be made in vain.
 */
export class SettledRecords implements LeftOut {
  readonly #cell: CellCore
  #left: Counts = new Map()

  constructor(cell: CellCore) {
    this.#cell = cell
  }

  /** What is in use of the segments, without what is settled. */
  deduct(usage: ReadonlyMap<number, Usage>): ReadonlyMap<number, Usage> {
    const { options, state } = this.#cell
    const { liveOf } = options
    if (!liveOf) return usage
    const found = new Map(usage)
    const kept: Counts = new Map()
    for (const stream of state.streams.values()) {
      const live = stream.extents.count > 0 ? liveOf(stream.id) : undefined
      if (!live) continue
      const known = this.#left.get(stream.id)
      if (known) kept.set(stream.id, new Map())
      for (let row = 0; row < stream.extents.count; row++) this.#deductExtent(stream, row, live, found, kept)
    }
    this.#left = kept
    return found
  }

  #deductExtent(stream: Stream, row: number, live: LiveRecords, usage: Map<number, Usage>, kept: Counts): void {
    const { extents, id } = stream
    const first = extents.get(row, extent.first)
    const last = extents.get(row, extent.last)
    const known = this.#left.get(id)?.get(first)
    if (known !== undefined) kept.get(id)?.set(first, known)
    const records = known ?? last - first + 1
    // Where most are needed, the exact number is of no use.
    const count = live.count(first, last, Math.ceil(records / 2))
    if (count * 2 >= records) return
    const segment = extents.get(row, extent.segment)
    const used = usage.get(segment)
    if (used)
      usage.set(segment, { ...used, bytes: used.bytes - extents.get(row, extent.bytes) * (1 - count / records) })
  }

  /** Leaves of the batches of a stream what is needed; undefined when all of them stay. */
  filterFor(stream: Stream): SettledFilter | undefined {
    const live = this.#cell.options.liveOf?.(stream.id)
    return live && new SettledFilter(live)
  }

  /** Extents were rewritten, and have so many records left. */
  note(rewritten: Rewritten, counts: ReadonlyMap<Run, number>): void {
    for (const { run, placed } of rewritten.moves) {
      const count = counts.get(run)
      if (!placed || count === undefined) continue
      const known = this.#left.get(run.stream.id) ?? new Map<number, number>()
      known.set(placed.firstOffset, count)
      this.#left.set(run.stream.id, known)
    }
  }
}

/** Whole batches where all or nothing of them is needed; smaller ones else. Offsets do not change. */
class SettledFilter {
  readonly #live: LiveRecords
  readonly #records = new BatchRecords()
  readonly #survivors = new Survivors()
  /** Records that were left. */
  keptCount = 0

  constructor(live: LiveRecords) {
    this.#live = live
  }

  readonly filter: BatchFilter = async batch => {
    const first = batches.baseOffset(batch)
    const last = batches.lastOffset(batch)
    const count = this.#live.count(first, last, last - first + 1)
    if (count === 0) return undefined
    if (count === last - first + 1) {
      this.keptCount += count
      return batch
    }
    return this.#thin(batch, first)
  }

  #thin(batch: Buffer, base: number): Buffer | undefined {
    const records = this.#records
    const survivors = this.#survivors
    survivors.clear()
    records.open(batch)
    while (records.next()) {
      if (this.#live.isLive(base + records.offsetDelta)) survivors.add(records, batches.baseTimestamp(batch))
    }
    // What cannot be read stays as it is, for who consumes it to hear of it.
    if (!records.isSound) {
      this.keptCount += batches.recordCount(batch)
      return batch
    }
    this.keptCount += survivors.count
    if (survivors.count === 0) return undefined
    if (survivors.count === batches.recordCount(batch)) return batch
    return survivors.rebuild(batch, 0, records.plain)
  }
}
