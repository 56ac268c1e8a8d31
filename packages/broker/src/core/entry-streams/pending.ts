import type { Reader, Writer } from '@dragoman/wire'
import { compareParts, highOf, lowOf, partFrom, type EntryId, type IdPart } from './entry-id.ts'

/** Rows of one chunk. */
const rowsMax = 256
const rowsMin = 8
/** A row that was taken out has no holder. */
const nobody = 0

/** Names a consumer within its group: from 1 on, and never used again. */
export type HolderId = number

/** What is remembered of an entry that was delivered and not acknowledged. */
export interface PendingRow {
  readonly offset: number
  readonly ms: IdPart
  readonly seq: IdPart
  holder: HolderId
  /** When it was delivered last, on the wall clock. */
  timeMs: number
  /** How often it was delivered. */
  count: number
}

class Chunk {
  offset: Float64Array
  /** Of the ids: two words of time, two of the number. */
  id: Uint32Array
  timeMs: Float64Array
  holder: Uint32Array
  count: Uint32Array
  used = 0
  live = 0

  constructor(rows: number) {
    this.offset = new Float64Array(rows)
    this.id = new Uint32Array(4 * rows)
    this.timeMs = new Float64Array(rows)
    this.holder = new Uint32Array(rows)
    this.count = new Uint32Array(rows)
  }

  get capacity(): number {
    return this.offset.length
  }

  put(row: number, value: PendingRow): void {
    this.offset[row] = value.offset
    this.id[4 * row] = highOf(value.ms)
    this.id[4 * row + 1] = lowOf(value.ms)
    this.id[4 * row + 2] = highOf(value.seq)
    this.id[4 * row + 3] = lowOf(value.seq)
    this.timeMs[row] = value.timeMs
    this.holder[row] = value.holder
    this.count[row] = value.count
  }

  msOf(row: number): IdPart {
    return partFrom(this.id[4 * row]!, this.id[4 * row + 1]!)
  }

  seqOf(row: number): IdPart {
    return partFrom(this.id[4 * row + 2]!, this.id[4 * row + 3]!)
  }

  /** Into the chunk `target`, behind what it has, what is alive of [from, to). */
  copyTo(target: Chunk, from: number, to: number): void {
    for (let row = from; row < to; row++) {
      if (this.holder[row] === nobody) continue
      const at = target.used++
      target.live++
      target.offset[at] = this.offset[row]!
      for (let word = 0; word < 4; word++) target.id[4 * at + word] = this.id[4 * row + word]!
      target.timeMs[at] = this.timeMs[row]!
      target.holder[at] = this.holder[row]!
      target.count[at] = this.count[row]!
    }
  }

  /** The first row that is not before the place. */
  lowerBound(isBefore: (row: number) => boolean): number {
    let low = 0
    for (let high = this.used; low < high;) {
      const middle = (low + high) >>> 1
      if (isBefore(middle)) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * The entries that a group's consumers have and did not acknowledge, in the order of their offsets, which is that of their ids: forty bytes for each.
 *
 * Rows lie in chunks. What is taken out leaves a gap until its chunk is mostly gaps.
 */
export class PendingList {
  #chunks: Chunk[] = []
  size = 0
  /** The row that was found last. */
  #at: Chunk | undefined
  #row = -1

  /** Where all was taken out: most is acknowledged in the order of its delivery, so that one chunk is enough. */
  #spare: Chunk | undefined
  /** No row lies behind it. */
  #end = -1

  /** Whether the offset lies behind all that are here, and were here when there was last anything: it is not here itself. */
  isBehind(offset: number): boolean {
    return offset > this.#end
  }

  /** Puts in what lies anywhere; what has the offset already is replaced. */
  set(value: PendingRow): void {
    if (value.offset > this.#end) {
      this.#end = value.offset
      const last = this.#chunks.length - 1
      return this.#append(last < 0 ? this.#appended() : this.#chunks[last]!, last, value)
    }
    const number = this.#chunkFor(value.offset)
    const chunk = number < 0 ? this.#appended() : this.#chunks[number]!
    const row = chunk.lowerBound(at => chunk.offset[at]! < value.offset)
    if (row < chunk.used && chunk.offset[row] === value.offset) {
      if (chunk.holder[row] === nobody) {
        chunk.live++
        this.size++
      }
      chunk.put(row, value)
    } else if (row === chunk.used) this.#append(chunk, number, value)
    else this.#insert(number, row, value)
  }

  #appended(): Chunk {
    const chunk = this.#spare ?? new Chunk(rowsMin)
    this.#spare = undefined
    this.#chunks.push(chunk)
    return chunk
  }

  #append(chunk: Chunk, number: number, value: PendingRow): void {
    let target = chunk
    if (chunk.used === chunk.capacity) {
      const grown = new Chunk(Math.min(rowsMax, chunk.live * 2 + rowsMin))
      if (chunk.live < rowsMax / 2) {
        chunk.copyTo(grown, 0, chunk.used)
        this.#chunks[number < 0 ? this.#chunks.length - 1 : number] = grown
      } else {
        const place = number < 0 ? this.#chunks.length : number + 1
        this.#chunks.splice(place, 0, grown)
      }
      target = grown
    }
    target.put(target.used++, value)
    target.live++
    this.size++
  }

  /** In the middle of a chunk, which is made anew around it. */
  #insert(number: number, row: number, value: PendingRow): void {
    const chunk = this.#chunks[number]!
    const head = new Chunk(Math.min(rowsMax, row + rowsMin))
    chunk.copyTo(head, 0, row)
    if (head.used === head.capacity) {
      const rest = new Chunk(rowsMax)
      chunk.copyTo(rest, row, chunk.used)
      this.#chunks.splice(number, 1, ...[head, rest].filter(({ live }) => live > 0))
      return this.set(value)
    }
    head.put(head.used++, value)
    head.live++
    this.size++
    const rest = new Chunk(Math.max(rowsMin, chunk.used - row))
    chunk.copyTo(rest, row, chunk.used)
    this.#chunks.splice(number, 1, ...(rest.live > 0 ? [head, rest] : [head]))
  }

  /** The chunk in whose range the offset is: the last that begins at or below it. -1: there are none. */
  #chunkFor(offset: number): number {
    return this.#lastChunk(chunk => chunk.offset[0]! <= offset)
  }

  #lastChunk(beginsAtOrBefore: (chunk: Chunk) => boolean): number {
    const chunks = this.#chunks
    if (chunks.length === 0) return -1
    let low = 0
    for (let high = chunks.length; low < high;) {
      const middle = (low + high) >>> 1
      if (beginsAtOrBefore(chunks[middle]!)) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  /** Whether the entry is here; the row is then the one that `row`, `remove` and `change` speak of. */
  find(offset: number): boolean {
    const number = this.#chunkFor(offset)
    if (number < 0) return false
    const chunk = this.#chunks[number]!
    return this.#settleOn(
      chunk,
      chunk.lowerBound(row => chunk.offset[row]! < offset),
      row => chunk.offset[row] === offset,
    )
  }

  findId(id: EntryId): boolean {
    const number = this.#lastChunk(chunk => compareParts(chunk.msOf(0), chunk.seqOf(0), id.ms, id.seq) <= 0)
    if (number < 0) return false
    const chunk = this.#chunks[number]!
    return this.#settleOn(
      chunk,
      chunk.lowerBound(row => compareParts(chunk.msOf(row), chunk.seqOf(row), id.ms, id.seq) < 0),
      row => chunk.msOf(row) === id.ms && chunk.seqOf(row) === id.seq,
    )
  }

  #settleOn(chunk: Chunk, row: number, isIt: (row: number) => boolean): boolean {
    if (row >= chunk.used || !isIt(row) || chunk.holder[row] === nobody) return false
    this.#at = chunk
    this.#row = row
    return true
  }

  /** What was found. */
  get row(): PendingRow {
    return rowOf(this.#at!, this.#row)
  }

  /** Changes what was found. */
  change(holder: HolderId, timeMs: number, count: number): void {
    const chunk = this.#at!
    chunk.holder[this.#row] = holder
    chunk.timeMs[this.#row] = timeMs
    chunk.count[this.#row] = count
  }

  /** Takes out what was found, and returns who held it. */
  remove(): HolderId {
    const chunk = this.#at!
    const holder = chunk.holder[this.#row]!
    chunk.holder[this.#row] = nobody
    this.size--
    if (--chunk.live * 4 <= chunk.used) this.#thin(chunk)
    return holder
  }

  #thin(chunk: Chunk): void {
    // The chunk that holds its first offset, gap or not.
    const number = this.#chunkFor(chunk.offset[0]!)
    if (chunk.live === 0) {
      this.#chunks.splice(number, 1)
      chunk.used = 0
      this.#spare = chunk
    } else if (chunk.used >= rowsMin * 4) {
      const smaller = new Chunk(Math.max(rowsMin, chunk.live * 2))
      chunk.copyTo(smaller, 0, chunk.used)
      this.#chunks[number] = smaller
    }
  }

  get first(): PendingRow | undefined {
    for (const row of this.from(undefined)) return row
    return undefined
  }

  get last(): PendingRow | undefined {
    const chunk = this.#chunks.at(-1)
    if (!chunk) return undefined
    let row = chunk.used - 1
    while (chunk.holder[row] === nobody) row--
    return rowOf(chunk, row)
  }

  /** In order, from the id on (that of the first, when it is not told). The list must not change meanwhile. */
  *from(id: EntryId | undefined, holder: HolderId = nobody): Generator<PendingRow> {
    let number = 0
    let row = 0
    if (id && this.#chunks.length > 0) {
      number = this.#lastChunk(chunk => compareParts(chunk.msOf(0), chunk.seqOf(0), id.ms, id.seq) <= 0)
      const chunk = this.#chunks[number]!
      row = chunk.lowerBound(at => compareParts(chunk.msOf(at), chunk.seqOf(at), id.ms, id.seq) < 0)
    }
    for (; number < this.#chunks.length; number++, row = 0) {
      const chunk = this.#chunks[number]!
      for (; row < chunk.used; row++) {
        const by = chunk.holder[row]!
        if (by !== nobody && (holder === nobody || by === holder)) yield rowOf(chunk, row)
      }
    }
  }

  save(out: Writer): void {
    out.uvarint(this.size)
    let previous = 0
    for (const { offset, ms, seq, holder, timeMs, count } of this.from(undefined)) {
      out.varlong(offset - previous)
      out.u32(highOf(ms))
      out.u32(lowOf(ms))
      out.u32(highOf(seq))
      out.u32(lowOf(seq))
      out.uvarint(holder)
      out.varlong(timeMs)
      out.uvarint(count)
      previous = offset
    }
  }

  /** Into an empty list. */
  load(from: Reader): void {
    let offset = 0
    for (let left = from.uvarint(); left > 0; left--) {
      offset += from.varlong()
      const high = from.u32()
      const ms = partFrom(high, from.u32())
      const seqHigh = from.u32()
      const seq = partFrom(seqHigh, from.u32())
      const holder = from.uvarint()
      const timeMs = from.varlong()
      this.set({ offset, ms, seq, holder, timeMs, count: from.uvarint() })
    }
  }
}

function rowOf(chunk: Chunk, row: number): PendingRow {
  return {
    offset: chunk.offset[row]!,
    ms: chunk.msOf(row),
    seq: chunk.seqOf(row),
    holder: chunk.holder[row]!,
    timeMs: chunk.timeMs[row]!,
    count: chunk.count[row]!,
  }
}
