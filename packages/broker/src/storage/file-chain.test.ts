import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import test from 'node:test'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import { blockHeaderBytes, noLink, sealBlock, writeBlockHeader } from './block.ts'
import { Corrupt } from './errors.ts'
import { FileChain } from './file-chain.ts'
import { ChainWriters, scanChainFile } from './scan.ts'
import { FaultyDisk } from './testing/faulty-disk.ts'

const { disk, clock } = realRuntime()
const options = { disk, clock, fileBytes: 32 * 1024, dsync: true, reserveBytes: 0 }

function temporary(t: { after(run: () => void): void }): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-chain-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

function block(seq: number, bytes = 5000, kind: 'data' | 'fence' = 'data', writer = 1n, isLazy = false): Buffer {
  const whole = Buffer.alloc(bytes, seq)
  return sealed(whole, seq, kind, writer, isLazy)
}

/** What is in `whole` behind the place of the header becomes the body. */
function sealed(whole: Buffer, seq: number, kind: 'data' | 'fence', writer: bigint, isLazy = false): Buffer {
  const bytes = whole.length
  const bodyBytes = bytes - blockHeaderBytes
  const header = {
    kind,
    cell: 0,
    epoch: 1,
    seq,
    writer,
    isLazy,
    previous: noLink,
    timeMs: 0,
    bodyBytes,
    factCount: 0,
    floorHint: -1,
  }
  writeBlockHeader(whole, 0, header)
  sealBlock(whole, 0, [whole.subarray(blockHeaderBytes)])
  return whole
}

async function filled(directory: string, count: number): Promise<void> {
  const chain = await FileChain.open(directory, options)
  for (let seq = 0; seq < count; seq++) assert.equal(await chain.put(seq, [block(seq)]), 'ok')
  await chain.close()
}

test('blocks are there again after opening the directory again', async t => {
  const directory = temporary(t)
  await filled(directory, 20)
  const chain = await FileChain.open(directory, options)
  assert.deepEqual(
    chain.list(5),
    Array.from({ length: 15 }, (_, index) => index + 5),
  )
  for (let seq = 0; seq < 20; seq++) assert.deepEqual(await chain.get(seq), block(seq))
  assert.equal(await chain.put(7, [block(7)]), 'exists')
  await chain.close()
})

test('a torn last block is cut, and its place is written again', async t => {
  const directory = temporary(t)
  await filled(directory, 3)
  const file = path.join(directory, fs.readdirSync(directory)[0]!)
  const bytes = fs.readFileSync(file)
  bytes.fill(0, 2 * 8192 + 4096, 3 * 8192) // The second page of block 2 never reached the disk.
  fs.writeFileSync(file, bytes)
  const told: string[] = []
  const chain = await FileChain.open(directory, { ...options, warn: message => void told.push(message) })
  assert.match(told.join(), /ends in a block that is not whole, 2 at byte 16384, and is cut off/)
  assert.deepEqual(chain.list(0), [0, 1])
  assert.equal(await chain.put(2, [block(2)]), 'ok')
  assert.deepEqual(await chain.get(2), block(2))
  await chain.close()
})

test('damage before a later block refuses to open and says where', async t => {
  const directory = temporary(t)
  await filled(directory, 4)
  const file = path.join(directory, fs.readdirSync(directory)[0]!)
  const bytes = fs.readFileSync(file)
  bytes[8192 + 200]! ^= 1
  fs.writeFileSync(file, bytes)
  await assert.rejects(FileChain.open(directory, options), (error: Error) => {
    assert(error instanceof Corrupt)
    assert.match(error.message, /000000000001\.blocks is damaged from byte 8192 on: .*block 0 .*block 2 at byte 16384/)
    return true
  })
})

test('files whose blocks are dropped are reused, and a fence in them survives', async t => {
  const directory = temporary(t)
  let chain = await FileChain.open(directory, options)
  for (let seq = 0; seq < 100; seq++) {
    await chain.put(seq, [seq === 1 ? block(1, 100, 'fence') : block(seq)])
    if (seq % 10 === 9) await chain.drop(Array.from({ length: seq - 1 }, (_, index) => index).filter(old => old !== 1))
  }
  assert(fs.readdirSync(directory).length <= 8, fs.readdirSync(directory).join())
  assert.deepEqual(chain.list(0).slice(0, 2), [1, 98])
  await chain.close()
  chain = await FileChain.open(directory, options)
  assert.deepEqual(await chain.get(1), block(1, 100, 'fence'))
  assert.equal(chain.lastSeq, 99)
  assert.equal(await chain.put(100, [block(100)]), 'ok')
  await chain.close()
})

test('a file that was prepared for reuse and not begun is no damage', async t => {
  const directory = temporary(t)
  await filled(directory, 10)
  const names = fs
    .readdirSync(directory)
    .filter(name => name.endsWith('.blocks'))
    .sort()
  fs.copyFileSync(path.join(directory, names[0]!), path.join(directory, '000000000099.blocks'))
  const chain = await FileChain.open(directory, options)
  assert.equal(chain.lastSeq, 9)
  assert.equal(await chain.put(10, [block(10)]), 'ok')
  await chain.close()
  const again = await FileChain.open(directory, options)
  assert.equal(again.lastSeq, 10)
  await again.close()
})

test('a block larger than a journal file gets a file of its own size', async t => {
  const directory = temporary(t)
  const chain = await FileChain.open(directory, options)
  const large = block(0, 100_000)
  await chain.put(0, [large.subarray(0, 1000), large.subarray(1000)])
  assert.deepEqual(await chain.get(0), large)
  await chain.close()
})

test('numbers may go on behind a gap, as after the loss of blocks that a checkpoint holds', async t => {
  const directory = temporary(t)
  await filled(directory, 3)
  const chain = await FileChain.open(directory, options)
  for (const seq of [7, 8]) assert.equal(await chain.put(seq, [block(seq)]), 'ok')
  await chain.close()
  const again = await FileChain.open(directory, options)
  assert.deepEqual(again.list(0), [0, 1, 2, 7, 8])
  assert.deepEqual(await again.get(8), block(8))
  assert.equal(await again.put(9, [block(9)]), 'ok')
  await again.close()
})

test('fences are kept once, though there was no room for some of them at first', async t => {
  const directory = temporary(t)
  const faulty = new FaultyDisk(disk)
  const chain = await FileChain.open(directory, { ...options, disk: faulty })
  let writes = 0
  // None of the three when they are written, and then not the second.
  faulty.fault = (operation, path) =>
    operation === 'write' && path.endsWith('/kept') && [1, 2, 3, 5].includes(++writes) ? 'full' : undefined
  for (let seq = 0; seq < 20; seq++) {
    await chain.put(seq, [seq < 3 ? block(seq, 100, 'fence') : block(seq)])
  }
  const old = Array.from({ length: 15 }, (_, index) => index + 3)
  await assert.rejects(chain.drop(old), /the test wants it/)
  await chain.drop(old)
  await chain.close()
  const kept = await disk.open(path.join(directory, 'kept'), 'read')
  const seqs: number[] = []
  const visit = ({ seq }: { seq: number }): void => void seqs.push(seq)
  const { damage } = await scanChainFile(kept, {
    path: 'kept',
    writers: new ChainWriters(),
    afterSeq: -1,
    dense: false,
    visit,
  })
  await kept.close()
  assert.equal(damage, undefined)
  assert.deepEqual(seqs, [0, 1, 2])
})

for (const [what, seq] of [
  ['far ahead', 1e9],
  ['next', 11],
] as const) {
  test(`bytes of a peer that look like a block, ${what}, are none in what is left of an older one`, async t => {
    const directory = temporary(t)
    const large = Buffer.alloc(24 * 1024)
    for (let at = 4096; at < large.length; at += 4096) block(seq, 100, 'data', 666n).copy(large, at)
    let chain = await FileChain.open(directory, options)
    await chain.put(0, [block(0, 100, 'fence')])
    await chain.put(1, [sealed(large, 1, 'data', 1n)])
    for (let next = 2; next < 10; next++) await chain.put(next, [block(next)])
    await chain.drop([1, 2, 3, 4, 5, 6, 7, 8])
    // The first file is taken again: this covers the beginning of the large block.
    for (let next = 10; next < 24; next++) {
      await chain.put(next, [block(next, 6000)])
      await chain.close()
      chain = await FileChain.open(directory, options)
      assert.equal(chain.lastSeq, next)
      if (next % 8 === 0) await chain.drop(Array.from({ length: next - 1 }, (_, index) => index + 1))
    }
    await chain.close()
  })
}

for (const [what, damaged] of [
  ['a fence', [3]],
  ['a fence and the block after it', [3, 4]],
  ['the last block of one owner', [2]],
  ['what is around a fence', [2, 3, 4]],
] as const) {
  test(`damage to ${what} does not make what follows look foreign`, async t => {
    const directory = temporary(t)
    const chain = await FileChain.open(directory, options)
    for (let seq = 0; seq < 7; seq++) {
      await chain.put(seq, [block(seq, 4096, seq === 0 || seq === 3 ? 'fence' : 'data', seq < 3 ? 1n : 2n)])
    }
    await chain.close()
    const file = path.join(
      directory,
      fs.readdirSync(directory).find(name => name.endsWith('.blocks'))!,
    )
    const bytes = fs.readFileSync(file)
    for (const page of damaged) bytes[page * 4096 + 200]! ^= 1
    fs.writeFileSync(file, bytes)
    await assert.rejects(FileChain.open(directory, options), Corrupt)
  })
}

test('what follows a gap may be cut with the fences that are kept', async t => {
  const directory = temporary(t)
  let chain = await FileChain.open(directory, options)
  for (let seq = 0; seq < 12; seq++) {
    await chain.put(seq, [seq % 3 === 0 ? block(seq, 100, 'fence') : block(seq)])
  }
  await chain.cut(5)
  assert.deepEqual(chain.list(0), [0, 1, 2, 3, 4])
  assert.equal(await chain.put(5, [block(5, 100, 'fence', 2n)]), 'ok')
  await chain.close()
  chain = await FileChain.open(directory, options)
  assert.deepEqual(chain.list(0), [0, 1, 2, 3, 4, 5])
  assert.deepEqual(await chain.get(5), block(5, 100, 'fence', 2n))
  await chain.close()
})

for (const [seq, isExplained] of [
  [1, false],
  [4, true],
] as const) {
  test(`without syncs, a power cut ${isExplained ? 'explains a hole behind the last fence' : 'does not explain a hole before a fence'}`, async t => {
    const directory = temporary(t)
    const warned: string[] = []
    const lazy = { ...options, dsync: false, warn: (text: string) => void warned.push(text) }
    const chain = await FileChain.open(directory, lazy)
    for (let next = 0; next < 7; next++) {
      await chain.put(next, [block(next, 4096, next % 3 === 0 && next < 6 ? 'fence' : 'data', 1n, true)])
    }
    await chain.close()
    const file = path.join(
      directory,
      fs.readdirSync(directory).find(name => name.endsWith('.blocks'))!,
    )
    const bytes = fs.readFileSync(file)
    bytes[seq * 4096 + 200]! ^= 1
    fs.writeFileSync(file, bytes)
    const opening = FileChain.open(directory, lazy)
    if (!isExplained) return assert.rejects(opening, Corrupt)
    await (await opening).close()
    assert.match(warned.join(), /a power cut took what was not synced/)
  })
}
