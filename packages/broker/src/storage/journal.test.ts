import assert from 'node:assert/strict'
import test from 'node:test'
import { factHeaderBytes, blockHeaderBytes, noLink, readBlock, sameLink, linkOf } from './block.ts'
import type { Block } from './block.ts'
import type { PutResult } from './chain-store.ts'
import { Fenced } from './errors.ts'
import { Journal } from './journal.ts'
import { MemoryChainStore } from './memory-store.ts'
import { SlabPool } from './slab.ts'

/** Answers each put when the test says so, and how. */
class HeldChain extends MemoryChainStore {
  readonly waiting: { seq: number; parts: Buffer; answer: (result: PutResult | Error) => void }[] = []
  isHolding = true

  override putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    if (!this.isHolding) return super.putIfAbsent(cell, seq, parts)
    return new Promise((resolve, reject) => {
      const bytes = Buffer.concat(parts)
      this.waiting.push({
        seq,
        parts: bytes,
        answer: result => {
          if (result instanceof Error) reject(result)
          else if (result === 'ok') void super.putIfAbsent(cell, seq, [bytes]).then(() => resolve('ok'))
          else resolve(result)
        },
      })
    })
  }
}

interface Journaled {
  journal: Journal
  chain: HeldChain
  events: string[]
  /** Time has passed for whoever waits for it. */
  pass(): void
}

function open(sizes: Partial<{ blockBytesMax: number; blockFactsMax: number; slabBytes: number }> = {}): Journaled {
  const chain = new HeldChain()
  const events: string[] = []
  let timers: (() => void)[] = []
  const journal = new Journal({
    cell: 0,
    chain,
    slabs: new SlabPool(sizes.slabBytes ?? 4096, 4),
    claim: { point: { seq: 0, epoch: 3, timeMs: 500, link: noLink }, writer: 9n, previousMs: 500 },
    clock: {
      nowMs: () => 100,
      after: (_ms, run) => (timers.push(run), () => {}),
      soon: run => void setImmediate(run),
    },
    blockBytesMax: sizes.blockBytesMax ?? 2000,
    blockFactsMax: sizes.blockFactsMax ?? 10,
    onFatal: error => events.push(`fatal ${error.message}`),
    onFenced: () => events.push('fenced'),
    onSettled: () => events.push('settled'),
  })
  const pass = (): void => {
    const due = timers
    timers = []
    for (const run of due) run()
  }
  return { journal, chain, events, pass }
}

function fact(journal: Journal, text: string): number {
  const seq = journal.reserve(1, 7, text.length)
  journal.slab.bytes.write(text, journal.at)
  return seq
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}

async function stored(chain: HeldChain): Promise<Block[]> {
  const seqs = await chain.list(0, 0)
  return Promise.all(seqs.map(async seq => readBlock((await chain.get(0, seq))!)!))
}

function payloads({ bytes, factCount }: Block): string[] {
  const found: string[] = []
  for (let at = blockHeaderBytes, left = factCount; left > 0; left--) {
    const length = bytes.readUInt32BE(at + 6)
    found.push(bytes.toString('latin1', at + factHeaderBytes, at + factHeaderBytes + length))
    at += factHeaderBytes + length
  }
  return found
}

test('facts gather while a block is in flight, and effects run in order after it', async () => {
  const { journal, chain, events } = open()
  const first = fact(journal, 'a')
  journal.whenDurable(first, text => events.push(text), 'first')
  await turns()
  const second = fact(journal, 'b')
  assert.equal(fact(journal, 'c'), second)
  journal.whenDurable(second, text => events.push(text), 'second')
  journal.whenDurable(second, text => events.push(text), 'third')
  await turns()
  assert.deepEqual([chain.waiting.length, events], [1, []])
  chain.waiting[0]!.answer('ok')
  await turns()
  assert.deepEqual(events, ['first', 'settled'])
  journal.whenDurable(first, text => events.push(text), 'at once')
  chain.waiting[1]!.answer('ok')
  await turns()
  assert.deepEqual(events, ['first', 'settled', 'at once', 'second', 'third', 'settled'])
  const blocks = await stored(chain)
  assert.deepEqual(blocks.map(payloads), [['a'], ['b', 'c']])
  assert(sameLink(blocks[1]!.previous, linkOf(blocks[0]!)))
  assert.deepEqual(
    blocks.map(({ epoch, seq, timeMs, writer }) => [epoch, seq, timeMs, writer]),
    [
      [3, 1, 100, 9n],
      [3, 2, 100, 9n],
    ],
  )
})

test('what nobody waits for is written with what somebody waits for, or after a while', async () => {
  const { journal, chain, events, pass } = open()
  const first = fact(journal, 'a')
  await turns()
  assert.equal(fact(journal, 'b'), first)
  await turns()
  assert.equal(chain.waiting.length, 0)
  journal.whenDurable(first, text => events.push(text), 'both')
  await turns()
  assert.equal(chain.waiting.length, 1)
  // Nobody waits for the next one, and the one before it is on its way.
  const second = fact(journal, 'c')
  chain.waiting[0]!.answer('ok')
  await turns()
  assert.deepEqual([events, chain.waiting.length], [['both', 'settled'], 1])
  pass()
  await turns()
  assert.equal(chain.waiting.length, 1, 'it was begun since the last look')
  pass()
  await turns()
  assert.equal(chain.waiting.length, 2)
  chain.waiting[1]!.answer('ok')
  await turns()
  assert.equal(journal.durableSeq, second)
  // A full block does not wait, nor does what will be waited for.
  for (let count = 0; count < 11; count++) fact(journal, 'd')
  await turns()
  assert.equal(chain.waiting.length, 3)
  chain.waiting[2]!.answer('ok')
  await turns()
  assert.equal(chain.waiting.length, 3)
  assert.equal(journal.expect(), journal.lastSeq)
  await turns()
  assert.equal(chain.waiting.length, 4)
})

test('a block ends at its limits of bytes and of facts', async () => {
  const { journal, chain } = open({ blockBytesMax: 200, blockFactsMax: 5 })
  chain.isHolding = false
  const seqs = Array.from({ length: 12 }, () => fact(journal, 'x'))
  assert.deepEqual(seqs, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3])
  assert.equal(fact(journal, 'y'.repeat(500)), 4, 'larger than a block may be: one of its own')
  assert.equal(fact(journal, 'z'), 5)
  await journal.durable(5)
  assert.deepEqual(
    (await stored(chain)).map(block => block.factCount),
    [5, 5, 2, 1, 1],
  )
  assert.equal(journal.pendingBytes, 0)
})

test('atomic facts share a block whatever its limits', async () => {
  const { journal, chain } = open({ blockBytesMax: 300, blockFactsMax: 4 })
  chain.isHolding = false
  for (const text of ['a', 'b', 'c']) fact(journal, text)
  const seq = journal.atomic(() => {
    for (let index = 0; index < 20; index++) journal.atomic(() => void fact(journal, 'x'.repeat(50)))
  })
  await journal.durable(seq)
  assert.deepEqual(
    (await stored(chain)).map(block => block.factCount),
    [3, 20],
  )
})

test('facts across slabs are whole, and slabs come back only when released', async () => {
  const { journal, chain } = open({ slabBytes: 1000, blockBytesMax: 100_000, blockFactsMax: 1000 })
  chain.isHolding = false
  const texts = Array.from({ length: 40 }, (_, index) =>
    String.fromCharCode(65 + (index % 26)).repeat(1 + ((index * 397) % 1500)),
  )
  for (const text of texts) fact(journal, text)
  await journal.durable(journal.lastSeq)
  assert.deepEqual((await stored(chain)).flatMap(payloads), texts)
  assert(journal.keptBytes > 0)
  journal.release(journal.durableSeq)
  assert.equal(journal.keptBytes, 0)
})

test('another block at our number fences: no effect runs, waiting promises reject, no fact is taken', async () => {
  const { journal, chain, events } = open()
  const seq = fact(journal, 'mine')
  journal.whenDurable(seq, () => events.push('effect'), undefined)
  const waiting = assert.rejects(journal.durable(seq), Fenced)
  await turns()
  chain.isHolding = false
  await chain.putIfAbsent(0, 1, [Buffer.alloc(96)])
  chain.waiting[0]!.answer('exists')
  await waiting
  await turns()
  assert.deepEqual(events, ['fenced'])
  assert.throws(() => fact(journal, 'more'), Fenced)
  await assert.rejects(journal.durable(seq), Fenced)
})

test('`exists` is success when the block is ours', async () => {
  const { journal, chain, events } = open()
  const seq = fact(journal, 'mine')
  journal.whenDurable(seq, () => events.push('effect'), undefined)
  await turns()
  chain.isHolding = false
  await chain.putIfAbsent(0, 1, [chain.waiting[0]!.parts])
  chain.waiting[0]!.answer('exists')
  await turns()
  assert.deepEqual(events, ['effect', 'settled'])
})

test('`unknown` is asked again with the same bytes, whatever comes meanwhile', async () => {
  const { journal, chain, events, pass } = open()
  const seq = fact(journal, 'mine')
  journal.whenDurable(seq, () => events.push('effect'), undefined)
  await turns()
  fact(journal, 'later')
  chain.waiting[0]!.answer('unknown')
  await turns()
  pass()
  await turns()
  chain.waiting[1]!.answer('unknown')
  await turns()
  pass()
  await turns()
  assert.deepEqual(
    chain.waiting.map(({ seq }) => seq),
    [1, 1, 1],
  )
  assert(chain.waiting.every(({ parts }) => parts.equals(chain.waiting[0]!.parts)))
  assert.deepEqual(events, [])
  chain.waiting[2]!.answer('ok')
  await turns()
  assert.deepEqual(events, ['effect', 'settled'])
})

test('a failed write is fatal, and nothing more leaves', async () => {
  const { journal, chain, events } = open()
  const seq = fact(journal, 'mine')
  journal.whenDurable(seq, () => events.push('effect'), undefined)
  const waiting = assert.rejects(journal.durable(seq), Fenced)
  await turns()
  chain.waiting[0]!.answer(new Error('medium failed'))
  await waiting
  await turns()
  assert.deepEqual(events, ['fatal medium failed'])
})

test('closing waits for what was taken', async () => {
  const { journal, chain, events } = open()
  journal.whenDurable(fact(journal, 'last'), () => events.push('effect'), undefined)
  const closed = journal.close().then(() => events.push('closed'))
  await turns()
  assert.deepEqual(events, [])
  chain.waiting[0]!.answer('ok')
  await closed
  assert.deepEqual(events, ['effect', 'settled', 'closed'])
})
