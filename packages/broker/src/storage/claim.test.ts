import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { blockHeaderBytes, linkOf, noLink, readBlock, sealBlock, writeBlockHeader } from './block.ts'
import type { Block, Link } from './block.ts'
import type { ChainStore, PutResult } from './chain-store.ts'
import { claimCell } from './claim.ts'
import type { ChainPoint, Claim, ReplayTarget } from './claim.ts'
import { Corrupt } from './errors.ts'
import { MemoryChainStore } from './memory-store.ts'

/** A store in memory whose answers to `putIfAbsent` a test decides. */
class ScriptedChain extends MemoryChainStore implements ChainStore {
  /** Called before each put; what it returns is answered instead. */
  onPut: ((seq: number, parts: readonly Uint8Array[], attempt: number) => Promise<PutResult | undefined>) | undefined
  attempts = 0
  puts: Buffer[] = []

  override async putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    this.puts.push(Buffer.concat(parts))
    const answer = await this.onPut?.(seq, parts, ++this.attempts)
    return answer ?? super.putIfAbsent(cell, seq, parts)
  }
}

function block(
  seq: number,
  previous: Link,
  more: Partial<{ epoch: number; writer: bigint; kind: 'data' | 'fence' }> = {},
): Block {
  const bytes = Buffer.alloc(blockHeaderBytes)
  writeBlockHeader(bytes, 0, {
    kind: 'data',
    cell: 0,
    epoch: 1,
    seq,
    writer: 1n,
    previous,
    timeMs: 5000,
    bodyBytes: 0,
    factCount: 0,
    floorHint: -1,
    ...more,
  })
  sealBlock(bytes, 0, [])
  return readBlock(bytes)!
}

/** Blocks 0 to `count - 1`, each following the one before. */
async function chainOf(count: number): Promise<{ chain: ScriptedChain; blocks: Block[] }> {
  const chain = new ScriptedChain()
  const blocks: Block[] = []
  for (let seq = 0; seq < count; seq++) {
    blocks.push(block(seq, seq === 0 ? noLink : linkOf(blocks[seq - 1]!)))
    await chain.putIfAbsent(0, seq, [blocks[seq]!.bytes])
  }
  chain.puts = []
  return { chain, blocks }
}

/** Remembers what was applied; its checkpoints are what the test says. */
class Target implements ReplayTarget {
  applied: number[] = []
  restores = 0
  checkpoint: ChainPoint | undefined
  newest: (() => number | undefined) | undefined

  async restore(): Promise<ChainPoint | undefined> {
    this.restores++
    this.applied = []
    return this.checkpoint && { ...this.checkpoint }
  }
  async newestCheckpoint(): Promise<number | undefined> {
    return this.newest ? this.newest() : this.checkpoint?.seq
  }
  apply({ seq }: Block): void {
    this.applied.push(seq)
  }
}

const pointAt = (of: Block): ChainPoint => ({ seq: of.seq, epoch: of.epoch, timeMs: of.timeMs, link: linkOf(of) })
const random = new Random(1)
const clock = { nowMs: () => 1000, after: (_ms: number, run: () => void) => (setImmediate(run), () => {}) }
const claim = (chain: ChainStore, target: Target): Promise<Claim> =>
  claimCell({ cell: 0, chain, random, clock, target })

test('a claim of an empty cell puts the first fence', async () => {
  const chain = new ScriptedChain()
  const { point } = await claim(chain, new Target())
  const fence = readBlock((await chain.get(0, 0))!)!
  assert.deepEqual([fence.kind, fence.epoch, fence.seq, point.seq, point.epoch], ['fence', 1, 0, 0, 1])
})

test('a claim replays what follows the checkpoint, and its time never goes back', async () => {
  const { chain, blocks } = await chainOf(6)
  const target = new Target()
  target.checkpoint = pointAt(blocks[2]!)
  const { point } = await claim(chain, target)
  assert.deepEqual(target.applied, [3, 4, 5, 6])
  assert.deepEqual([point.seq, point.epoch, point.timeMs], [6, 2, 5000])
})

test('a block that another put first is replayed, and the fence follows it', async () => {
  const { chain, blocks } = await chainOf(3)
  const late = block(3, linkOf(blocks[2]!))
  chain.onPut = async (seq, _parts, attempt) => {
    if (attempt === 1) await MemoryChainStore.prototype.putIfAbsent.call(chain, 0, seq, [late.bytes])
    return undefined
  }
  const target = new Target()
  const { point } = await claim(chain, target)
  assert.deepEqual([target.applied, point.seq], [[0, 1, 2, 3, 4], 4])
})

test('R2: a fence at or below the newest checkpoint is given up', async () => {
  const { chain, blocks } = await chainOf(3)
  const target = new Target()
  target.checkpoint = pointAt(blocks[0]!)
  let looks = 0
  target.newest = () => (looks++ === 0 ? 7 : 0)
  const { point } = await claim(chain, target)
  assert.equal(target.restores, 2)
  assert.equal(point.seq, 4, 'its first fence stands at 3')
})

test('R3: a broken link starts over, and is damage when it stays', async () => {
  const { chain, blocks } = await chainOf(3)
  await chain.putIfAbsent(0, 3, [block(3, linkOf(blocks[1]!)).bytes])
  const target = new Target()
  await assert.rejects(claim(chain, target), (error: Error) => {
    assert(error instanceof Corrupt)
    assert.match(error.message, /block 3 does not follow block 2/)
    return true
  })
  assert.equal(target.restores, 3)
})

test('R3: a ghost below a newer checkpoint is not replayed', async () => {
  const { chain, blocks } = await chainOf(5)
  await chain.drop(0, [0, 1, 2])
  await chain.putIfAbsent(0, 1, [block(1, linkOf(blocks[0]!), { kind: 'fence', epoch: 9, writer: 3n }).bytes])
  const target = new Target()
  target.checkpoint = pointAt(blocks[3]!)
  const { point } = await claim(chain, target)
  assert.deepEqual([target.applied, point.epoch], [[4, 5], 2])
})

test('R4: an unknown answer is settled with the same bytes', async () => {
  for (const happened of [true, false]) {
    const { chain } = await chainOf(2)
    chain.onPut = async (seq, parts, attempt) => {
      if (attempt > 2) return undefined
      if (happened && attempt === 1) await MemoryChainStore.prototype.putIfAbsent.call(chain, 0, seq, parts)
      return 'unknown'
    }
    const { point } = await claim(chain, new Target())
    assert.equal(point.seq, 2)
    assert.equal(chain.puts.length, 3)
    assert(chain.puts.every(bytes => bytes.equals(chain.puts[0]!)))
  }
})

test('a hole in the chain is damage', async () => {
  const { chain } = await chainOf(5)
  await chain.drop(0, [2])
  await assert.rejects(claim(chain, new Target()), /block 2 of cell 0 is missing, but block 3 is there/)
})

test('a block that is not whole is damage', async () => {
  const { chain, blocks } = await chainOf(2)
  const bytes = Buffer.from(block(2, linkOf(blocks[1]!)).bytes)
  bytes[60]! ^= 1
  await chain.putIfAbsent(0, 2, [bytes])
  await assert.rejects(claim(chain, new Target()), /block 2 is damaged/)
})

test('a block of an epoch that was fenced has no say but stays a link', async () => {
  const { chain, blocks } = await chainOf(1)
  const fence = block(1, linkOf(blocks[0]!), { kind: 'fence', epoch: 5, writer: 2n })
  const zombie = block(2, linkOf(fence), { epoch: 1 })
  for (const { seq, bytes } of [fence, zombie]) await chain.putIfAbsent(0, seq, [bytes])
  const target = new Target()
  const { point } = await claim(chain, target)
  assert.deepEqual([target.applied, point.epoch], [[0, 1, 3], 6])
})
