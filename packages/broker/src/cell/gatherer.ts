import { BatchBuilder, type RecordBody } from '../storage/batch-builder.ts'
import type { Journal } from '../storage/journal.ts'
import { batchHeaderBytes, placeBatch } from '../storage/record-batch.ts'
import { streamFacts, type Stream } from './stream.ts'

/** A batch that reaches this size is written; larger ones gain little, and cost whoever wants one record of them. */
const batchBytesMax = 32 * 1024
/** Of all batches together. */
const bytesMax = 512 * 1024
/** Streams that are gathered for at a time. */
const streamsMax = 4096
/** Builders that are kept for later. */
const spareMax = 256

/** What it needs of its cell. */
export interface GathererHost {
  readonly journal: Pick<Journal, 'expect' | 'join' | 'slab' | 'at'>
  readonly epoch: number
  reserveFact(machine: number, type: number, bytes: number): number
  applyReserved(machine: number, type: number, bytes: number, seq: number): void
}

/**
 * Records that were taken for the open block and are in no fact yet: those of one stream become one batch and one fact, at the latest when the
 * block is sealed.
 *
 * Invariant: what is gathered belongs to the open block, whatever happens to it. A stream's records are written before anything else that
 * concerns it and their order.
 */
export class Gatherer {
  readonly #cell: GathererHost
  readonly #builders = new Map<Stream, BatchBuilder>()
  readonly #spare: BatchBuilder[] = []
  #bytes = 0

  constructor(cell: GathererHost) {
    this.#cell = cell
  }

  /** Records of the stream that are in no fact yet. */
  count(stream: Stream): number {
    return this.#builders.size === 0 ? 0 : (this.#builders.get(stream)?.count ?? 0)
  }

  /** Returns the number of the block that the record belongs to. */
  add(stream: Stream, body: RecordBody): number {
    const seq = this.#cell.journal.expect()
    let builder = this.#builders.get(stream)
    if (!builder) {
      builder = this.#spare.pop() ?? new BatchBuilder()
      this.#builders.set(stream, builder)
    }
    const before = builder.size
    builder.add(body)
    this.#bytes += builder.size - before
    if (builder.size >= batchBytesMax) this.flush(stream)
    else if (this.#bytes >= bytesMax || this.#builders.size > streamsMax) this.flushAll()
    return seq
  }

  flush(stream: Stream): void {
    const builder = this.#builders.get(stream)
    if (builder) this.#cell.journal.join(() => this.#write(stream, builder))
  }

  flushAll(): void {
    if (this.#builders.size === 0) return
    this.#cell.journal.join(() => {
      for (const [stream, builder] of this.#builders) this.#write(stream, builder)
    })
  }

  #write(stream: Stream, builder: BatchBuilder): void {
    const cell = this.#cell
    const { size } = builder
    this.#builders.delete(stream)
    this.#bytes -= size - batchHeaderBytes
    const seq = cell.reserveFact(stream.id, streamFacts.append, size)
    const { slab, at } = cell.journal
    builder.take(slab.bytes, at)
    placeBatch(slab.bytes, at, stream.endOffset, cell.epoch % 0x8000_0000)
    cell.applyReserved(stream.id, streamFacts.append, size, seq)
    if (this.#spare.length < spareMax) this.#spare.push(builder)
  }
}
