import assert from 'node:assert/strict'
import test from 'node:test'
import { KeptTogether } from './kept-together.ts'

test('copies lie together, each as it was, in little more memory than they take', () => {
  const together = new KeptTogether()
  const sizes = Array.from({ length: 5000 }, (_, at) => (at * 7) % 60)
  const copies = sizes.map((size, at) => together.copy(Buffer.alloc(size, at)))
  for (const [at, size] of sizes.entries()) assert.deepEqual(copies[at], Buffer.alloc(size, at))
  const bytes = [...new Set(copies.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0)
  assert.ok(bytes < 1.2 * sizes.reduce((sum, size) => sum + size, 0) + 16 * 1024, `${bytes} bytes`)
})

test('a large copy has memory of its own', () => {
  const large = Buffer.alloc(3000, 'x')
  const copy = new KeptTogether().copy(large)
  assert.deepEqual(copy, large)
  assert.equal(copy.buffer.byteLength, large.length)
})
