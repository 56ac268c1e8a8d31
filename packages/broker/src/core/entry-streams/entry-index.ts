import type { Reader, Writer } from '@dragoman/wire'
import { compareParts, idAfter, readId, writeId, type EntryId, type IdPart } from './entry-id.ts'

/** So many entries that bring ids of their own lie between two marks. */
const marksEvery = 128

/**
 * Which ids lie where in a stream, roughly: a mark for every so many entries, and one at the beginning of each run of records that brought no ids. Within
 * such a run, ids count up by one from that of the mark.
 */
export class EntryIndex {
  #offsets: number[] = []
  #ms: IdPart[] = []
  #seq: IdPart[] = []
  /** Whether a run of records without ids begins there. */
  #isRun: boolean[] = []

  get size(): number {
    return this.#offsets.length
  }

  /** An entry with an id of its own, behind all others. */
  noteOwn(offset: number, ms: IdPart, seq: IdPart): void {
    const last = this.#offsets.length - 1
    if (last >= 0 && !this.#isRun[last]! && offset - this.#offsets[last]! < marksEvery) return
    this.#push(offset, ms, seq, false)
  }

  /** Records without ids from there on; `isContinued`: what comes before them are such, too, and their ids go on. */
  noteRun(offset: number, { ms, seq }: EntryId, isContinued: boolean): void {
    if (!isContinued || this.#offsets.length === 0) this.#push(offset, ms, seq, true)
  }

  #push(offset: number, ms: IdPart, seq: IdPart, isRun: boolean): void {
    this.#offsets.push(offset)
    this.#ms.push(ms)
    this.#seq.push(seq)
    this.#isRun.push(isRun)
  }

  /** Marks that are needed for nothing from the offset on are dropped. */
  dropBelow(offset: number): void {
    const count = this.#lastAtMost(offset)
    // Rarely: each time costs as much as there are marks.
    if (count < 64 || count * 2 < this.#offsets.length) return
    this.#offsets = this.#offsets.slice(count)
    this.#ms = this.#ms.slice(count)
    this.#seq = this.#seq.slice(count)
    this.#isRun = this.#isRun.slice(count)
  }

  /** There is nothing above the id any more, and what comes next may have lower ones. */
  dropAbove(id: EntryId): void {
    let count = this.#offsets.length
    while (count > 0 && compareParts(this.#ms[count - 1]!, this.#seq[count - 1]!, id.ms, id.seq) > 0) count--
    for (const column of [this.#offsets, this.#ms, this.#seq, this.#isRun]) column.length = count
  }

  #lastAtMost(offset: number): number {
    let low = 0
    for (let high = this.#offsets.length; low < high;) {
      const middle = (low + high) >>> 1
      if (this.#offsets[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Where to begin to look for the first entry whose id is not below this one: no such entry lies before. */
  floor(id: EntryId): number {
    let low = 0
    for (let high = this.#offsets.length; low < high;) {
      const middle = (low + high) >>> 1
      if (compareParts(this.#ms[middle]!, this.#seq[middle]!, id.ms, id.seq) <= 0) low = middle + 1
      else high = middle
    }
    return low === 0 ? 0 : this.#offsets[low - 1]!
  }

  /** Where to end: entries from there on have greater ids. Infinity when that is not known. */
  ceiling(id: EntryId): number {
    let low = 0
    for (let high = this.#offsets.length; low < high;) {
      const middle = (low + high) >>> 1
      if (compareParts(this.#ms[middle]!, this.#seq[middle]!, id.ms, id.seq) <= 0) low = middle + 1
      else high = middle
    }
    return this.#offsets[low] ?? Infinity
  }

  /** The id of a record that brought none. */
  idAt(offset: number): EntryId | undefined {
    const at = this.#lastAtMost(offset)
    if (at < 0) return undefined
    const mark = { ms: this.#ms[at]!, seq: this.#seq[at]! }
    return idAfter(mark, offset - this.#offsets[at]!)
  }

  save(out: Writer): void {
    out.u32(this.#offsets.length)
    let previous = 0
    for (let at = 0; at < this.#offsets.length; at++) {
      out.varlong(this.#offsets[at]! - previous)
      writeId(out, { ms: this.#ms[at]!, seq: this.#seq[at]! })
      out.bool(this.#isRun[at]!)
      previous = this.#offsets[at]!
    }
  }

  /** Into an empty one. */
  load(from: Reader): void {
    let offset = 0
    for (let left = from.u32(); left > 0; left--) {
      offset += from.varlong()
      const { ms, seq } = readId(from)
      this.#push(offset, ms, seq, from.bool())
    }
  }
}
