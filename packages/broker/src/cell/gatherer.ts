import { BatchBuilder, type RecordBody } from '../storage/batch-builder.ts'
import type { Journal } from '../storage/journal.ts'
import { placeBatch } from '../storage/record-batch.ts'
import { streamFacts, type Stream } from './stream.ts'

/** A batch that reaches this size is written; larger ones gain little, and cost whoever wants one record of them. */
const batchBytesMax = 32 * 1024
/** Of all records since there were none. */
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
  /** A record that came for several streams stays as it is while it is the only one. */
  readonly #gathered = new Map<Stream, BatchBuilder | RecordBody>()
  readonly #spare: BatchBuilder[] = []
  #bytes = 0

  constructor(cell: GathererHost) {
    this.#cell = cell
  }

  /** Records of the stream that are in no fact yet. */
  count(stream: Stream): number {
    const gathered = this.#gathered.size === 0 ? undefined : this.#gathered.get(stream)
    return gathered instanceof BatchBuilder ? gathered.count : gathered ? 1 : 0
  }

  /** Returns the number of the block that the record belongs to. */
  add(stream: Stream, body: RecordBody): number {
    const seq = this.#cell.journal.expect()
    const gathered = this.#gathered.get(stream)
    this.#bytes += body.length
    if (!gathered && body.isShared) this.#gathered.set(stream, body.kept)
    else {
      const builder = gathered instanceof BatchBuilder ? gathered : this.#builderFor(stream, gathered)
      builder.add(body)
      if (builder.size >= batchBytesMax) this.flush(stream)
    }
    if (this.#bytes >= bytesMax || this.#gathered.size > streamsMax) this.flushAll()
    return seq
  }

  #builderFor(stream: Stream, first: RecordBody | undefined): BatchBuilder {
    const builder = this.#spare.pop() ?? new BatchBuilder()
    if (first) builder.add(first)
    this.#gathered.set(stream, builder)
    return builder
  }

  flush(stream: Stream): void {
    const gathered = this.#gathered.get(stream)
    if (gathered) this.#cell.journal.join(() => this.#write(stream, gathered))
  }

  flushAll(): void {
    if (this.#gathered.size === 0) return
    this.#cell.journal.join(() => {
      for (const [stream, gathered] of this.#gathered) this.#write(stream, gathered)
    })
  }

  #write(stream: Stream, gathered: BatchBuilder | RecordBody): void {
    const cell = this.#cell
    this.#gathered.delete(stream)
    if (this.#gathered.size === 0) this.#bytes = 0
    const isMany = gathered instanceof BatchBuilder
    const size = isMany ? gathered.size : gathered.aloneBytes
    const seq = cell.reserveFact(stream.id, streamFacts.append, size)
    const { slab, at } = cell.journal
    if (isMany) {
      gathered.take(slab.bytes, at)
      if (this.#spare.length < spareMax && gathered.capacity <= 4 * batchBytesMax) this.#spare.push(gathered)
    } else gathered.alone.copy(slab.bytes, at)
    placeBatch(slab.bytes, at, stream.endOffset, cell.epoch % 0x8000_0000)
    cell.applyReserved(stream.id, streamFacts.append, size, seq)
  }
}
