import assert from 'node:assert/strict'
import test from 'node:test'
import { BlockIndex } from './block-index.ts'
import { KeptBlocks } from './kept-blocks.ts'
import { SlabPool } from './slab.ts'

test('a block index finds blocks without a gap, and forgets those that are dropped or cut', () => {
  const index = new BlockIndex()
  assert.deepEqual([index.size, index.firstSeq, index.lastSeq, index.live()], [0, -1, -1, []])
  for (let seq = 7; seq < 307; seq++) index.add(seq, { at: (seq - 7) * 8192, bytes: seq }, seq !== 9)
  assert.throws(() => index.add(308, { at: 0, bytes: 1 }))
  assert.deepEqual([index.size, index.firstSeq, index.lastSeq], [300, 7, 306])
  assert.deepEqual(index.place(306), { at: 299 * 8192, bytes: 306 })
  assert.deepEqual([index.place(6), index.place(307)], [undefined, undefined])
  assert.deepEqual([index.drop(7), index.drop(7), index.drop(9), index.drop(400)], [true, false, false, false])
  assert.deepEqual(index.live(303), [303, 304, 305, 306])
  assert.equal(index.live().length, 298)
  // Dropped or not, it is where it was.
  assert.deepEqual(index.place(7), { at: 0, bytes: 7 })
  index.removeLast()
  assert.deepEqual([index.lastSeq, index.place(306), index.isLive(306)], [305, undefined, false])
  index.add(306, { at: 4096, bytes: 1 })
  assert.equal(index.isLive(306), true)
})

test('kept blocks hold each slab until the last block in it is released', () => {
  const pool = new SlabPool(1024, 4)
  const [a, b] = [pool.take(10), pool.take(10)]
  const released: string[] = []
  const watch = (slab: typeof a, name: string): void => {
    const { release } = slab
    slab.release = () => {
      released.push(name)
      release.call(slab)
    }
  }
  watch(a, 'a')
  watch(b, 'b')
  const kept = new KeptBlocks()
  const add = (seq: number, ...slabs: (typeof a)[]): void => {
    for (const slab of slabs) slab.hold()
    kept.add(seq, 5000, slabs)
  }
  // More than the ring has room for at first.
  for (let seq = 1; seq <= 300; seq++) add(seq, a)
  add(301, a, b)
  add(302, b)
  // All holds but one were given back.
  assert.deepEqual([released.length, released.includes('b')], [301, true])
  released.length = 0
  assert.deepEqual([kept.bytes, kept.pageBytes], [302 * 5000, 302 * 8192])
  kept.release(300)
  assert.deepEqual([kept.bytes, released], [10_000, []])
  kept.release(301)
  assert.deepEqual([kept.bytes, released], [5000, ['a']])
  for (let seq = 303; seq < 900; seq++) add(seq, b)
  released.length = 0
  kept.release(1000)
  assert.deepEqual([kept.bytes, kept.pageBytes, released], [0, 0, ['b']])
})
