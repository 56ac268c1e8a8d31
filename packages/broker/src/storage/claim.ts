import { blockHeaderBytes, linkOf, noLink, readBlock, sameLink, sealBlock, writeBlockHeader } from './block.ts'
import type { Block, Link } from './block.ts'
import type { ChainStore } from './chain-store.ts'
import { Corrupt } from './errors.ts'

/**
 * Becoming the owner of a cell. The rules that carry the proof:
 *
 *   R1  Fence blocks are never deleted.
 *   R2  After its fence was created a claimer looks for the newest checkpoint again and gives up if that is at or beyond the fence.
 *   R3  Every block names its predecessor; who meets a broken link starts over from the newest checkpoint.
 *   R4  A writer never writes two contents under one number; `unknown` is settled by the same bytes again and a comparison.
 *   R5  Effects leave only after durability, in order, with one block in flight (`journal.ts`).
 *   R6  A block is deleted only after a checkpoint beyond it is durable (`cell/checkpointer.ts`).
 *
 * An old owner's next attempt is always at the first free number, which a new owner's fence has taken for ever (R1). A stale
 * claimer that creates a number again that was deleted finds a newer checkpoint (R2), and nobody replays across its fence (R3).
 */
export interface ClaimOptions {
  cell: number
  chain: ChainStore
  random: { bigint64(): bigint }
  clock: { nowMs(): number; after(delayMs: number, run: () => void): () => void }
  target: ReplayTarget
}

/** The state that is being rebuilt. */
export interface ReplayTarget {
  /** Empties the state, loads the newest readable checkpoint into it and says where that stands; undefined when there is none. */
  restore(): Promise<ChainPoint | undefined>
  /** Number of the newest checkpoint, readable or not. */
  newestCheckpoint(): Promise<number | undefined>
  /** A newer checkpoint than the restored one was there and could not be read: what the journal lacks may have been in it. */
  readonly hasLost?: boolean
  /** Whether what the block refers to outside the journal is there, before it is applied: undefined, or what is wrong. */
  examine?(block: Block): Promise<string | undefined>
  apply(block: Block): void
}

/** A place in the chain: everything up to and including block `seq`. */
export interface ChainPoint {
  seq: number
  epoch: number
  timeMs: number
  link: Link
}

export interface Claim {
  /** The fence; the first block of this owner follows it. */
  point: ChainPoint
  writer: bigint
  /** Time of the block before the fence, as its owner's clock had it; 0: there was none. */
  previousMs: number
}

/** How often the same break is met before it counts as damage: a stale reader of a busy chain gets past it by then. */
const sameBreakMax = 3
const retryMs = 100

/** Replays the cell into `target` and fences every earlier owner out. Rejects with `Corrupt` when the chain has a hole or a broken link. */
export async function claimCell(options: ClaimOptions): Promise<Claim> {
  const { target } = options
  let breaks = 0
  let lastBreak = -1
  for (;;) {
    const head = (await target.restore()) ?? { seq: -1, epoch: 0, timeMs: 0, link: noLink }
    const broken = await replay(options, head)
    if (broken) {
      breaks = head.seq === lastBreak ? breaks + 1 : 1
      lastBreak = head.seq
      if (breaks >= sameBreakMax) throw new Corrupt(broken)
      await pause(options, retryMs)
      continue
    }
    const writer = BigInt.asUintN(64, options.random.bigint64())
    const fence = await putFence(options, head, writer)
    if (!fence) continue
    const newest = await target.newestCheckpoint()
    if (newest !== undefined && newest >= fence.seq) continue // R2: our fence lies in recycled numbers.
    target.apply(fence)
    const point = { seq: fence.seq, epoch: fence.epoch, timeMs: fence.timeMs, link: linkOf(fence) }
    return { point, writer, previousMs: head.timeMs }
  }
}

/** Applies all blocks behind `head` and moves it. Returns what is wrong with the chain, if anything. */
async function replay(options: ClaimOptions, head: ChainPoint): Promise<string | undefined> {
  const { chain, cell, target } = options
  const seqs = await chain.list(cell, head.seq + 1)
  const ahead: Promise<Buffer | null>[] = []
  for (let index = 0; index < seqs.length; index++) {
    const seq = seqs[index]!
    if (seq !== head.seq + 1) {
      await Promise.allSettled(ahead)
      if (await cutLazy(options, head.seq + 1, seqs.slice(index))) return undefined
      return `block ${head.seq + 1} of cell ${cell} is missing, but block ${seq} is there`
    }
    for (let next = index + ahead.length; next < Math.min(seqs.length, index + readsAhead); next++) {
      const reading = chain.get(cell, seqs[next]!)
      reading.catch(() => {}) // It is looked at when its turn comes, unless one before it has failed.
      ahead.push(reading)
    }
    const bytes = await ahead.shift()!
    const lost = await examine(bytes, head, target)
    const broken = lost ?? step(head, bytes, seq, target)
    if (broken) {
      await Promise.allSettled(ahead)
      if (lost && (await cutLazy(options, seq, seqs.slice(index)))) return undefined
      return broken
    }
  }
  return undefined
}

const readsAhead = 32

/**
 * A hole before a block that was told before the disk had it is what a power cut leaves: the chain ends before the hole. Not when a checkpoint
 * was made behind the hole that is not there: blocks that it held were dropped, and no power cut explains that. Nor when a fence follows: at
 * that start everything before it was there, and was synced.
 */
async function cutLazy({ chain, cell, target }: ClaimOptions, hole: number, later: number[]): Promise<boolean> {
  if (!chain.cut || target.hasLost) return false
  for (const [index, seq] of later.entries()) {
    const bytes = await chain.get(cell, seq)
    const block = bytes ? readBlock(bytes) : undefined
    if (index === 0 && !block?.isLazy) return false
    if (block && (block.floorHint >= hole || block.kind === 'fence')) return false
  }
  await chain.cut(cell, hole)
  return true
}

/** What a block that is whole misses outside the journal, if anything. */
async function examine(bytes: Buffer | null, head: ChainPoint, target: ReplayTarget): Promise<string | undefined> {
  const block = bytes && target.examine ? readBlock(bytes) : undefined
  return block && block.factCount > 0 && block.epoch >= head.epoch ? target.examine!(block) : undefined
}

/** Takes one block into the state. A block of an epoch that was already fenced has no say, but stays a link. */
function step(head: ChainPoint, bytes: Buffer | null, seq: number, target: ReplayTarget): string | undefined {
  if (bytes === null) return `block ${seq} vanished while the chain was read`
  const block = readBlock(bytes)
  if (!block || block.seq !== seq) return `block ${seq} is damaged`
  if (!sameLink(block.previous, head.link)) return `block ${seq} does not follow block ${head.seq}`
  if (block.epoch >= head.epoch) target.apply(block)
  head.seq = seq
  head.epoch = Math.max(head.epoch, block.epoch)
  head.timeMs = block.timeMs
  head.link = linkOf(block)
  return undefined
}

/** Puts the fence at the first free number; what others put there meanwhile is replayed. Undefined: start over. */
async function putFence(options: ClaimOptions, head: ChainPoint, writer: bigint): Promise<Block | undefined> {
  const { chain, cell, target } = options
  for (;;) {
    const fence = makeFence(options, head, writer)
    const result = await settle(options, head.seq + 1, fence)
    if (result === 'ok') return readBlock(fence)
    if (result === null) return undefined
    if (step(head, result, head.seq + 1, target)) return undefined
    const more = await chain.list(cell, head.seq + 1)
    if (more.length > 0 && (await replay(options, head))) return undefined
  }
}

function makeFence({ cell, clock, chain }: ClaimOptions, head: ChainPoint, writer: bigint): Buffer {
  const bytes = Buffer.alloc(blockHeaderBytes)
  writeBlockHeader(bytes, 0, {
    kind: 'fence',
    cell,
    epoch: head.epoch + 1,
    seq: head.seq + 1,
    writer,
    previous: head.link,
    timeMs: Math.max(head.timeMs, clock.nowMs()),
    bodyBytes: 0,
    factCount: 0,
    floorHint: -1,
    isLazy: chain.isLazy === true,
  })
  sealBlock(bytes, 0, [])
  return bytes
}

/** R4: asks with the same bytes until it is certain whose block stands there. Returns the other's bytes, or null when they are gone again. */
async function settle(options: ClaimOptions, seq: number, fence: Buffer): Promise<'ok' | Buffer | null> {
  for (;;) {
    const result = await options.chain.putIfAbsent(options.cell, seq, [fence])
    if (result === 'ok') return 'ok'
    if (result === 'exists') {
      const found = await options.chain.get(options.cell, seq)
      return found?.equals(fence) ? 'ok' : found
    }
    await pause(options, retryMs)
  }
}

function pause({ clock }: ClaimOptions, delayMs: number): Promise<void> {
  return new Promise(resolve => clock.after(delayMs, resolve))
}
