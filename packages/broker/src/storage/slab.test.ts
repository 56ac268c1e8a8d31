import assert from 'node:assert/strict'
import test from 'node:test'
import { SlabPool } from './slab.ts'

test('a slab comes back only after its last holder has let go', () => {
  const pool = new SlabPool(1000, 2)
  const first = pool.take(10)
  first.hold()
  first.release()
  const second = pool.take(1000)
  assert.notEqual(second, first)
  first.release()
  assert.equal(pool.take(1), first)
})

test('a slab larger than usual is not kept, nor more spare ones than allowed', () => {
  const pool = new SlabPool(1000, 1)
  const large = pool.take(1001)
  assert.equal(large.bytes.length, 1001)
  const [a, b] = [pool.take(1), pool.take(1)]
  for (const slab of [large, a, b]) slab.release()
  assert.equal(pool.take(1), a)
  assert.notEqual(pool.take(1), b)
})

test('releasing more often than holding is a bug that shows', () => {
  const slab = new SlabPool(1000, 1).take(1)
  slab.release()
  assert.throws(() => slab.release(), /released more often/)
})
