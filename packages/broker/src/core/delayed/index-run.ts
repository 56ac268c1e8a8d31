import type { CellClient, StreamId } from '../../cell/client.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import type { Heaped } from '../work/heap.ts'
import { fetchRecord } from './record-fetch.ts'
import type { Run } from './volume-state.ts'

const entryBytes = 8
/** Of a block's form: its first byte. */
const blockVersion = 1

/** The batch of one block: due times and offsets of `count` messages from `from` on, in order. */
export function blockBatch(
  dues: Uint32Array,
  offsets: Uint32Array,
  from: number,
  count: number,
  timestampMs: number,
): Buffer {
  const value = Buffer.allocUnsafe(1 + count * entryBytes)
  value[0] = blockVersion
  for (let at = 0; at < count; at++) {
    value.writeUInt32BE(dues[from + at]!, 1 + at * entryBytes)
    value.writeUInt32BE(offsets[from + at]!, 5 + at * entryBytes)
  }
  return makeBatch([{ value, timestampMs }])
}

/** Part of an index could not be read. */
export class IndexDamaged extends Error {
  override name = 'IndexDamaged'
}

/**
 * Goes through a run in order: one block is in memory. `due` and `offset` are of the present entry.
 */
export class RunReader implements Heaped {
  heapAt = -1
  due = 0
  offset = 0
  readonly #cell: CellClient
  readonly #stream: StreamId
  readonly #run: Run
  #block: Buffer | undefined
  #blockAt: number
  #at = 0

  constructor(cell: CellClient, stream: StreamId, run: Run) {
    this.#cell = cell
    this.#stream = stream
    this.#run = run
    this.#blockAt = run.first - 1
  }

  /** To the first entry behind (due, offset). Resolves with false when there is none. Rejects with `IndexDamaged`. */
  async seek(due: number, offset: number): Promise<boolean> {
    const { first, blocks } = this.#run
    const isFromBeginning = due === 0 && offset < 0
    // The last block that begins at or before it.
    let low = first
    for (let high = isFromBeginning ? low : first + blocks - 1; low < high;) {
      const middle = (low + high + 1) >>> 1
      const block = await this.#read(middle)
      if (isBehind(block.readUInt32BE(1), block.readUInt32BE(5), due, offset)) high = middle - 1
      else low = middle
    }
    this.#blockAt = low - 1
    this.#block = undefined
    while (await this.load()) {
      do {
        if (isBehind(this.due, this.offset, due, offset)) return true
      } while (this.next())
    }
    return false
  }

  /** To the next entry of the block in memory; false when there is none. */
  next(): boolean {
    const block = this.#block
    if (!block || this.#at + entryBytes > block.length) return false
    this.due = block.readUInt32BE(this.#at)
    this.offset = block.readUInt32BE(this.#at + 4)
    this.#at += entryBytes
    return true
  }

  /** Whether there is a block behind the one in memory. */
  get hasMore(): boolean {
    return this.#blockAt + 1 < this.#run.first + this.#run.blocks
  }

  /** To the first entry of the next block. Resolves with false when there is none. Rejects with `IndexDamaged`. */
  async load(): Promise<boolean> {
    if (!this.hasMore) return false
    this.#block = await this.#read(this.#blockAt + 1)
    this.#blockAt++
    this.#at = 1
    return this.next()
  }

  async #read(at: number): Promise<Buffer> {
    const found = await fetchRecord(this.#cell, this.#stream, at)
    const block = typeof found === 'object' ? found.value : null
    if (block && block[0] === blockVersion && (block.length - 1) % entryBytes === 0 && block.length > 1) {
      // A copy: what was read with it is many times as much.
      return Buffer.from(block)
    }
    const reason = typeof found === 'string' ? found : found ? 'it is no block of an index' : 'it is not there'
    throw new IndexDamaged(`Block ${at} of stream ${this.#stream} cannot be used: ${reason}`)
  }
}

export function isBehind(due: number, offset: number, thanDue: number, thanOffset: number): boolean {
  return due > thanDue || (due === thanDue && offset > thanOffset)
}
