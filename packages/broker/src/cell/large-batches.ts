import { DiskError } from '../runtime/runtime.ts'
import type { GrowingBlob } from '../storage/blob-store.ts'
import * as batches from '../storage/record-batch.ts'
import { segmentHeader, segmentHeaderBytes } from '../storage/segment.ts'
import { SlabPool } from '../storage/slab.ts'
import type { Slab } from '../storage/slab.ts'
import type { Placement } from './checkpoint.ts'
import type { CellCore } from './core.ts'
import { sumOfBatch } from './placed.ts'
import type { Place } from './placed.ts'
import type { Stream } from './stream.ts'

/** So many writes are under way at a time, of so many bytes at most. */
const writesMax = 4
const writeBytesMax = 1024 * 1024
const fullRetryMs = 500
/** A segment grows no further while the flush that is to finish it has to wait for the one before: positions in it are 32 bits wide. */
const openBytesMax = 2 * 1024 * 1024 * 1024

/** A segment that grows: it is finished by the next flush. */
export interface OpenSegment {
  readonly id: number
  readonly number: number
  readonly name: string
  readonly header: Buffer
  /** Where the next batch goes. */
  position: number
  /** Of the last batch that was placed here. */
  ticket: number
  readonly blob: Promise<GrowingBlob>
}

interface Stretch {
  segment: OpenSegment
  position: number
  bytes: Buffer
  slab: Slab | undefined
  ticket: number
}

/** Where a batch was put: on its way to the disk, and readable in memory at once. */
export interface Placed extends Place {
  number: number
  slab: Slab
  at: number
  /** See `reached`. */
  ticket: number
}

/**
 * Large batches are written once: straight into the segment of the next flush, and the journal only tells where. A block that tells of
 * batches is written when they are durable, so a block never names what is not there.
 *
 * Tickets count the bytes that were placed; writes are made in their order and may end in another.
 */
export class LargeBatches {
  readonly #cell: CellCore
  readonly #placement: Placement
  readonly #newSegment: () => { id: number; number: number; name: string }
  readonly #slabs: SlabPool
  #open: OpenSegment | undefined
  #slab: Slab | undefined
  #slabAt = 0
  readonly #queue: Stretch[] = []
  /** Writes under way, in order of tickets. */
  readonly #writes: { ticket: number; isDone: boolean; ended: Promise<void> }[] = []
  #isScheduled = false
  #placed = 0
  #reached = 0
  readonly #waiting: { ticket: number; resolve: () => void }[] = []
  readonly #recent: { stream: Stream; base: number; slab: Slab; bytes: number }[] = []
  #recentBytes = 0
  #isClosed = false
  /** The disk has no room for what was placed. */
  isFull = false

  constructor(cell: CellCore, placement: Placement, newSegment: () => { id: number; number: number; name: string }) {
    this.#cell = cell
    this.#placement = placement
    this.#newSegment = newSegment
    this.#slabs = new SlabPool(cell.options.sizes.slabBytes, 4)
  }

  /** Whether a batch of so many bytes goes this way. */
  takes(bytes: number): boolean {
    const { blobs, sizes } = this.#cell.options
    return bytes >= sizes.largeBatchBytes && blobs.grow !== undefined && this.openBytes + bytes <= openBytesMax
  }

  /** Bytes of the segment that is open. */
  get openBytes(): number {
    return this.#open?.position ?? 0
  }

  /** Bytes that are not durable yet. */
  get pendingBytes(): number {
    return this.#placed - this.#reached
  }

  /** Copies the batch, gives it its place in the stream and in the segment, and sees to it that it is written. */
  place(batch: Buffer, offset: number, epoch: number): Placed {
    const segment = (this.#open ??= this.#begin())
    const { slab, at } = this.#room(batch.length)
    batch.copy(slab.bytes, at)
    batches.placeBatch(slab.bytes, at, offset, epoch)
    const { id, number, position } = segment
    segment.position += batch.length
    this.#placed += batch.length
    segment.ticket = this.#placed
    slab.hold()
    const bytes = slab.bytes.subarray(at, at + batch.length)
    this.#queue.push({ segment, position, bytes, slab, ticket: this.#placed })
    this.#schedule()
    return { segment: id, number, position, crc: sumOfBatch(slab.bytes, at), slab, at, ticket: this.#placed }
  }

  /** Keeps the newest row of a stream's tail readable in memory for a while. */
  remember(stream: Stream, base: number, { slab, at }: Placed, bytes: number): void {
    stream.remember(slab, at)
    slab.hold()
    this.#recent.push({ stream, base, slab, bytes })
    this.#recentBytes += bytes
    const { largeRecentBytes } = this.#cell.options.sizes
    let count = 0
    for (; this.#recentBytes > largeRecentBytes && count < this.#recent.length; count++) {
      const oldest = this.#recent[count]!
      oldest.stream.forget(oldest.base)
      oldest.slab.release()
      this.#recentBytes -= oldest.bytes
    }
    if (count > 0) this.#recent.splice(0, count)
  }

  /** Undefined when everything up to the ticket is durable, else a promise of that. */
  reached(ticket: number): Promise<void> | undefined {
    if (ticket <= this.#reached) return undefined
    return new Promise(resolve => this.#waiting.push({ ticket, resolve }))
  }

  /** What comes now goes to another segment. */
  seal(): OpenSegment | undefined {
    const segment = this.#open
    this.#open = undefined
    return segment
  }

  /** Nothing more is placed; what is not written by now never was promised. The journal must be closed: who waits is let go. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#queue.length = 0
    await Promise.all(this.#writes.map(({ ended }) => ended))
    const blob = await this.#open?.blob.catch(() => undefined)
    await blob?.close()
    this.#open = undefined
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  #begin(): OpenSegment {
    const { id, number, name } = this.#newSegment()
    const header = segmentHeader(this.#cell.options.cell, this.#cell.epoch, number)
    const blob = this.#patiently(() => this.#cell.options.blobs.grow!(name))
    blob.catch(() => {}) // The first write tells.
    this.#placement.open.set(id, { id, name, bytes: 0 })
    const segment = { id, number, name, header, position: segmentHeaderBytes, ticket: 0, blob }
    this.#queue.push({ segment, position: 0, bytes: header, slab: undefined, ticket: this.#placed })
    return segment
  }

  #room(bytes: number): { slab: Slab; at: number } {
    const { slabBytes } = this.#cell.options.sizes
    if (!this.#slab || this.#slabAt + bytes > this.#slab.bytes.length || bytes > slabBytes) {
      this.#slab?.release()
      this.#slab = this.#slabs.take(bytes)
      this.#slabAt = 0
    }
    const at = this.#slabAt
    this.#slabAt += bytes
    return { slab: this.#slab, at }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#writes.length >= writesMax) return
    this.#isScheduled = true
    this.#cell.options.clock.soon(() => {
      this.#isScheduled = false
      this.#start()
    })
  }

  #start(): void {
    while (this.#queue.length > 0 && this.#writes.length < writesMax && !this.#isClosed) {
      const first = this.#queue[0]!
      let bytes = 0
      let count = 0
      for (; count < this.#queue.length; count++) {
        const next = this.#queue[count]!
        if (next.segment !== first.segment || (count > 0 && bytes + next.bytes.length > writeBytesMax)) break
        bytes += next.bytes.length
      }
      const stretches = this.#queue.splice(0, count)
      const write = { ticket: stretches.at(-1)!.ticket, isDone: false, ended: Promise.resolve() }
      this.#writes.push(write)
      write.ended = this.#write(first.segment, stretches, bytes, () => (write.isDone = true))
    }
  }

  async #write(segment: OpenSegment, stretches: Stretch[], bytes: number, done: () => void): Promise<void> {
    const { position } = stretches[0]!
    try {
      const parts = stretches.map(stretch => stretch.bytes)
      await this.#patiently(async () => (await segment.blob).write(parts, position))
      this.#cell.options.chain.noteWritten?.(bytes)
    } catch (error) {
      if (!this.#isClosed) this.#cell.fail(error instanceof Error ? error : new Error(String(error)))
      return
    }
    for (const { slab } of stretches) slab?.release()
    done()
    this.#settle()
  }

  #settle(): void {
    let done = 0
    for (; done < this.#writes.length && this.#writes[done]!.isDone; done++) this.#reached = this.#writes[done]!.ticket
    if (done > 0) this.#writes.splice(0, done)
    let told = 0
    for (; told < this.#waiting.length && this.#waiting[told]!.ticket <= this.#reached; told++) {
      this.#waiting[told]!.resolve()
    }
    if (told > 0) this.#waiting.splice(0, told)
    this.#start()
    this.#cell.relieve()
  }

  /** What was taken is written as soon as there is room: a full disk is waited for, anything else is final. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const result = await attempt()
        if (this.isFull) this.#cell.options.room?.found('large batches')
        this.isFull = false
        return result
      } catch (error) {
        if (!(error instanceof DiskError) || error.code !== 'full' || this.#isClosed) throw error
        this.isFull = true
        this.#cell.options.room?.missing('large batches', error)
        await new Promise<void>(resolve => this.#cell.options.clock.after(fullRetryMs, resolve))
        if (this.#isClosed) throw error
      }
    }
  }
}
