import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Rows } from './rows.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test(`rows behave like an array of pairs (SEED=${seed})`, () => {
  const random = new Random(seed)
  const rows = new Rows(2)
  let expected: [number, number][] = []
  let next = 0
  for (let step = 0; step < 5000; step++) {
    const kind = random.below(10)
    if (kind < 6) {
      const row = rows.add()
      assert.deepEqual([rows.get(row, 0), rows.get(row, 1)], [0, 0])
      rows.set(row, 0, (next += random.between(1, 3)))
      rows.set(row, 1, step)
      expected.push([next, step])
    } else if (kind < 8) {
      const count = random.below(Math.min(expected.length, 20) + 1)
      rows.dropFirst(count)
      expected = expected.slice(count)
    } else if (expected.length > 0) {
      const row = random.below(expected.length)
      const count = random.below(Math.min(expected.length - row, 5) + 1)
      rows.remove(row, count)
      expected.splice(row, count)
    }
    if (random.chance(0.01)) {
      rows.dropFirst(rows.count)
      expected = []
    }
    assert.equal(rows.count, expected.length)
    const value = random.below(next + 2)
    assert.equal(
      rows.lastAtMost(0, value),
      expected.findLastIndex(([first]) => first <= value),
    )
    const row = random.below(expected.length + 1)
    if (row < expected.length) assert.deepEqual([rows.get(row, 0), rows.get(row, 1)], expected[row])
  }
})
