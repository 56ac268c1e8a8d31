import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { ByOffset } from './by-offset.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test(`ByOffset holds what a map would, wherever the offsets are (SEED=${seed})`, () => {
  const random = new Random(seed)
  const values = new ByOffset<number>()
  const model = new Map<number, number>()
  for (let step = 0; step < 20_000; step++) {
    const offset = random.pick([0, 250, 2 ** 40, 2 ** 53 - 700]) + random.below(600)
    if (random.chance(0.5)) {
      values.set(offset, step)
      model.set(offset, step)
    } else {
      assert.equal(values.delete(offset), model.delete(offset))
    }
    assert.equal(values.get(offset), model.get(offset))
    const other = random.pick([offset + 32, offset - 1, offset + 1])
    assert.equal(values.get(other), model.get(other))
  }
  const byOffset = (all: Iterable<[number, number]>): [number, number][] => [...all].sort(([a], [b]) => a - b)
  assert.deepEqual(byOffset(values), byOffset(model))
  for (const [offset] of values) values.delete(offset)
  assert.deepEqual([...values], [])
  values.set(7, 1)
  values.clear()
  assert.equal(values.get(7), undefined)
})
