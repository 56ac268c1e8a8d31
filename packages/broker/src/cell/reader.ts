import { DiskError } from '../runtime/runtime.ts'
import { crc32c } from '../storage/crc32c.ts'
import * as batches from '../storage/record-batch.ts'
import { chunkRowBytes, readChunk } from '../storage/segment.ts'
import type { Chunk } from '../storage/segment.ts'
import { Slab, SlabPool } from '../storage/slab.ts'
import type { Cell } from './cell.ts'
import type { StreamRead } from './client.ts'
import { nameOf } from './checkpoint.ts'
import { ReadAhead } from './read-ahead.ts'
import { chunksFor, cutBatches, noBytes, placedChunks } from './stretch.ts'
import type { Found, Stretch, Wanted } from './stretch.ts'
import { extent, tail } from './stream.ts'
import type { Stream } from './stream.ts'

/** Chunk tables stay in memory up to this. */
const tableBytesMax = 32 * 1024 * 1024
/** One read goes on through so many stretches at most. */
const stretchesMax = 64
/** Batches below this average are copied together: one piece for the socket instead of many. */
const gatherBelowBytes = 8 * 1024
/** Buffers for reading come in powers of two between these; of each size, so many bytes are kept for the next reads. */
const bufferBytesMin = 32 * 1024
const bufferBytesMax = 16 * 1024 * 1024
const bufferSpareBytes = 4 * 1024 * 1024

/** The stored bytes are not what was written; where, in words. */
export class DamagedRange extends Error {
  override name = 'DamagedRange'
}

/** Reads streams: what is not flushed from memory, the rest from segments, whose checksums it verifies. */
export class StreamReader {
  readonly #cell: Cell
  readonly #tables = new Map<string, Buffer>()
  #tableBytes = 0
  readonly #buffers = new Map<number, SlabPool>()
  readonly #ahead: ReadAhead

  constructor(cell: Cell) {
    this.#cell = cell
    this.#ahead = new ReadAhead(cell.clock, async (stream, offset, bytes) => {
      const row = stream.extentAt(offset)
      return row < stream.extents.count ? this.#loadStretch(stream, row, offset, bytes) : undefined
    })
  }

  /**
   * Whole batches from the one that holds `offset` on, up to `bytesMax`; at least one if `atLeastOne`. Nothing beyond
   * `visibleEnd`; with `committed` nothing beyond `stableEnd`, and what was aborted of it is told. Slabs that the answer refers to are held and pushed to `held`. Synchronous when the tail has it.
   */
  read(
    stream: Stream,
    offset: number,
    bytesMax: number,
    atLeastOne: boolean,
    held: Slab[],
    committed = false,
  ): StreamRead | Promise<StreamRead> {
    const { startOffset, visibleEnd: endOffset, stableEnd: stableOffset } = stream
    const answer: StreamRead = { startOffset, endOffset, stableOffset, aborted: [], batches: [], bytes: 0 }
    if (offset < startOffset || offset > endOffset) return { ...answer, error: 'offset-out-of-range' }
    const end = committed ? stableOffset : endOffset
    if (offset >= end || (bytesMax <= 0 && !atLeastOne)) return answer
    const wanted: Reading = { stream, end, atLeastOne, answer, held, abortedFrom: stream.abortedFrom }
    if (stream.tailSlabs[stream.tail.lastAtMost(tail.base, offset)])
      return tell(wanted, committed, offset, this.#readTail(wanted, offset, bytesMax))
    return this.#readStored(wanted, offset, bytesMax).then(next => tell(wanted, committed, offset, next))
  }

  /** Batches of the tail that are in memory. Returns the offset behind what it has found. */
  #readTail({ stream, end, atLeastOne, answer, held }: Reading, offset: number, bytesMax: number): number {
    const rows = stream.tail
    const first = rows.lastAtMost(tail.base, offset)
    const mustFind = atLeastOne && answer.bytes === 0
    let bytes = 0
    let row = first
    for (; row < rows.count && rows.get(row, tail.last) < end && stream.tailSlabs[row]; row++) {
      const more = rows.get(row, tail.bytes)
      if (bytes + more > bytesMax && !(mustFind && row === first)) break
      bytes += more
    }
    const count = row - first
    if (count === 0) return offset
    const next = rows.get(row - 1, tail.last) + 1
    answer.bytes += bytes
    if (count > 1 && bytes / count < gatherBelowBytes) {
      const gathered = Buffer.allocUnsafe(bytes)
      let at = 0
      for (let index = first; index < row; index++) {
        const from = rows.get(index, tail.at)
        at += stream.tailSlabs[index]!.bytes.copy(gathered, at, from, from + rows.get(index, tail.bytes))
      }
      answer.batches.push(gathered)
      return next
    }
    for (let index = first; index < row; index++) {
      const slab = stream.tailSlabs[index]!
      const from = rows.get(index, tail.at)
      slab.hold()
      held.push(slab)
      answer.batches.push(slab.bytes.subarray(from, from + rows.get(index, tail.bytes)))
    }
    return next
  }

  /** Reads on from stretch to stretch, and into the tail, until there is enough. */
  async #readStored(wanted: Reading, offset: number, bytesMax: number): Promise<number> {
    const { stream, end, answer } = wanted
    let next = offset
    try {
      for (let count = 0; count < stretchesMax && next < end; count++) {
        const left = bytesMax - answer.bytes
        const isFirst = wanted.atLeastOne && answer.bytes === 0
        if (left <= 0 && !isFirst) break
        const row = stream.tail.lastAtMost(tail.base, next)
        if (stream.tailSlabs[row]) {
          next = this.#readTail(wanted, next, left)
          break
        }
        const found =
          row >= 0
            ? await this.#readPlaced(wanted, row, left, isFirst)
            : await this.#readStretch(wanted, next, left, isFirst)
        if (!found) {
          if (answer.bytes === 0) answer.error = this.#isGone(stream) ? 'stream-not-found' : 'offset-out-of-range'
          break
        }
        if (found.batches.length > 0) answer.batches.push(found.batches)
        answer.bytes += found.batches.length
        next = found.next
        if (!found.goesOn || this.#isGone(stream)) break
      }
    } catch (error) {
      if (!(error instanceof DamagedRange)) throw error
      if (!this.#cell.closing) this.#cell.options.log('error', error.message)
      if (answer.bytes === 0) answer.error = 'storage-corrupt'
    }
    answer.startOffset = stream.startOffset
    answer.endOffset = stream.visibleEnd
    if (!answer.error) this.#ahead.note(stream, offset, next, bytesMax)
    return next
  }

  /** A stream that was dropped: its bytes may belong to another by now. */
  #isGone(stream: Stream): boolean {
    return this.#cell.state.streams.get(stream.id) !== stream
  }

  /**
   * Batches of the extent that holds `offset`, or of the next one when that lies in a hole; undefined when it was trimmed away
   * or dropped. A segment that vanishes under the read has been rewritten: the new place is read then.
   */
  async #readStretch(
    { stream, end, held }: Reading,
    offset: number,
    bytesMax: number,
    atLeastOne: boolean,
  ): Promise<Found | undefined> {
    const limits = { end, bytesMax, atLeastOne }
    const ahead = await this.#ahead.take(stream, offset)
    if (ahead) held.push(ahead.slab)
    for (;;) {
      if (this.#isGone(stream) || offset < stream.startOffset) return undefined
      if (ahead) return cutBatches(ahead, limits)
      const row = stream.extentAt(offset)
      if (row === stream.extents.count)
        return { batches: noBytes, next: Math.max(offset, stream.tailStart), goesOn: true }
      const segment = stream.extents.get(row, extent.segment)
      const position = stream.extents.get(row, extent.chunkPosition)
      try {
        const stretch = await this.#loadStretch(stream, row, offset, bytesMax)
        held.push(stretch.slab)
        return cutBatches(stretch, limits)
      } catch (error) {
        if (!(error instanceof DamagedRange)) throw error
        // What is wrong may be the table as it was read, and the next read may be right.
        this.#forgetTable(`${segment}:${position}`)
        const now = stream.extentAt(offset)
        const isThere = now < stream.extents.count && stream.extents.get(now, extent.segment) === segment
        if (isThere && offset >= stream.startOffset && !this.#isGone(stream)) throw error
      }
    }
  }

  /** Of the extent in `row`, from `offset` on as much as `bytesMax` asks for. */
  async #loadStretch(stream: Stream, row: number, offset: number, bytesMax: number): Promise<Stretch> {
    const from = Math.max(offset, stream.extents.get(row, extent.first))
    const last = stream.extents.get(row, extent.last)
    const wanted = chunksFor(await this.#table(stream, row), from, Math.max(bytesMax, 1))
    return { slab: await this.#load(stream, wanted), wanted, from, last }
  }

  /** Batches of the tail that lie in a segment which is not finished: those that lie together from `row` on. */
  async #readPlaced(
    { stream, end, held }: Reading,
    row: number,
    bytesMax: number,
    atLeastOne: boolean,
  ): Promise<Found | undefined> {
    const wanted = placedChunks(stream, row, end, bytesMax, atLeastOne)
    const next = stream.tail.get(row + Math.max(0, wanted.chunks.length - 1), tail.last) + 1
    if (wanted.chunks.length === 0) return { batches: noBytes, next, goesOn: false }
    const base = stream.tail.get(row, tail.base)
    try {
      const slab = await this.#load(stream, wanted)
      held.push(slab)
      const last = wanted.chunks.at(-1)!
      const bytes = last.position + last.bytes - wanted.chunks[0]!.position
      return { batches: slab.bytes.subarray(0, bytes), next, goesOn: !wanted.isLimited }
    } catch (error) {
      // It was flushed meanwhile, and lies elsewhere now.
      const isThere = stream.tail.count > 0 && stream.tail.get(0, tail.base) <= base
      if (!(error instanceof DamagedRange) || (isThere && !this.#isGone(stream))) throw error
      return { batches: noBytes, next: base, goesOn: true }
    }
  }

  #forgetTable(key: string): void {
    this.#tableBytes -= this.#tables.get(key)?.length ?? 0
    this.#tables.delete(key)
  }

  /** The chunk table of one extent. */
  async #table(stream: Stream, row: number): Promise<{ rows: Buffer; count: number; segment: number }> {
    const segment = stream.extents.get(row, extent.segment)
    const position = stream.extents.get(row, extent.chunkPosition)
    const count = stream.extents.get(row, extent.chunkCount)
    const bytes = stream.extents.get(row, extent.bytes)
    const first = stream.extents.get(row, extent.first)
    const last = stream.extents.get(row, extent.last)
    const key = `${segment}:${position}`
    let rows = this.#tables.get(key)
    if (rows) this.#tables.delete(key)
    else {
      rows = Buffer.allocUnsafeSlow(count * chunkRowBytes)
      await this.#readBlob(segment, position, rows)
      this.#checkTable(stream, segment, rows, { bytes, first, last })
      if (!this.#tables.has(key)) this.#tableBytes += rows.length
    }
    this.#tables.set(key, rows)
    while (this.#tableBytes > tableBytesMax && this.#tables.size > 1) {
      const [oldest, dropped] = this.#tables.entries().next().value!
      this.#tables.delete(oldest)
      this.#tableBytes -= dropped.length
    }
    return { rows, count, segment }
  }

  /**
   * The checkpoint knows from where to where the chunks go and how much they are together: a damaged table must not make us read what is not
   * there, or pass over what is.
   */
  #checkTable(
    stream: Stream,
    segment: number,
    rows: Buffer,
    known: { bytes: number; first: number; last: number },
  ): void {
    let sum = 0
    let before = -1
    for (let at = 0; at < rows.length / chunkRowBytes && sum <= known.bytes; at++) {
      const chunk = readChunk(rows, at)
      const follows = at === 0 ? chunk.baseOffset === known.first : chunk.baseOffset > before
      sum = follows ? sum + chunk.bytes : Infinity
      before = chunk.baseOffset
    }
    if (sum === known.bytes && before <= known.last) return
    const name = nameOf(this.#cell.checkpointer.placement, segment)
    throw new DamagedRange(`${name} is damaged: its table does not tell where stream ${stream.id} lies in it`)
  }

  async #load(stream: Stream, { segment, chunks }: Wanted): Promise<Slab> {
    const first = chunks[0]!
    const last = chunks.at(-1)!
    const bytes = last.position + last.bytes - first.position
    const slab = this.#buffer(bytes)
    try {
      const target = slab.bytes.subarray(0, bytes)
      await this.#readBlob(segment, first.position, target)
      for (const chunk of chunks) this.#check(stream, segment, chunk, target, chunk.position - first.position)
      return slab
    } catch (error) {
      slab.release()
      throw error
    }
  }

  #check(stream: Stream, segment: number, chunk: Chunk, bytes: Buffer, at: number): void {
    // The table's checksum is not looked at, so that not all of it has to be read: what it says of the offset is compared.
    if (crc32c(bytes, at, at + chunk.bytes) === chunk.crc && batches.baseOffset(bytes, at) === chunk.baseOffset) return
    const name = nameOf(this.#cell.checkpointer.placement, segment)
    throw new DamagedRange(
      `${name} is damaged between bytes ${chunk.position} and ${chunk.position + chunk.bytes}: ` +
        `stream ${stream.id} cannot be read from offset ${chunk.baseOffset}`,
    )
  }

  #buffer(bytes: number): Slab {
    if (bytes < bufferBytesMin || bytes > bufferBytesMax) {
      const single = new Slab(Buffer.allocUnsafeSlow(bytes))
      single.hold()
      return single
    }
    const size = 2 ** Math.ceil(Math.log2(bytes))
    let pool = this.#buffers.get(size)
    if (!pool) this.#buffers.set(size, (pool = new SlabPool(size, Math.max(1, bufferSpareBytes / size))))
    return pool.take(bytes)
  }

  /** A medium that does not give the bytes back is damaged like one that gives others. */
  async #readBlob(segment: number, position: number, target: Buffer): Promise<void> {
    const name = nameOf(this.#cell.checkpointer.placement, segment)
    const count = await this.#cell.options.blobs.read(name, position, target).catch((error: unknown) => {
      if (error instanceof DiskError)
        throw new DamagedRange(`${name} cannot be read: ${error.message}`, { cause: error })
      throw error
    })
    if (count !== target.length)
      throw new DamagedRange(`${name} is missing or cut short at byte ${position + (count ?? 0)}`)
  }
}

/** One read that is under way: of which stream, up to which offset, and where what it finds goes. */
interface Reading {
  stream: Stream
  end: number
  atLeastOne: boolean
  answer: StreamRead
  held: Slab[]
  /** `Stream.abortedFrom` at the beginning. */
  abortedFrom: number
}

/** Completes the answer of a read that got from `offset` to `next`. */
function tell({ stream, answer, abortedFrom }: Reading, committed: boolean, offset: number, next: number): StreamRead {
  if (!committed || next === offset) return answer
  // What was aborted below the start is forgotten: the records there cannot be told from committed ones any more.
  if (stream.startOffset > offset) return { ...answer, error: 'offset-out-of-range', batches: [], bytes: 0 }
  // Records that compaction had not yet removed when they were read, and that nobody could tell from committed ones now.
  if (stream.abortedFrom > Math.max(abortedFrom, offset)) return { ...answer, batches: [], bytes: 0 }
  answer.aborted = stream.abortedIn(offset, next)
  return answer
}
