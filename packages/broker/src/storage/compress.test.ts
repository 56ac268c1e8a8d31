import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { compress } from './compress.ts'
import { decompress } from './compression.ts'
import { compressionNames } from './record-batch.ts'
import { snappyStreamHeader } from './snappy.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

/** Noise, runs and repetitions over short and long distances, around the sizes at which blocks end. */
function sample(random: Random): Buffer {
  const bytes = Buffer.alloc(random.pick([0, 1, 4, 12, 13, 100, 4096, 32_768, 65_535, 65_536, 65_537, 200_000]))
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(bytes.length - at, random.between(1, random.pick([8, 80, 3000])))
    const kind = random.below(3)
    if (kind === 0) random.bytes(length).copy(bytes, at)
    else if (kind === 1) bytes.fill(random.below(256), at, at + length)
    else bytes.copy(bytes, at, random.below(at + 1), Math.min(bytes.length, random.below(at + 1) + length))
    at += length
  }
  return bytes
}

for (const compression of compressionNames) {
  test(`what compress makes of bytes with ${compression}, decompress turns back (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 60; round++) {
      const bytes = sample(random)
      for (const like of [undefined, snappyStreamHeader]) {
        const packed = compress(compression, bytes, like)
        assert(packed.length <= bytes.length * 1.01 + 64, `${bytes.length} became ${packed.length}`)
        assert(decompress(compression, packed, bytes.length + 1).equals(bytes), `round ${round}`)
      }
    }
  })
}

test('what repeats becomes small', () => {
  const bytes = Buffer.from('{"name":"somebody","city":"somewhere"}\n'.repeat(1000))
  for (const compression of compressionNames.slice(1)) assert(compress(compression, bytes).length < bytes.length / 15)
})

test('snappy keeps the outer form of what it takes the place of', () => {
  const bytes = Buffer.from('dragoman '.repeat(10_000))
  assert(compress('snappy', bytes, snappyStreamHeader).subarray(0, 16).equals(snappyStreamHeader))
  assert(!compress('snappy', bytes, Buffer.from('other')).subarray(0, 8).equals(snappyStreamHeader.subarray(0, 8)))
})

test('an lz4 frame has the bytes of the specification', () => {
  // Magic, version 1 with independent blocks of at most 64 KiB, their checksum; one block stored as it is; the end mark.
  assert.equal(compress('lz4', Buffer.from('abc')).toString('hex'), '04224d186040820300008061626300000000')
})
