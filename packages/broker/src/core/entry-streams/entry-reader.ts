import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import { BatchWindow, type RecordView } from '../cursor/record-view.ts'
import type { CellClient } from '../../cell/client.ts'
import { BrokerError } from '../errors.ts'
import { compareIds, type EntryId } from './entry-id.ts'
import { entryMarkHeader, readMark } from './entry-mark.ts'
import type { EntryStreamState } from './machine.ts'

/** An entry where it lies. Its record is valid only while it is shown; its bytes, until the reader is cleared. */
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

/** Reads the entries of a stream, at once where they are in memory. One task at a time; what it has shown stays as it is until it is cleared. */
export class EntryReader {
  readonly #cell: CellClient
  readonly #state: EntryStreamState
  readonly #records: RecordReader
  readonly #fresh: ReadonlyMap<number, Buffer>
  #freshWindow: BatchWindow | undefined

  /** `fresh`: batches of one entry each that can be read though they are not durable yet, by offset. */
  constructor(cell: CellClient, state: EntryStreamState, fresh: ReadonlyMap<number, Buffer>) {
    this.#cell = cell
    this.#state = state
    this.#fresh = fresh
    this.#records = new RecordReader(cell, state.stream, true, 'lent')
  }

  /** One past the last entry that can be read. */
  get end(): number {
    let end = Math.min(this.#state.end, this.#cell.bounds(this.#state.stream)?.stableOffset ?? 0)
    while (this.#fresh.has(end)) end++
    return end
  }

  /** Entries of [from, to), ascending. */
  scan(from: number, to: number, visit: EntryVisitor): Later {
    const state = this.#state
    const end = Math.min(to, this.end)
    for (let offset = from; offset < end; offset++) {
      if (offset < state.first) {
        offset = state.first - 1
        continue
      }
      if (state.removed.has(offset)) continue
      let found = this.#find(offset)
      if (found === 'unread') {
        const later = this.#load(offset, true)
        if (later) {
          const at = offset
          return later.then(isThere => this.scan(isThere ? at : at + 1, to, visit))
        }
        found = this.#find(offset)
      }
      if (found === 'found' && !visit(this.#entry(offset))) return undefined
    }
    return undefined
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
      if (this.#find(offset) === 'found' && !visit(this.#entry(offset))) return undefined
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
      const isFound = !isGone && this.#find(offset) === 'found'
      visit(isFound ? this.#entry(offset) : undefined, index)
    }
    return undefined
  }

  /** Gives the memory back. */
  clear(): void {
    this.#records.clear()
  }

  #find(offset: number): 'found' | 'absent' | 'unread' {
    const batch = this.#fresh.size > 0 ? this.#fresh.get(offset) : undefined
    if (!batch) return this.#records.find(offset)
    this.#freshWindow ??= new BatchWindow()
    this.#freshWindow.fill(offset, batch, offset + 1)
    return this.#freshWindow.find(offset, this.#records.record) ? 'found' : 'absent'
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

  /** Undefined: it is known what is there. Else a promise that says whether it can be; rejects with `BrokerError` when it cannot be read. */
  #load(offset: number, isAhead: boolean): Promise<boolean> | undefined {
    if (this.#find(offset) !== 'unread') return undefined
    let settle: ((problem: ReadError | undefined) => void) | undefined
    let error: ReadError | undefined
    let isOver = false
    const isAtOnce = this.#records.read(offset, isAhead, found => {
      error = found
      isOver = true
      settle?.(found)
    })
    if (isAtOnce) return undefined
    const isThere = (problem: ReadError | undefined): boolean => {
      // What was trimmed is gone; what is damaged, or on a disk that fails, is not passed over.
      if (problem !== 'storage-corrupt') return problem === undefined
      throw new BrokerError('storage-corrupt', 'an entry cannot be read')
    }
    const told = isOver ? Promise.resolve(error) : new Promise<ReadError | undefined>(resolve => (settle = resolve))
    return told.then(isThere)
  }

  /** The same with what lies before it, as far as it comes along. */
  #loadBack(offset: number, from: number): Promise<boolean> | undefined {
    if (this.#find(offset) !== 'unread') return undefined
    const first = Math.max(from, offset - stretch)
    // What comes along may end before it is reached.
    const later = this.#load(first, false)
    return later ? later.then(() => this.#load(offset, false) ?? true) : this.#load(offset, false)
  }
}
