import type { RecordBody } from '../storage/batch-builder.ts'
import * as batches from '../storage/record-batch.ts'
import type { Cell } from './cell.ts'
import type {
  AppendError,
  AppendResult,
  CellClient,
  FetchPosition,
  FetchRequest,
  FetchResult,
  StreamBounds,
  TimedOffset,
  TransactionEnd,
} from './client.ts'
import { availableIn, Fetcher } from './fetcher.ts'
import { makeMarker } from './marker.ts'
import type { ProducerInfo } from './producers.ts'
import { placedFactBytes, writePlaced } from './placed.ts'
import { trimStream } from './retention.ts'
import { streamFacts } from './stream.ts'
import type { Stream, StreamWaiter } from './stream.ts'
import { timeLookup, newestLookup } from './time-index.ts'

/** The cell's streams for callers in the same process. */
export class LocalCellClient implements CellClient {
  readonly #cell: Cell
  readonly #fetcher: Fetcher

  constructor(cell: Cell) {
    this.#cell = cell
    this.#fetcher = new Fetcher(cell)
  }

  get epoch(): number {
    return this.#cell.epoch
  }

  get isFull(): boolean {
    return this.#cell.full
  }

  get position(): number {
    return this.#cell.journal.durableSeq
  }

  append(streamId: number, batch: Buffer, done: (result: AppendResult) => void): void {
    const cell = this.#cell
    const stream = cell.state.streams.get(streamId)
    const refusal = this.#refusal(stream)
    if (!stream || refusal) return done(refused(refusal ?? 'stream-not-found', stream?.startOffset ?? -1))
    cell.gatherer.flush(stream)
    const producer = batches.producerId(batch)
    if (producer >= 0) {
      const first = batches.baseSequence(batch)
      const check = stream.producers.check(
        producer,
        batches.producerEpoch(batch),
        first,
        batches.lastOffsetDelta(batch) + 1,
      )
      if (typeof check === 'object') return this.#whenSettled(stream, check.offset, -1, done)
      if (check !== 'fresh') return done(refused(check, stream.startOffset))
      const isTransactional = (batches.attributes(batch) & batches.attributeBits.transactional) !== 0
      if (!isTransactional && stream.transactions?.firstOffsetOf(producer) !== undefined)
        return done(refused('transaction-state-invalid', stream.startOffset))
    }
    const base = stream.endOffset
    const seq = this.#add(stream, batch)
    const stamped = batches.attributes(batch) & batches.attributeBits.appendTime ? batches.maxTimestamp(batch) : -1
    cell.whenDurable(seq, done, { baseOffset: base, appendTimeMs: stamped, startOffset: stream.startOffset })
  }

  gather(streamId: number, record: RecordBody): number | AppendError {
    const { gatherer, state } = this.#cell
    const stream = state.streams.get(streamId)
    const refusal = this.#refusal(stream)
    if (!stream || refusal) return refusal ?? 'stream-not-found'
    if (record.length >= aloneBytesMin) {
      gatherer.flush(stream)
      return this.#add(stream, record.alone)
    }
    const seq = gatherer.add(stream, record)
    this.#settleAfter(stream, seq)
    return seq
  }

  #refusal(stream: Stream | undefined): AppendError | undefined {
    const cell = this.#cell
    if (!stream) return 'stream-not-found'
    if (cell.closing) return 'shutting-down'
    if (!cell.full) return undefined
    cell.checkpointer.noticeFact() // What was trimmed before the disk was found full is wanted back soon.
    return 'storage-full'
  }

  #add(stream: Stream, batch: Buffer): number {
    const seq = this.#cell.large.takes(batch.length) ? this.#place(stream, batch) : this.#write(stream, batch)
    this.#settleAfter(stream, seq)
    return seq
  }

  /** What was appended in block `seq` becomes visible when that is durable. */
  #settleAfter(stream: Stream, seq: number): void {
    if (stream.dirtySeq === seq) return
    stream.dirtySeq = seq
    this.#cell.whenDurable(seq, stream.settleDurable, seq)
  }

  #write(stream: Stream, batch: Buffer): number {
    const cell = this.#cell
    const seq = cell.reserveFact(stream.id, streamFacts.append, batch.length)
    const { slab, at } = cell.journal
    batch.copy(slab.bytes, at)
    batches.placeBatch(slab.bytes, at, stream.endOffset, recordEpoch(cell))
    cell.applyReserved(stream.id, streamFacts.append, batch.length, seq)
    return seq
  }

  /** A large batch: it goes straight into a segment, and the journal tells where it is. */
  #place(stream: Stream, batch: Buffer): number {
    const cell = this.#cell
    const base = stream.endOffset
    const seq = cell.reserveFact(stream.id, streamFacts.placed, placedFactBytes)
    const { slab, at } = cell.journal
    const placed = cell.large.place(batch, base, recordEpoch(cell))
    writePlaced(slab.bytes, at, placed, placed.number, placed.slab.bytes.subarray(placed.at))
    cell.applyReserved(stream.id, streamFacts.placed, placedFactBytes, seq)
    cell.large.remember(stream, base, placed, batch.length)
    cell.journal.require(placed.ticket)
    return seq
  }

  /** A repetition is answered when its original is durable. */
  #whenSettled(stream: Stream, baseOffset: number, appendTimeMs: number, done: (result: AppendResult) => void): void {
    this.#cell.whenDurable(this.#cell.openSeq, done, { baseOffset, appendTimeMs, startOffset: stream.startOffset })
  }

  fetch(request: FetchRequest, done: (result: FetchResult) => void): () => void {
    return this.#fetcher.fetch(request, done)
  }

  watch(streamId: number, committed: boolean, grown: () => void): () => void {
    const stream = this.#cell.state.streams.get(streamId)
    if (!stream) return () => {}
    const waiter: StreamWaiter = { committed, grown: bytes => (bytes > 0 ? grown() : undefined) }
    if (stream.waiters) stream.waiters.push(waiter)
    else stream.waiters = [waiter]
    return () => void (stream.waiters = stream.waiters?.filter(other => other !== waiter))
  }

  readableBytes(position: FetchPosition, committed: boolean): number {
    return availableIn(this.#cell.state.streams.get(position.stream), position, committed)
  }

  bounds(streamId: number): StreamBounds | undefined {
    const stream = this.#cell.state.streams.get(streamId)
    if (!stream) return undefined
    const newest = stream.epochs.count - 1
    const epoch = newest < 0 ? this.epoch : stream.epochs.get(newest, 0)
    const startEpoch = newest < 0 ? this.epoch : stream.epochs.get(0, 0)
    const { startOffset, visibleEnd: endOffset, stableEnd: stableOffset } = stream
    return { startOffset, endOffset, stableOffset, epoch, startEpoch }
  }

  offsetAtTime(streamId: number, at: number): Promise<TimedOffset | undefined> {
    return timeLookup(this.#cell, this.#fetcher.reader, streamId, at)
  }

  offsetOfMaxTimestamp(streamId: number): Promise<TimedOffset | undefined> {
    return newestLookup(this.#cell, this.#fetcher.reader, streamId)
  }

  epochEnd(streamId: number, epoch: number): { epoch: number; endOffset: number } | undefined {
    const stream = this.#cell.state.streams.get(streamId)
    if (!stream) return undefined
    const row = stream.epochs.lastAtMost(0, epoch)
    if (row < 0) return undefined
    const next = row + 1 < stream.epochs.count ? stream.epochs.get(row + 1, 1) : stream.visibleEnd
    return { epoch: stream.epochs.get(row, 0), endOffset: next }
  }

  async trim(streamId: number, offset: number): Promise<number> {
    const stream = this.#cell.state.streams.get(streamId)
    if (!stream) return -1
    const start = Math.min(offset, stream.visibleEnd)
    if (start > stream.startOffset) await this.#cell.durable(trimStream(this.#cell, streamId, start))
    else await this.#cell.durable(this.#cell.openSeq)
    return stream.startOffset
  }

  endTransaction(streamId: number, { producerId, producerEpoch, isCommitted }: TransactionEnd): void {
    const cell = this.#cell
    const stream = cell.state.streams.get(streamId)
    if (!stream) return
    const epoch = cell.epoch % 0x8000_0000
    const timeMs = cell.clock.nowMs()
    cell.gatherer.flush(stream)
    const marker = makeMarker({ isCommitted, coordinatorEpoch: epoch }, { producerId, producerEpoch, timeMs })
    batches.placeBatch(marker, 0, stream.endOffset, epoch)
    this.#settleAfter(stream, cell.fact(streamId, streamFacts.append, marker))
  }

  openTransaction(streamId: number, producerId: number): number | undefined {
    return this.#cell.state.streams.get(streamId)?.transactions?.firstOffsetOf(producerId)
  }

  producers(streamId: number): (ProducerInfo & { transactionOffset: number | undefined })[] | undefined {
    const stream = this.#cell.state.streams.get(streamId)
    if (!stream) return undefined
    return Array.from(stream.producers.list(), producer => ({
      ...producer,
      transactionOffset: stream.transactions?.firstOffsetOf(producer.producerId),
    }))
  }

  sizeBytes(streamId: number): number {
    return this.#cell.state.streams.get(streamId)?.bytes ?? 0
  }

  takenEnd(streamId: number): number {
    const stream = this.#cell.state.streams.get(streamId)
    return stream === undefined ? -1 : stream.endOffset + this.#cell.gatherer.count(stream)
  }

  startOf(streamId: number): number {
    return this.#cell.state.streams.get(streamId)?.startOffset ?? -1
  }

  unsettled(streamId: number): number {
    const stream = this.#cell.state.streams.get(streamId)
    if (stream === undefined) return 0
    return stream.endOffset + this.#cell.gatherer.count(stream) - stream.visibleEnd
  }
}

/** From this length on, a record is a batch of its own: others would add nothing to it. */
const aloneBytesMin = 32 * 1024

/** As records have it: 31 bits. */
const recordEpoch = (cell: Cell): number => cell.epoch % 0x8000_0000

const refused = (error: AppendError, startOffset: number): AppendResult => ({
  error,
  baseOffset: -1,
  appendTimeMs: -1,
  startOffset,
})
