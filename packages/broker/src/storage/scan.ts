import type { DiskFile } from '../runtime/runtime.ts'
import { blockBytesAt, blockHeaderBytes, readBlock } from './block.ts'
import type { Block } from './block.ts'

/** Blocks start at multiples of this, so that a torn write cannot touch the page of an older block. */
export const blockAlignment = 4096
export const alignBlock = (bytes: number): number => Math.ceil(bytes / blockAlignment) * blockAlignment

export interface ChainFileScan {
  /** Where the run of blocks from the start of the file ends. */
  end: number
  /** What is behind the end and should not be, in words; undefined when all is well. */
  damage: string | undefined
  /** A power cut explains it: the block behind the end was told before the disk had it. */
  isExplained: boolean
}

export interface ScanOptions {
  path: string
  /** Last number of the files before. Older blocks at the start mean that the file was not begun in this life. */
  afterSeq: number
  /** Numbers follow each other without a gap, but for the first. */
  dense: boolean
  /** Called for each block of the run; its bytes are valid only during the call. */
  visit(block: Block, at: number): void
}

/**
 * Reads a journal file. The run ends where a block is not whole, or older than the one before: bytes of the file's former
 * life. A whole block *behind* the end that is newer than the run proves that the end is damage and not a torn last write.
 */
export async function scanChainFile(file: DiskFile, options: ScanOptions): Promise<ChainFileScan> {
  const window = new Window(file, await file.size())
  let at = 0
  let last = options.afterSeq
  for (let count = 0; ; count++) {
    const block = await window.block(at)
    if (!block || block.seq <= last || (options.dense && count > 0 && block.seq !== last + 1)) break
    options.visit(block, at)
    last = block.seq
    at += alignBlock(block.bytes.length)
  }
  const later = await laterBlock(window, at, last)
  if (!later) return { end: at, damage: undefined, isExplained: true }
  const damage =
    `${options.path} is damaged from byte ${at} on: a block that follows block ${last} was there, ` +
    `as block ${later.seq} at byte ${later.at} shows`
  return { end: at, damage, isExplained: later.isLazy }
}

async function laterBlock(
  window: Window,
  end: number,
  last: number,
): Promise<{ seq: number; at: number; isLazy: boolean } | undefined> {
  for (let at = end; at < window.size;) {
    const block = await window.block(at)
    if (block && block.seq > last) return { seq: block.seq, at, isLazy: block.isLazy === true }
    at += block ? alignBlock(block.bytes.length) : blockAlignment
  }
  return undefined
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
