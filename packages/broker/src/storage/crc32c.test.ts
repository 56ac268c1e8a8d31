import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { crc32c } from './crc32c.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test('crc32c gives the check value of the Castagnoli polynomial', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
})

test(`crc32c of a whole is that of its pieces, short or long, one after the other (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 300; round++) {
    const bytes = random.bytes(random.below(5000))
    const cuts = Array.from({ length: 4 }, () => random.below(bytes.length + 1)).sort((a, b) => a - b)
    let sum = 0
    let at = 0
    for (const cut of [...cuts, bytes.length]) {
      for (; at < cut; at = Math.min(cut, at + 90)) sum = crc32c(bytes, at, Math.min(cut, at + 90), sum)
    }
    assert.equal(sum, crc32c(bytes))
  }
})
