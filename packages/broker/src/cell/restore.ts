import { Writer } from '@dragoman/wire'
import { readBlock, type Block } from '../storage/block.ts'
import type { ChainPoint, ReplayTarget } from '../storage/claim.ts'
import { crc32c } from '../storage/crc32c.ts'
import { Corrupt } from '../storage/errors.ts'
import type { Slab } from '../storage/slab.ts'
import { checkpointSeq, readCheckpoint, readCheckpointBlob } from './checkpoint.ts'
import type { Placement } from './checkpoint.ts'
import type { CellOptions } from './options.ts'
import { placedIn } from './placed.ts'
import { CellState } from './state.ts'

/** The state of a cell while it is rebuilt: from the newest checkpoint that can be read, then block by block. */
export class Restore implements ReplayTarget {
  readonly #options: CellOptions
  state: CellState
  placement: Placement = { nextSegment: 0, segments: new Map(), open: new Map() }
  /** Where the state's checkpoint stands. */
  from: ChainPoint | undefined
  /** Replayed blocks, whose bytes the streams' tails refer to. */
  replayed: { seq: number; slab: Slab; bytes: number }[] = []
  /** Numbers of all checkpoints, ascending, and of those that could not be read. */
  checkpoints: number[] = []
  unreadable: number[] = []

  constructor(options: CellOptions) {
    this.#options = options
    this.state = new CellState(options.machines)
  }

  async restore(): Promise<ChainPoint | undefined> {
    this.#empty()
    const found = await this.#list()
    this.checkpoints = found.map(({ seq }) => seq)
    this.unreadable = []
    for (const { name, seq, bytes } of found.toReversed()) {
      try {
        const blob = await readCheckpointBlob(this.#options.blobs, name, bytes)
        if (!blob) return this.restore() // A newer one has taken its place.
        const { point, placement } = readCheckpoint(blob, this.state)
        this.placement = placement
        this.from = point
      } catch (error) {
        if (!(error instanceof Corrupt)) throw error
        this.unreadable.push(seq)
        this.#options.log('error', `Cannot read checkpoint ${name}: ${error.message}; trying the one before`)
        this.#empty()
        continue
      }
      await this.#checkEnd(seq)
      return this.from && { ...this.from }
    }
    return undefined
  }

  get hasLost(): boolean {
    return this.unreadable.length > 0
  }

  /** A checkpoint's block is kept. Without it the end of the journal is gone, with what was acknowledged there; only a power cut of lazy blocks explains that. */
  async #checkEnd(seq: number): Promise<void> {
    const { chain, cell, exclusive } = this.#options
    if (!exclusive || chain.isLazy || (await chain.get(cell, seq)) !== null) return
    const last = (await chain.list(cell, 0)).at(-1)
    const bytes = last === undefined ? null : await chain.get(cell, last)
    if (bytes && readBlock(bytes)?.isLazy) return
    throw new Corrupt(
      `the journal ends before block ${seq}, which a checkpoint holds, and what was acknowledged behind it is lost. ` +
        'Restore the directory from a copy, or start once with "--durability os" to go on without it',
    )
  }

  async newestCheckpoint(): Promise<number | undefined> {
    return (await this.#list()).at(-1)?.seq
  }

  /** What a block tells of must be there: it was written before the block was, unless that is lazy. */
  async examine(block: Block): Promise<string | undefined> {
    for (const { name, position, bytes, crc, stream } of placedIn(block)) {
      const target = Buffer.allocUnsafe(bytes)
      const count = await this.#options.blobs.read(name, position, target)
      if (count === bytes && crc32c(target) === crc) continue
      return `${name} is missing or damaged between bytes ${position} and ${position + bytes}, which block ${block.seq} places there for stream ${stream}`
    }
    return undefined
  }

  apply(block: Block): void {
    for (const { segment, name } of placedIn(block)) {
      const { segments, open } = this.placement
      if (!segments.has(segment)) open.set(segment, { id: segment, name, bytes: 0 })
      this.placement.nextSegment = Math.max(this.placement.nextSegment, segment + 1)
    }
    const slab = this.state.applyBlock(block)
    if (block.factCount > 0) this.replayed.push({ seq: block.seq, slab, bytes: block.bytes.length })
  }

  /** The state in bytes: equal states give equal bytes. */
  digest(): Buffer {
    const out = new Writer()
    this.state.save(out)
    return out.take()
  }

  #empty(): void {
    this.state = new CellState(this.#options.machines)
    this.placement = { nextSegment: 0, segments: new Map(), open: new Map() }
    this.from = undefined
    this.replayed = []
  }

  async #list(): Promise<{ name: string; seq: number; bytes: number }[]> {
    const { blobs, cell } = this.#options
    const found: { name: string; seq: number; bytes: number }[] = []
    for (const { name, bytes } of await blobs.list(`cell/${cell}/c/`)) {
      const seq = checkpointSeq(name)
      if (seq !== undefined) found.push({ name, seq, bytes })
    }
    return found.sort((a, b) => a.seq - b.seq)
  }
}
