import type { DiskFile } from '../runtime/runtime.ts'
import { blockBytesAt, blockHeaderBytes, blockSeqAt, readBlock } from './block.ts'
import type { Block } from './block.ts'

/**
 * Who has written the blocks of a journal: the random numbers of its claims, which no peer can know.
 *
 * Behind the newest block of a file lie the rests of older ones, and so bytes that peers have chosen, at the beginnings of pages, too. Among
 * them may be what looks like a block: it is none of ours unless its writer is known. Fences are kept apart (`announce`) before their owner
 * writes anything else, so that damage to one does not make all that follows it look foreign.
 */
export class ChainWriters {
  readonly #known = new Set<bigint>()
  readonly #announced = new Set<bigint>()
  #last: bigint | undefined

  /** A fence that is kept apart. */
  announce({ writer }: Block): void {
    this.#announced.add(writer)
    this.#known.add(writer)
  }

  /** A block of the journal. */
  note({ writer }: Block): void {
    this.#known.add(writer)
    this.#last = writer
  }

  wrote({ writer, previous }: Block): boolean {
    return this.#known.has(writer) || this.#known.has(previous.writer)
  }

  /** Whether a block that is none of theirs is foreign for certain: older releases did not announce. */
  get areAllKnown(): boolean {
    return this.#last === undefined ? this.#announced.size > 0 : this.#announced.has(this.#last)
  }
}

/** Blocks start at multiples of this, so that a torn write cannot touch the page of an older block. */
export const blockAlignment = 4096
export const alignBlock = (bytes: number): number => Math.ceil(bytes / blockAlignment) * blockAlignment

export interface ChainFileScan {
  /** Where the run of blocks from the start of the file ends. */
  end: number
  /** What is behind the end and should not be, in words; undefined when all is well. */
  damage: string | undefined
  /** The block that comes next was begun there and is not whole, in words. */
  torn: string | undefined
  /** A power cut explains it: the block behind the end was told before the disk had it. */
  isExplained: boolean
}

export interface ScanOptions {
  path: string
  readonly writers: ChainWriters
  /** Last number of the files before. Older blocks at the start mean that the file was not begun in this life. */
  afterSeq: number
  /** Numbers follow each other without a gap, but for the first. Else these are fences that are kept, in any order. */
  dense: boolean
  /** Called for each block of the run; its bytes are valid only during the call. */
  visit(block: Block, at: number): void
}

/**
 * Reads a journal file. The run ends where a block is not whole, or older than the one before: bytes of the file's former
 * life. A whole block *behind* the end that is newer than the run proves that the end is damage and not a torn last write.
 */
export async function scanChainFile(file: DiskFile, options: ScanOptions): Promise<ChainFileScan> {
  const { dense, writers } = options
  const window = new Window(file, await file.size())
  let at = 0
  let last = options.afterSeq
  for (let count = 0; ; count++) {
    const block = await window.block(at)
    if (!block || (dense && !follows(block, count, last, writers))) break
    options.visit(block, at)
    last = dense ? block.seq : last
    if (dense) writers.note(block)
    else writers.announce(block)
    at += alignBlock(block.bytes.length)
  }
  const later = await laterBlock(window, at, last, writers)
  if (!later) {
    const isTorn = dense && (await window.seqAt(at)) === last + 1
    const torn = `${options.path} ends in a block that is not whole, ${last + 1} at byte ${at}`
    return { end: at, damage: undefined, torn: isTorn ? torn : undefined, isExplained: true }
  }
  const damage =
    `${options.path} is damaged from byte ${at} on: a block that follows block ${last} was there, ` +
    `as block ${later.seq} at byte ${later.at} shows`
  return { end: at, damage, torn: undefined, isExplained: later.isLazy }
}

/** What begins a file is a block, of whatever life; behind it there may be anything. */
function follows(block: Block, count: number, last: number, writers: ChainWriters): boolean {
  return count === 0 ? block.seq > last : block.seq === last + 1 && writers.wrote(block)
}

/**
 * The first block behind the end that is newer, if any. `isLazy`: a power cut can have taken what lies before it. It cannot when a fence comes
 * later: at that start everything before it was there, and was synced.
 */
async function laterBlock(
  window: Window,
  end: number,
  last: number,
  writers: ChainWriters,
): Promise<{ seq: number; at: number; isLazy: boolean } | undefined> {
  let found: { seq: number; at: number; isLazy: boolean } | undefined
  for (let at = end; at < window.size && found?.isLazy !== false;) {
    const block = await window.block(at)
    const isOurs = block !== undefined && (!writers.areAllKnown || writers.wrote(block))
    if (isOurs && block.seq > last) {
      found ??= { seq: block.seq, at, isLazy: true }
      found.isLazy = block.isLazy === true && block.kind !== 'fence'
    }
    at += isOurs ? alignBlock(block.bytes.length) : blockAlignment
  }
  return found
}

/** A file seen through a buffer that moves along with the reader. */
class Window {
  readonly size: number
  readonly #file: DiskFile
  #bytes: Buffer
  #start = 0
  #end = 0

  constructor(file: DiskFile, size: number) {
    this.#file = file
    this.size = size
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(size, windowBytes))
  }

  async block(at: number): Promise<Block | undefined> {
    if (!(await this.#load(at, blockHeaderBytes))) return undefined
    const length = blockBytesAt(this.#bytes, at - this.#start)
    if (length === undefined || !(await this.#load(at, length))) return undefined
    return readBlock(this.#bytes.subarray(at - this.#start, at - this.#start + length))
  }

  /** The number in what looks like the header of a block. */
  async seqAt(at: number): Promise<number | undefined> {
    return (await this.#load(at, blockHeaderBytes)) ? blockSeqAt(this.#bytes, at - this.#start) : undefined
  }

  async #load(at: number, length: number): Promise<boolean> {
    if (at + length > this.size) return false
    if (at >= this.#start && at + length <= this.#end) return true
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafeSlow(length)
    this.#start = at
    this.#end = at + (await this.#file.read(this.#bytes, at))
    return at + length <= this.#end
  }
}

const windowBytes = 8 * 1024 * 1024
