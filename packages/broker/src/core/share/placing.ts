import type { StreamRead } from '../../cell/client.ts'
import * as batches from '../../storage/record-batch.ts'
import type { ConsumerId } from '../cursor/cursor.ts'
import { isHidden } from '../cursor/hidden.ts'
import type { SharePartition } from './share-partition.ts'

/** Records at neighbouring offsets that were delivered equally often, this time included. */
export interface TakenRun {
  readonly first: number
  last: number
  readonly deliveryCount: number
}

/** What a place depends on besides what was read. */
export interface PlaceRequest {
  /** Records that one run should have at most. */
  readonly runRecords: number
  /** The last batch is taken whole, even if that makes more than was wanted. */
  readonly wholeBatches: boolean
  /** What is taken is held until it is settled or its holder is gone, however long that takes. */
  readonly isLasting?: boolean
}

interface Placed {
  records: number
  bytes: number
  batches: Buffer[]
  runs: TakenRun[]
}

/** A batch that was read and may be had. */
interface Candidate {
  readonly bytes: Buffer
  readonly at: number
  readonly length: number
  /** Inclusive. */
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

/** Goes through the batches of one read and acquires of them what is available, as many batches at once as may be needed. */
export class Placing {
  readonly #partition: SharePartition
  readonly #consumer: ConsumerId
  readonly #request: PlaceRequest
  readonly #read: StreamRead
  #end: number
  #isAlone = false
  readonly #placed: Placed = { records: 0, bytes: 0, batches: [], runs: [] }
  #recordsMax = 0
  #candidates: Candidate[] = []
  #offsets = 0

  constructor(partition: SharePartition, consumer: ConsumerId, request: PlaceRequest, read: StreamRead) {
    this.#partition = partition
    this.#consumer = consumer
    this.#request = request
    this.#read = read
    this.#end = Math.min(partition.end, partition.settings.committed ? read.stableOffset : read.endOffset)
  }

  /** The record at `from` and no other. */
  placeOne(from: number): Placed {
    this.#isAlone = true
    this.#end = Math.min(this.#end, from + 1)
    return this.place(from, 1)
  }

  place(from: number, recordsMax: number): Placed {
    this.#recordsMax = recordsMax
    let next = from
    for (const bytes of this.#read.batches) {
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        const base = batches.baseOffset(bytes, at)
        if (this.#isFull() || base >= this.#end) return this.#finish()
        if (base > next) this.#settleEmpty(next, base)
        next = batches.lastOffset(bytes, at) + 1
        this.#consider(bytes, at, Math.max(base, this.#read.startOffset), Math.min(next, this.#end))
      }
    }
    return this.#finish()
  }

  #finish(): Placed {
    this.#acquire()
    return this.#placed
  }

  /** Enough has been acquired, also when what is considered turns out to be all there. */
  #isFull(): boolean {
    if (this.#placed.records + this.#offsets >= this.#recordsMax) this.#acquire()
    return this.#placed.records >= this.#recordsMax
  }

  #consider(bytes: Buffer, at: number, from: number, to: number): void {
    if (batches.recordCount(bytes, at) === 0 || isHidden(bytes, at, this.#read.aborted))
      return this.#settleEmpty(from, to)
    // What has to be given alone is left to the next request, and what comes after it.
    const end = this.#isAlone ? to : this.#partition.endOfCompany(from, to)
    if (end < to) this.#end = end
    if (end <= from) return
    this.#candidates.push({ bytes, at, length: batches.batchBytes(bytes, at), from, to: end })
    this.#offsets += end - from
  }

  #acquire(): void {
    const candidates = this.#candidates
    const [first] = candidates
    const last = candidates.at(-1)
    if (first === undefined || last === undefined) return
    const placed = this.#placed
    const max = this.#request.wholeBatches && !this.#isAlone ? this.#offsets : this.#recordsMax - placed.records
    const leaseMs = this.#request.isLasting ? undefined : this.#partition.settings.lockDurationMs
    const runs: TakenRun[] = []
    placed.records += this.#partition.cursor.acquire(
      this.#consumer,
      { max, from: first.from, to: last.to, leaseMs },
      { run: (runFirst, runLast, deliveryCount) => void runs.push({ first: runFirst, last: runLast, deliveryCount }) },
    )
    this.#keep(candidates, runs)
    this.#addRuns(runs, candidates)
    this.#candidates = []
    this.#offsets = 0
  }

  /** Joins what belongs together and cuts what is too long where a batch ends, so that runs are as long as the member likes. */
  #addRuns(more: readonly TakenRun[], candidates: readonly Candidate[]): void {
    const { runs } = this.#placed
    let index = 0
    for (const { first, last, deliveryCount } of more) {
      for (let next = first; next <= last; index++) {
        const end = candidates[index]?.to ?? last + 1
        if (end <= next) continue
        const before = runs.at(-1)
        const pieceLast = Math.min(end - 1, last)
        if (before !== undefined && joins(before, next, pieceLast, deliveryCount, this.#request.runRecords)) {
          before.last = pieceLast
        } else runs.push({ first: next, last: pieceLast, deliveryCount })
        next = pieceLast + 1
        // The rest of the batch may be in the next run.
        if (next < end) break
      }
    }
  }

  /** The batches of which anything was acquired, neighbours in memory in one piece. */
  #keep(candidates: readonly Candidate[], runs: readonly TakenRun[]): void {
    const { batches: pieces } = this.#placed
    let index = 0
    let piece: { bytes: Buffer; at: number; end: number } | undefined
    for (const { bytes, at, length, from, to } of candidates) {
      for (let run = runs[index]; run !== undefined && run.last < from; run = runs[index]) index++
      const run = runs[index]
      if (run === undefined || run.first >= to) continue
      this.#placed.bytes += length
      if (piece?.bytes === bytes && piece.end === at) {
        piece.end += length
        continue
      }
      if (piece !== undefined) pieces.push(piece.bytes.subarray(piece.at, piece.end))
      piece = { bytes, at, end: at + length }
    }
    if (piece !== undefined) pieces.push(piece.bytes.subarray(piece.at, piece.end))
  }

  /** Nobody will ever get these: there is no record, or none for members. What somebody holds of them stays with its holder. */
  #settleEmpty(from: number, to: number): void {
    this.#acquire()
    if (to <= from) return
    const { cursor } = this.#partition
    const empty: [number, number][] = []
    cursor.acquire(
      this.#consumer,
      { max: to - from, from, to },
      { run: (first, last) => void empty.push([first, last]) },
    )
    for (const [first, last] of empty) cursor.drop(first, last, 'gap')
  }
}

/** Whether [first, last] goes on where the run ends, without making it too long. */
const joins = (run: TakenRun, first: number, last: number, deliveryCount: number, recordsMax: number): boolean =>
  run.last + 1 === first && run.deliveryCount === deliveryCount && last - run.first < recordsMax
