import { BatchRecords } from '../storage/batch-records.ts'
import * as batches from '../storage/record-batch.ts'
import { Survivors } from '../storage/rebuild-batch.ts'
import type { KeyMap } from './key-map.ts'
import type { Pace } from './pace.ts'
import type { Stream } from './stream.ts'

/** Records between two looks at the clock. */
const recordsPerLook = 64

export interface FilterOptions {
  stream: Stream
  /** The newest offset of each key below `until`, as far as it is not compacted yet. */
  keys: KeyMap
  /** Records from here on stay, whatever they are. */
  until: number
  nowMs: number
  deleteRetentionMs: number
  pace: Pace
}

/** What has gone through a filter. */
export interface Passed {
  bytesRead: number
  bytesKept: number
  recordsRead: number
  recordsKept: number
  /** Batches whose records cannot be read; they stay as they are. */
  unreadable: number
}

/**
 * Decides what is left of a stream's batches, which it must be shown from the stream's start and in order:
 *
 * - of the records of one key the newest; records without a key go;
 * - a newest record without a value (a *tombstone*) until its batch's *delete horizon* has passed. The first pass that meets it
 *   writes the horizon into the batch, so that who reads from the start has that long to learn of the deletion;
 * - no record of an aborted transaction;
 * - the marker of a transaction as long as there are records of it, then to its delete horizon, and longer while readers are
 *   still told that the transaction was aborted: they look for the marker.
 */
export class CompactionFilter {
  readonly #options: FilterOptions
  readonly #records = new BatchRecords()
  readonly #survivors = new Survivors()
  /** Producers of whose present transaction there are records left. */
  readonly #inTransaction = new Set<number>()
  readonly passed: Passed = { bytesRead: 0, bytesKept: 0, recordsRead: 0, recordsKept: 0, unreadable: 0 }

  constructor(options: FilterOptions) {
    this.#options = options
  }

  /** The batch itself, a smaller one in its place, or undefined when nothing of it is left. */
  async filter(batch: Buffer): Promise<Buffer | undefined> {
    const { passed } = this
    const filtered = await this.#filter(batch)
    passed.bytesRead += batch.length
    passed.recordsRead += batches.recordCount(batch)
    if (filtered) {
      passed.bytesKept += filtered.length
      passed.recordsKept += batches.recordCount(filtered)
    }
    return filtered
  }

  async #filter(batch: Buffer): Promise<Buffer | undefined> {
    const { stream, until } = this.#options
    if (batches.baseOffset(batch) >= until) return batch
    const bits = batches.attributes(batch)
    if (bits & batches.attributeBits.control) return this.#filterMarker(batch)
    if (isAborted(stream, batch)) return batches.lastOffset(batch) >= until ? batch : undefined
    const filtered = await this.#filterRecords(batch)
    if (filtered && bits & batches.attributeBits.transactional) this.#inTransaction.add(batches.producerId(batch))
    return filtered
  }

  #filterMarker(batch: Buffer): Buffer | undefined {
    const { stream, nowMs, deleteRetentionMs } = this.#options
    const producer = batches.producerId(batch)
    if (this.#inTransaction.delete(producer)) return batch
    const horizon = batches.deleteHorizon(batch)
    if (horizon !== undefined) {
      const offset = batches.baseOffset(batch)
      const isTold = stream.abortedIn(offset, offset + 1).some(({ producerId }) => producerId === producer)
      return horizon <= nowMs && !isTold ? undefined : batch
    }
    this.#survivors.clear()
    this.#records.open(batch)
    while (this.#records.next()) this.#survivors.add(this.#records, batches.baseTimestamp(batch))
    if (!this.#records.isSound) return batch
    return this.#survivors.rebuild(batch, 0, this.#records.plain, nowMs + deleteRetentionMs)
  }

  async #filterRecords(batch: Buffer): Promise<Buffer | undefined> {
    const { keys, until, nowMs, deleteRetentionMs, pace } = this.#options
    const base = batches.baseOffset(batch)
    const baseTime = batches.baseTimestamp(batch)
    const horizon = batches.deleteHorizon(batch)
    const keepsTombstones = horizon === undefined || nowMs < horizon
    let needsHorizon = false
    const records = this.#records
    const survivors = this.#survivors
    survivors.clear()
    records.open(batch)
    for (let count = 1; records.next(); count++) {
      if (count % recordsPerLook === 0 && pace.isDue) await pace.rest()
      const offset = base + records.offsetDelta
      if (offset < until) {
        if (records.keyBytes < 0 || !(records.hasValue || keepsTombstones) || keys.get(records) > offset) continue
        needsHorizon ||= !records.hasValue && horizon === undefined
      }
      survivors.add(records, baseTime)
    }
    if (!records.isSound) {
      this.passed.unreadable++
      return batch
    }
    if (survivors.count === 0) return undefined
    if (survivors.count === batches.recordCount(batch) && !needsHorizon) return batch
    return survivors.rebuild(batch, 0, records.plain, needsHorizon ? nowMs + deleteRetentionMs : undefined)
  }
}

/** Whether the batch was written in a transaction that was aborted. */
export function isAborted(stream: Stream, batch: Buffer): boolean {
  if ((batches.attributes(batch) & batches.attributeBits.transactional) === 0) return false
  const producer = batches.producerId(batch)
  const base = batches.baseOffset(batch)
  return stream
    .abortedIn(base, base + 1)
    .some(
      ({ producerId, firstOffset, lastOffset }) => producerId === producer && firstOffset <= base && base < lastOffset,
    )
}
