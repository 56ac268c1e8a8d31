import { addNewcomer, type Keeper, type KeptTogether } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import { BrokerError } from '../errors.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import { ByOffset } from './by-offset.ts'

/** What an element costs in memory besides its bytes. */
const overheadBytes = 128
/** Elements that are read together; more in one direction are likely to follow. */
export const readAheadMax = 4096

/** Memory for elements, shared by all lists. */
export interface ElementMemory {
  bytes: number
  readonly bytesMax: number
  /** Where those lie that stay for a while. */
  readonly settled: KeptTogether
  /** There is too much in memory: forgets elements of other lists. */
  relieve(except: Elements): void
}

/**
 * Thrown where elements are needed that are not in memory: `load` reads them, and calls `done`, in a later turn; then it may be
 * tried again.
 */
export class NotLoaded extends Error {
  override name = 'NotLoaded'
  readonly load: (done: () => void) => void

  constructor(load: (done: () => void) => void) {
    super('The elements have to be read first')
    this.load = load
  }
}

/** What is being read, and who waits for it. */
interface Load {
  readonly first: number
  readonly last: number
  /** Nobody needs it yet. */
  isAhead: boolean
  readonly done: (() => void)[]
}

/** The elements of one list that are in memory: those that were pushed a short while ago, and those that were read. */
export class Elements implements Keeper {
  readonly #memory: ElementMemory
  readonly #cell: QueueStreams
  readonly #stream: StreamId
  readonly #values = new ByOffset<Buffer>()
  readonly #reader: RecordReader
  readonly #loads: Load[] = []
  #isReading = false
  #bytes = 0
  /** Those that were needed, and could not be read: who asks is told so once, and then it is tried again. */
  readonly #unreadable = new Set<number>()

  constructor(memory: ElementMemory, cell: QueueStreams, stream: StreamId) {
    this.#memory = memory
    this.#cell = cell
    this.#stream = stream
    this.#reader = new RecordReader(cell, stream)
  }

  get(offset: number): Buffer | undefined {
    return this.#values.get(offset)
  }

  /** The same for who has asked for it to be read. Throws `BrokerError` when it could not be. */
  demand(offset: number): Buffer | undefined {
    if (this.#unreadable.size > 0 && this.#unreadable.delete(offset))
      throw new BrokerError('storage-corrupt', 'an element cannot be read')
    return this.get(offset)
  }

  /** Keeps an element if there is room for it. */
  offer(offset: number, value: Buffer): void {
    if (this.#memory.bytes < this.#memory.bytesMax) this.#set(offset, value)
  }

  own(offset: number): void {
    const value = this.#values.get(offset)
    if (value && value.buffer.byteLength > value.length) this.#values.set(offset, this.#memory.settled.copy(value))
  }

  delete(offset: number, value: Buffer): void {
    if (this.#values.delete(offset)) this.#count(-(value.length + overheadBytes))
  }

  /** Keeps only those that are wanted. */
  retain(isWanted: (offset: number) => boolean): void {
    for (const [offset, value] of this.#values) if (!isWanted(offset)) this.delete(offset, value)
  }

  clear(): void {
    this.#values.clear()
    this.#count(-this.#bytes)
  }

  /** Reads those of [first, last] that are visible, up to one that cannot be read. Calls `done` in a later turn, or in this one. */
  load(first: number, last: number, done: () => void, isAhead = false): void {
    const present = this.#loads.find(load => first >= load.first && first <= load.last)
    if (present) {
      // Many ask for the same.
      present.isAhead &&= isAhead
      return void present.done.push(done)
    }
    this.#loads.push({ first, last, isAhead, done: [done] })
    if (!this.#isReading) this.#next()
  }

  #next(): void {
    const [load] = this.#loads
    this.#isReading = load !== undefined
    if (!load) return this.#reader.clear()
    // Those are needed now; others can be read again.
    if (this.#memory.bytes >= this.#memory.bytesMax) {
      this.retain(offset => offset >= load.first - readAheadMax && offset <= load.last + readAheadMax)
      this.#memory.relieve(this)
    }
    this.#read(load, load.first)
  }

  #read(load: Load, from: number): void {
    const reader = this.#reader
    let at = from
    while (at <= load.last) {
      const found = reader.find(at)
      if (found !== 'unread') {
        const value = found === 'found' ? reader.record.value : null
        this.#set(at++, value ? Buffer.from(value) : nothing)
        continue
      }
      const { startOffset = 0, endOffset = 0 } = this.#cell.bounds(this.#stream) ?? {}
      if (at >= endOffset) break
      // What was trimmed is in no list any more.
      if (at < startOffset) at = startOffset
      let isWithin = true
      let problem: ReadError | undefined
      let isOver = false
      const isThere = reader.read(at, true, error => {
        problem = error
        isOver = true
        if (!isWithin) this.#goOn(load, at, error)
      })
      isWithin = false
      if (isThere) continue
      if (!isOver) return
      if (problem === 'storage-corrupt') return this.#failed(load, at)
      // It is trimmed.
      if (problem !== undefined) this.#set(at++, nothing)
    }
    this.#end(load)
  }

  #failed(load: Load, at: number): void {
    if (!load.isAhead) this.#unreadable.add(at)
    this.#end(load)
  }

  #end(load: Load): void {
    this.#loads.shift()
    // These may ask for more, which is next.
    for (const done of load.done) done()
    this.#next()
  }

  #goOn(load: Load, at: number, error: ReadError | undefined): void {
    if (error === 'storage-corrupt') return this.#failed(load, at)
    if (error !== undefined) this.#set(at, nothing)
    this.#read(load, error === undefined ? at : at + 1)
  }

  #set(offset: number, value: Buffer): void {
    if (this.#values.get(offset)) return
    this.#values.set(offset, value)
    this.#count(value.length + overheadBytes)
    addNewcomer(this, offset)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#memory.bytes += bytes
  }
}

const nothing = Buffer.alloc(0)
