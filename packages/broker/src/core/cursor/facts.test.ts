import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { cursorFacts, factWriter, FactReader } from './facts.ts'

const seed = Number(process.env['SEED'] ?? 3)

/** What the writer makes of ranges behind one number. */
function written(head: number, floor: number, ranges: readonly (readonly [number, number])[]): Buffer {
  factWriter.begin()
  factWriter.number(head)
  factWriter.ranges(floor)
  for (const [first, last] of ranges) factWriter.range(first, last)
  return Buffer.from(factWriter.take())
}

function read(payload: Buffer, floor: number): [number, [number, number][]] {
  const reader = new FactReader()
  reader.begin(payload)
  const head = reader.number()
  const ranges: [number, number][] = []
  reader.ranges(floor)
  while (reader.next()) ranges.push([reader.first, reader.last])
  return [head, ranges]
}

test('facts have the bytes that are on disk since the first release with cursors', () => {
  assert.equal(written(5, 100, [[100, 100]]).toString('hex'), '0500')
  assert.equal(written(5, 100, [[101, 110]]).toString('hex'), '050308')
  assert.equal(
    written(300, 0, [
      [0, 1],
      [5, 5],
      [300, 301],
    ]).toString('hex'),
    'ac02010006cd0400',
  )
  assert.equal(written(2 ** 41 + 1, 0, [[2 ** 40, 2 ** 40]]).toString('hex'), '818080808040808080808040')
  assert.deepEqual(cursorFacts, {
    opened: 1,
    joined: 2,
    left: 3,
    acquired: 4,
    acked: 5,
    dropped: 6,
    returned: 7,
    extended: 8,
    moved: 9,
    restarted: 10,
    surfaced: 11,
  })
})

test(`ranges survive a round trip, and neighbours become one (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let trial = 0; trial < 2_000; trial++) {
    const floor = random.pick([0, 7, 2 ** 31 - 3, 2 ** 40, 2 ** 52])
    const gap = random.pick([3, 1000, 2 ** 33])
    const merged: [number, number][] = []
    const ranges: [number, number][] = []
    for (let at = floor + random.below(3), left = random.below(20); left > 0; left--) {
      const first = at + (random.chance(0.4) ? 0 : random.below(gap))
      const last = first + (random.chance(0.5) ? 0 : random.below(gap))
      ranges.push([first, last])
      const before = merged.at(-1)
      if (before && before[1] === first - 1) before[1] = last
      else merged.push([first, last])
      at = last + 1
    }
    const head = random.pick([0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1])
    assert.deepEqual(read(written(head, floor, ranges), floor), [head, merged])
  }
})

test('a fact that ends within a number is refused', () => {
  assert.throws(() => read(Buffer.from('0180', 'hex'), 0), /ends within a number/)
  assert.throws(() => read(Buffer.from('0103', 'hex'), 0), /ends within a number/)
})
