import type { CellClient, FetchResult, StreamRead } from '../../cell/client.ts'
import type { ConsumerId } from '../cursor/cursor.ts'
import { Placing, type PlaceRequest, type TakenRun } from './placing.ts'
import { unlessFenced } from '../refusals.ts'
import type { SharePartition, Waiter } from './share-partition.ts'

export interface TakeRequest extends PlaceRequest {
  /** Tried in this order. */
  readonly partitions: readonly SharePartition[]
  readonly recordsMax: number
  /** Waits until so much is there. */
  readonly bytesMin: number
  readonly bytesMax: number
  readonly waitMsMax: number
}

export interface Taken {
  readonly partition: SharePartition
  error?: StreamRead['error']
  /** Whole record batches; more may be in them than was taken. */
  batches: Buffer[]
  /** Ascending. */
  runs: TakenRun[]
}

export interface TakeResult {
  /** Only partitions with records or errors. */
  taken: Taken[]
  /** Gives the buffers back once they were written. */
  release(): void
}

/** What one taking needs of the group. */
export interface TakeHost {
  readonly cell: CellClient
  after(delayMs: number, run: () => void): () => void
  /** The consumer that stands for the member in the partition's cursor. */
  consumerOf(partition: SharePartition): ConsumerId
}

/** Between two returned records so far apart, what lies there is not read for their sake. */
const strideMax = 256
const readBytesMin = 64 * 1024

/**
 * One request for records: takes what is there, or waits for it.
 *
 * What is taken is read first, then acquired batch by batch: only so are control batches, aborted records and offsets without
 * a record known, which nobody gets and which are settled here. While a read waits for the disk, its partition is left alone by others.
 */
export class Taking implements Waiter {
  readonly #host: TakeHost
  readonly #request: TakeRequest
  readonly #done: (result: TakeResult) => void
  readonly #taken: Taken[] = []
  readonly #releases: (() => void)[] = []
  #index = 0
  #recordsLeft: number
  #bytesLeft: number
  /** `over`: answered or cancelled. */
  #state: 'running' | 'waiting' | 'over' = 'running'
  #isOverdue = false
  #cancelTimer: (() => void) | undefined
  #cancelRead: (() => void) | undefined

  constructor(host: TakeHost, request: TakeRequest, done: (result: TakeResult) => void) {
    this.#host = host
    this.#request = request
    this.#done = done
    this.#recordsLeft = request.recordsMax
    this.#bytesLeft = request.bytesMax
    this.#isOverdue = request.waitMsMax <= 0 || request.recordsMax <= 0
  }

  start(): void {
    if (this.#isOverdue || this.#hasEnough()) this.#run()
    else this.#wait()
  }

  /** Nobody wants the answer any more. What was acquired stays with the member. */
  readonly cancel = (): void => {
    if (this.#state === 'over') return
    this.#leave()
    this.#state = 'over'
    this.#cancelTimer?.()
    this.#cancelRead?.()
    for (const release of this.#releases) release()
  }

  /** The broker closes: answers with what there is, and takes no more. */
  readonly stop = (): void => {
    if (this.#state === 'over') return
    this.#isOverdue = true
    this.#leave()
    this.#cancelRead?.()
    this.#finish()
  }

  offered(): void {
    if (this.#state !== 'waiting' || !this.#hasEnough()) return
    this.#leave()
    this.#run()
  }

  /** Whether there is something to be told, or as much to be taken as was asked for. */
  #hasEnough(): boolean {
    const { partitions, bytesMin } = this.#request
    let bytes = 0
    for (const partition of partitions) {
      if (partition.isGone) return true
      const offset = partition.availableFrom
      if (offset === undefined) continue
      if (bytesMin <= 1) return true
      const position = { stream: partition.stream, offset, maxBytes: bytesMin }
      bytes += this.#host.cell.readableBytes(position, partition.settings.committed)
      if (bytes >= bytesMin) return true
    }
    return false
  }

  #wait(): void {
    this.#state = 'waiting'
    this.#cancelTimer ??= this.#host.after(this.#request.waitMsMax, () => {
      this.#isOverdue = true
      if (this.#state !== 'waiting') return
      this.#leave()
      unlessFenced(() => this.#run())
    })
    for (const partition of this.#request.partitions) partition.wait(this)
  }

  #leave(): void {
    if (this.#state === 'waiting') for (const partition of this.#request.partitions) partition.stopWaiting(this)
    this.#state = 'running'
  }

  #run(): void {
    const { partitions } = this.#request
    for (;;) {
      const partition = partitions[this.#index]
      if (partition === undefined || this.#recordsLeft <= 0 || this.#bytesLeft <= 0) break
      const from = partition.availableFrom
      if (from === undefined) this.#skipPartition(partition)
      else if (this.#taken.length > 0 && partition.isLastTry(from)) this.#index++
      else if (!this.#read(partition, from)) return
    }
    this.#finish()
  }

  #skipPartition(partition: SharePartition): void {
    if (partition.isGone) this.#entry(partition).error = 'stream-not-found'
    this.#index++
  }

  #finish(): void {
    if (this.#taken.length === 0 && !this.#isOverdue) {
      // It was control batches only, or others were faster.
      this.#index = 0
      return this.#wait()
    }
    this.#state = 'over'
    this.#cancelTimer?.()
    this.#done({
      taken: this.#taken,
      release: () => {
        for (const release of this.#releases) release()
      },
    })
  }

  /** True when the read has ended before this returns; else `#run` is called again at its end. */
  #read(partition: SharePartition, from: number): boolean {
    let isLate = false
    let hasEnded = false
    partition.isRead = true
    const cancel = this.#host.cell.fetch(
      {
        streams: [{ stream: partition.stream, offset: from, maxBytes: this.#bytesLeft }],
        minBytes: 0,
        maxBytes: this.#readBytes(partition, from),
        maxWaitMs: 0,
        committed: partition.settings.committed,
      },
      result => {
        hasEnded = true
        this.#cancelRead = undefined
        partition.isRead = false
        if (!isLate) return this.#place(partition, from, result)
        unlessFenced(() => {
          this.#place(partition, from, result)
          partition.wakeSoon()
          this.#run()
        })
      },
    )
    isLate = true
    if (hasEnded) return true
    this.#cancelRead = () => {
      cancel()
      partition.isRead = false
      partition.wakeSoon()
    }
    return false
  }

  /** Bytes that hold the records wanted, going by the average of the stream. */
  #readBytes(partition: SharePartition, from: number): number {
    const { cell } = this.#host
    const bounds = cell.bounds(partition.stream)
    const records = bounds === undefined ? 0 : bounds.endOffset - bounds.startOffset
    const average = records > 0 ? cell.sizeBytes(partition.stream) / records : 0
    const wanted = Math.max(readBytesMin, 1.25 * average * this.#span(partition, from))
    return Math.min(this.#bytesLeft, Math.ceil(wanted))
  }

  /** How many offsets from `from` on are to be read for the records that are still wanted. */
  #span({ cursor }: SharePartition, from: number): number {
    let last = from
    for (let count = 1; count < this.#recordsLeft; count++) {
      if (last >= cursor.next) return last - from + 1 + this.#recordsLeft - count
      const next = cursor.nextAvailable(last + 1)
      if (next - last > strideMax) break
      last = next
    }
    return last - from + 1
  }

  /** Acquires from what was read. Goes on to the next partition when nothing was to be had here. */
  #place(partition: SharePartition, from: number, result: FetchResult): void {
    const [read] = result.streams
    this.#releases.push(() => result.release())
    if (read === undefined || read.error !== undefined) {
      // What was trimmed in between is passed over when it is looked at again.
      if (read?.error === 'offset-out-of-range' && partition.availableFrom !== from) return
      if (read?.error !== 'offset-out-of-range') this.#entry(partition).error = read?.error ?? 'stream-not-found'
      this.#index++
      return
    }
    const isAlone = partition.isLastTry(from)
    const placing = new Placing(partition, this.#host.consumerOf(partition), this.#request, read)
    const placed = isAlone ? placing.placeOne(from) : placing.place(from, this.#recordsLeft)
    if (isAlone && placed.records > 0) this.#recordsLeft = 0
    if (placed.records > 0) {
      const entry = this.#entry(partition)
      entry.batches.push(...placed.batches)
      entry.runs.push(...placed.runs)
      this.#recordsLeft -= placed.records
      this.#bytesLeft -= placed.bytes
    } else if (partition.availableFrom === from) this.#index++
  }

  #entry(partition: SharePartition): Taken {
    const last = this.#taken.at(-1)
    if (last?.partition === partition) return last
    const entry: Taken = { partition, batches: [], runs: [] }
    this.#taken.push(entry)
    return entry
  }
}
