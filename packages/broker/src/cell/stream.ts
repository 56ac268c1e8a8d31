import assert from 'node:assert/strict'
import type { Reader, Writer } from '@dragoman/wire'
import * as batches from '../storage/record-batch.ts'
import { Rows } from '../storage/rows.ts'
import type { Extent } from '../storage/segment.ts'
import type { Slab } from '../storage/slab.ts'
import type { FactContext, Machine } from './machine.ts'
import { readMarker } from './marker.ts'
import { placedFact, placedHeader, readPlace } from './placed.ts'
import type { Place } from './placed.ts'
import { ProducerTable } from './producers.ts'
import { StreamTransactions, type AbortedTransaction } from './stream-transactions.ts'

/** Written to disk: never renumber. */
export const streamFacts = { append: 1, trim: 2, forgetProducers: 3, forgetAborted: 4, placed: placedFact } as const

/** Of what `save` writes. Version 1 had no transactions. */
const stateVersion = 2

/** A stream's facts also say where in memory they lie, so that the tail can be read from there. */
export interface StreamFactContext extends FactContext {
  slab: Slab
  slabAt: number
}

/**
 * Columns of the tail: one row for each batch that is not flushed. It lies in a slab, or (`segment` >= 0) in a segment that is
 * not finished; then perhaps in a slab, too.
 */
export const tail = {
  base: 0,
  last: 1,
  at: 2,
  bytes: 3,
  maxTimestamp: 4,
  seq: 5,
  segment: 6,
  position: 7,
  crc: 8,
} as const
/** Columns of the extents: one row for each stretch in a segment. */
export const extent = {
  segment: 0,
  first: 1,
  last: 2,
  position: 3,
  bytes: 4,
  chunkPosition: 5,
  chunkCount: 6,
  maxTimestamp: 7,
} as const

/** A reader that waits for more. */
export interface StreamWaiter {
  /** It reads only what is committed: it is told when the stable end moves, the others when the visible one does. */
  readonly committed: boolean
  grown(bytes: number): void
}

/**
 * The only container of messages: record batches, appended at dense offsets.
 *
 *   startOffset <= stableEnd <= visibleEnd <= endOffset
 *   offsets  [startOffset … extents … | … tail … visibleEnd) … appended, not yet durable … endOffset
 *
 * Invariants: extents are ascending and do not overlap; the tail follows the last extent; what is below `startOffset` may be
 * there but is not read. Nothing at or beyond `visibleEnd` leaves the process. Compaction leaves holes within extents and
 * between them, but the records before `stableEnd` and before `visibleEnd` stay: a reader never finds a hole at the end.
 */
export class Stream implements Machine {
  readonly id: number
  startOffset = 0
  endOffset = 0
  /** One past the last durable record. */
  visibleEnd = 0
  /** Bytes of all batches in extents and tail. */
  bytes = 0
  /** Below it, compaction has left the newest record of each key. It goes with the extents and is none of the state. */
  compactedTo = 0
  /** Epochs with the offset at which each began: pairs, ascending. */
  readonly epochs = new Rows(2)
  readonly tail = new Rows(9)
  /** Undefined: the batch is read from its segment. */
  readonly tailSlabs: (Slab | undefined)[] = []
  readonly extents = new Rows(8)
  readonly producers = new ProducerTable()
  /** Undefined while nobody has ever written in a transaction. */
  transactions: StreamTransactions | undefined
  #stableEnd = 0
  /** Aborted transactions that ended before it are forgotten, since this start: compaction has removed their records. */
  abortedFrom = 0
  waiters: StreamWaiter[] | undefined
  /** Rows of the tail that are visible. */
  #visibleRows = 0
  /** Block for which the stream has asked to be told. */
  dirtySeq = -1

  constructor(id: number) {
    this.id = id
  }

  apply(type: number, payload: Buffer, at: FactContext): void {
    if (type === streamFacts.append) this.#append(payload, at as StreamFactContext)
    else if (type === streamFacts.placed) {
      this.#append(placedHeader(payload), at as StreamFactContext, readPlace(payload))
    } else if (type === streamFacts.trim) this.#trim(batches.readInt64(payload, 0))
    else if (type === streamFacts.forgetAborted) this.#forgetAborted(batches.readInt64(payload, 0))
    else if (type === streamFacts.forgetProducers) {
      for (let pos = 0; pos < payload.length; pos += 8) this.producers.forget(batches.readInt64(payload, pos))
    } else throw new Error(`A stream knows no fact of type ${type}`)
  }

  /** `payload`: the batch, or the header of one that lies elsewhere. */
  #append(payload: Buffer, { slab, slabAt, seq, timeMs }: StreamFactContext, place?: Place): void {
    const base = batches.baseOffset(payload)
    const last = batches.lastOffset(payload)
    const epoch = batches.leaderEpoch(payload)
    assert.equal(base, this.endOffset, 'offsets must be dense')
    const row = this.tail.add()
    this.tail.set(row, tail.base, base)
    this.tail.set(row, tail.last, last)
    this.tail.set(row, tail.at, slabAt)
    const bytes = batches.batchBytes(payload)
    this.tail.set(row, tail.bytes, bytes)
    this.tail.set(row, tail.maxTimestamp, batches.maxTimestamp(payload))
    this.tail.set(row, tail.seq, seq)
    this.tail.set(row, tail.segment, place ? place.segment : -1)
    this.tail.set(row, tail.position, place ? place.position : 0)
    this.tail.set(row, tail.crc, place ? place.crc : 0)
    this.tailSlabs.push(place ? undefined : slab)
    this.endOffset = last + 1
    this.bytes += bytes
    const newest = this.epochs.count - 1
    if (newest < 0 || this.epochs.get(newest, 0) !== epoch) {
      const added = this.epochs.add()
      this.epochs.set(added, 0, epoch)
      this.epochs.set(added, 1, base)
    }
    if (batches.producerId(payload) >= 0) this.#noteProducer(payload, base, timeMs)
  }

  #noteProducer(batch: Buffer, base: number, timeMs: number): void {
    const producer = batches.producerId(batch)
    const epoch = batches.producerEpoch(batch)
    const bits = batches.attributes(batch)
    if (bits & batches.attributeBits.control) {
      const marker = readMarker(batch)
      if (!marker) return
      this.producers.mark(producer, epoch, marker.coordinatorEpoch, timeMs)
      this.transactions?.end(producer, marker.isCommitted, base)
      return
    }
    this.producers.append(
      producer,
      epoch,
      batches.baseSequence(batch),
      batches.lastOffsetDelta(batch) + 1,
      base,
      timeMs,
    )
    if (bits & batches.attributeBits.transactional) this.#transactional().begin(producer, base)
  }

  #transactional(): StreamTransactions {
    if (this.transactions) return this.transactions
    this.#stableEnd = this.visibleEnd
    return (this.transactions = new StreamTransactions())
  }

  /** The newest batch of the tail can be read in memory, until `forget`. */
  remember(slab: Slab, at: number): void {
    const row = this.tail.count - 1
    this.tail.set(row, tail.at, at)
    this.tailSlabs[row] = slab
  }

  forget(base: number): void {
    const row = this.tail.lastAtMost(tail.base, base)
    if (row >= 0 && this.tail.get(row, tail.base) === base) this.tailSlabs[row] = undefined
  }

  #trim(start: number): void {
    this.startOffset = Math.max(this.startOffset, start)
    this.transactions?.trim(this.startOffset)
    let dead = 0
    for (; dead < this.extents.count && this.extents.get(dead, extent.last) < start; dead++) {
      this.bytes -= this.extents.get(dead, extent.bytes)
    }
    this.extents.dropFirst(dead)
    // The epoch that holds the start stays: it answers for all offsets up to the next one's beginning.
    const holds = this.epochs.lastAtMost(1, this.startOffset)
    if (holds > 0) this.epochs.dropFirst(holds)
  }

  /** Makes everything up to block `seq` visible and tells who waits. Bound, because each block calls it. */
  readonly settleDurable = (seq: number): void => {
    let grown = 0
    let row = this.#visibleRows
    for (; row < this.tail.count && this.tail.get(row, tail.seq) <= seq; row++) {
      grown += this.tail.get(row, tail.bytes)
      this.visibleEnd = this.tail.get(row, tail.last) + 1
    }
    this.#visibleRows = row
    const stableGrown = this.transactions ? this.#settleStable() : grown
    if ((grown > 0 || stableGrown > 0) && this.waiters && this.waiters.length > 0) {
      for (const waiter of [...this.waiters]) waiter.grown(waiter.committed ? stableGrown : grown)
    }
  }

  /** Moves the stable end. Returns the bytes that it has passed; some large number when they are flushed already. */
  #settleStable(): number {
    const before = this.#stableEnd
    this.#stableEnd = this.transactions?.settle(this.visibleEnd) ?? this.visibleEnd
    if (this.#stableEnd === before) return 0
    if (before < this.tailStart) return Number.MAX_SAFE_INTEGER
    let grown = 0
    for (let row = Math.max(0, this.tail.lastAtMost(tail.base, before)); row < this.tail.count; row++) {
      if (this.tail.get(row, tail.base) >= this.#stableEnd) break
      grown += this.tail.get(row, tail.bytes)
    }
    return grown
  }

  /** One past the last record that readers of what is committed may see: where the first open transaction begins, or the visible end. */
  get stableEnd(): number {
    return this.transactions ? Math.max(this.#stableEnd, this.startOffset) : this.visibleEnd
  }

  /** Transactions with records in [from, to) that were aborted: readers of what is committed skip those records. */
  abortedIn(from: number, to: number): AbortedTransaction[] {
    return this.transactions?.abortedIn(from, to) ?? []
  }

  /** Of what was aborted below `end` nothing is stored any more. */
  #forgetAborted(end: number): void {
    this.transactions?.trim(end)
    this.abortedFrom = end
  }

  /** After replay all that was read is durable. */
  settleAll(): void {
    this.#visibleRows = this.tail.count
    this.visibleEnd = this.endOffset
    this.#settleStable()
  }

  /** The first extent that ends at or behind `offset`, which may begin behind it; their count when there is none. */
  extentAt(offset: number): number {
    const row = this.extents.lastAtMost(extent.first, offset)
    return row >= 0 && this.extents.get(row, extent.last) >= offset ? row : row + 1
  }

  /** First offset of the tail, or its end when it is empty. */
  get tailStart(): number {
    return this.tail.count > 0 ? this.tail.get(0, tail.base) : this.endOffset
  }

  /** Rows of the tail in blocks up to `seq`. */
  tailRowsThrough(seq: number): number {
    return this.tail.lastAtMost(tail.seq, seq) + 1
  }

  /** The first `rows` of the tail lie in a segment now, or below the start. */
  flushed(rows: number, placed: Extent | undefined, segment: number): void {
    let bytes = 0
    for (let row = 0; row < rows; row++) bytes += this.tail.get(row, tail.bytes)
    this.tail.dropFirst(rows)
    this.tailSlabs.splice(0, rows)
    this.#visibleRows = Math.max(0, this.#visibleRows - rows)
    this.bytes -= bytes
    if (placed && placed.lastOffset >= this.startOffset) {
      this.place(placed, segment)
      this.bytes += placed.bytes
    }
  }

  /** Adds an extent behind the others; the caller counts its bytes. */
  place(placed: Extent, segment: number): void {
    this.#setExtent(this.extents.add(), placed, segment)
  }

  /** The bytes of `rows` extents from `row` on lie together elsewhere now, without what was below the start. */
  moveExtents(row: number, rows: number, placed: Extent, segment: number): void {
    for (let at = row; at < row + rows; at++) this.bytes -= this.extents.get(at, extent.bytes)
    this.extents.remove(row + 1, rows - 1)
    this.#setExtent(row, placed, segment)
    this.bytes += placed.bytes
  }

  /** Nothing is left of `rows` extents from `row` on. */
  removeExtents(row: number, rows: number): void {
    for (let at = row; at < row + rows; at++) this.bytes -= this.extents.get(at, extent.bytes)
    this.extents.remove(row, rows)
  }

  #setExtent(row: number, placed: Extent, segment: number): void {
    this.extents.set(row, extent.segment, segment)
    this.extents.set(row, extent.first, placed.firstOffset)
    this.extents.set(row, extent.last, placed.lastOffset)
    this.extents.set(row, extent.position, placed.position)
    this.extents.set(row, extent.bytes, placed.bytes)
    this.extents.set(row, extent.chunkPosition, placed.chunkPosition)
    this.extents.set(row, extent.chunkCount, placed.chunkCount)
    this.extents.set(row, extent.maxTimestamp, placed.maxTimestamp)
  }

  /** State proper; where the bytes lie is the checkpoint's business. */
  save(out: Writer): void {
    out.u8(stateVersion)
    out.i64(this.startOffset)
    out.i64(this.endOffset)
    out.u32(this.epochs.count)
    for (let row = 0; row < this.epochs.count; row++) {
      out.i32(this.epochs.get(row, 0))
      out.i64(this.epochs.get(row, 1))
    }
    this.producers.save(out)
    out.bool(this.transactions !== undefined)
    this.transactions?.save(out)
  }

  load(from: Reader): void {
    const version = from.u8()
    if (version < 1 || version > stateVersion) throw new Error(`Cannot read version ${version} of a stream's state`)
    this.startOffset = from.i64()
    this.endOffset = from.i64()
    this.visibleEnd = this.endOffset
    for (let left = from.u32(); left > 0; left--) {
      const row = this.epochs.add()
      this.epochs.set(row, 0, from.i32())
      this.epochs.set(row, 1, from.i64())
    }
    this.producers.load(from, version)
    if (version < 2 || !from.bool()) return
    this.#transactional().load(from)
    this.#settleStable()
  }
}
