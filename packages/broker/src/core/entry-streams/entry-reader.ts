import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { CellClient } from '../../cell/client.ts'
import { compareIds, type EntryId } from './entry-id.ts'
import { entryMarkHeader, readMark } from './entry-mark.ts'
import type { EntryStreamState } from './machine.ts'

/** An entry where it lies: valid only while it is shown. */
export interface Entry {
  readonly offset: number
  readonly id: EntryId
  readonly record: RecordView
}

/** Returns whether to go on. */
export type EntryVisitor = (entry: Entry) => boolean

/** Undefined: all is done. Else it is when the promise is resolved. */
export type Later = Promise<void> | undefined

/** Going backwards, so many offsets are read together. */
const stretch = 64

/** Reads the entries of a stream, at once where they are in memory. One task at a time. */
export class EntryReader {
  readonly #cell: CellClient
  readonly #state: EntryStreamState
  readonly #records: RecordReader

  constructor(cell: CellClient, state: EntryStreamState) {
    this.#cell = cell
    this.#state = state
    this.#records = new RecordReader(cell, state.stream, true)
  }

  /** One past the last entry that can be read. */
  get end(): number {
    return Math.min(this.#state.end, this.#cell.bounds(this.#state.stream)?.stableOffset ?? 0)
  }

  /** Entries of [from, to), ascending. */
  scan(from: number, to: number, visit: EntryVisitor): Later {
    const state = this.#state
    for (let offset = from; ; offset++) {
      if (offset < state.first) offset = state.first
      if (offset >= to || offset >= this.end) return undefined
      if (state.removed.has(offset)) continue
      const at = offset
      const later = this.#load(at, true)
      if (later) return later.then(isThere => (isThere ? this.scan(at, to, visit) : this.scan(at + 1, to, visit)))
      if (this.#records.find(offset) === 'found' && !visit(this.#entry(offset))) return undefined
    }
  }

  /** Entries of [from, to), descending. */
  scanBack(from: number, to: number, visit: EntryVisitor): Later {
    const state = this.#state
    for (let offset = Math.min(to, this.end) - 1; ; offset--) {
      if (offset < from || offset < state.first) return undefined
      if (state.removed.has(offset)) continue
      const at = offset
      const later = this.#loadBack(at, Math.max(from, state.first))
      if (later) return later.then(isThere => this.scanBack(from, isThere ? at + 1 : at, visit))
      if (this.#records.find(offset) === 'found' && !visit(this.#entry(offset))) return undefined
    }
  }

  /** Of these offsets, which ascend. `visit` is told undefined for what is not there any more, and cannot end it. */
  readAt(offsets: readonly number[], visit: (entry: Entry | undefined, index: number) => void, from = 0): Later {
    const state = this.#state
    for (let index = from; index < offsets.length; index++) {
      const offset = offsets[index]!
      const isGone = offset < state.first || state.removed.has(offset) || offset >= this.end
      const later = isGone ? undefined : this.#load(offset, true)
      if (later) {
        return later.then(isThere => {
          if (isThere) return this.readAt(offsets, visit, index)
          visit(undefined, index)
          return this.readAt(offsets, visit, index + 1)
        })
      }
      const isFound = !isGone && this.#records.find(offset) === 'found'
      visit(isFound ? this.#entry(offset) : undefined, index)
    }
    return undefined
  }

  /** Gives the memory back. */
  clear(): void {
    this.#records.clear()
  }

  /** The id of the record that was found last. */
  #entry(offset: number): Entry {
    const { record } = this.#records
    return { offset, id: this.#idOf(offset, record), record }
  }

  #idOf(offset: number, record: RecordView): EntryId {
    const { stream, index, lastId } = this.#state
    const bytes = record.own(entryMarkHeader)
    const own = bytes && readMark(bytes, stream, offset)
    // What says that it is greater than what came last was not written by who gives ids.
    if (own && compareIds(own, lastId) <= 0) return own
    return index.idAt(offset) ?? lastId
  }

  /** Undefined: it is known what is there. Else a promise that says whether it can be. */
  #load(offset: number, isAhead: boolean): Promise<boolean> | undefined {
    if (this.#records.find(offset) !== 'unread') return undefined
    let settle: ((isThere: boolean) => void) | undefined
    let error: ReadError | undefined
    let isOver = false
    const isAtOnce = this.#records.read(offset, isAhead, found => {
      error = found
      isOver = true
      settle?.(found === undefined)
    })
    if (isAtOnce) return undefined
    if (isOver) return Promise.resolve(error === undefined)
    return new Promise(resolve => {
      settle = resolve
    })
  }

  /** The same with what lies before it, as far as it comes along. */
  #loadBack(offset: number, from: number): Promise<boolean> | undefined {
    if (this.#records.find(offset) !== 'unread') return undefined
    const first = Math.max(from, offset - stretch)
    // What comes along may end before it is reached.
    const later = this.#load(first, false)
    return later ? later.then(() => this.#load(offset, false) ?? true) : this.#load(offset, false)
  }
}
