import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { PacketDecoder } from './framing.ts'
import { reasons } from './reasons.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

function cut(chunks: readonly Buffer[], frameBytesMax = 1_000_000): (string | number)[] {
  const decoder = new PacketDecoder({ frameBytesMax })
  const found: (string | number)[] = []
  for (const chunk of chunks) {
    decoder.push(chunk, ({ first, bytes, at, end, fault }) => {
      found.push(fault ?? `${first} ${bytes.toString('hex', at, end)}`)
    })
  }
  assert(decoder.pendingBytes >= 0)
  return found
}

test(`packets are the same however their bytes come (SEED=${seed})`, () => {
  const random = new Random(seed)
  const bodies = [0, 1, 127, 128, 300, 16_383, 16_384, 40_000].map(size => random.bytes(size))
  const bytes = Buffer.concat(
    bodies.flatMap((body, index) => {
      const size: number[] = []
      let left = body.length
      for (; left > 0x7f; left >>>= 7) size.push((left & 0x7f) | 0x80)
      return [Buffer.of(0x30 + index, ...size, left), body]
    }),
  )
  const expected = bodies.map((body, index) => `${0x30 + index} ${body.toString('hex')}`)
  assert.deepEqual(cut([bytes]), expected)
  assert.deepEqual(cut(Array.from(bytes, byte => Buffer.of(byte))), expected)
  for (let round = 0; round < 100; round++) {
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random.below(random.pick([3, 200, 30_000])))
      chunks.push(bytes.subarray(at, end))
      at = end
    }
    assert.deepEqual(cut(chunks), expected)
  }
})

test('a size that is no size, or too large, is the end', () => {
  const endless = Buffer.from('30ffffffff01c000', 'hex')
  assert.deepEqual(cut([endless]), [reasons.malformed])
  assert.deepEqual(cut(Array.from(endless, byte => Buffer.of(byte))), [reasons.malformed])
  const large = Buffer.from('c00030ffff03', 'hex')
  assert.deepEqual(cut([large], 1000), ['192 ', reasons.packetTooLarge])
})

test('what is only announced costs nothing', () => {
  const decoder = new PacketDecoder({ frameBytesMax: 2 ** 29 })
  const before = process.memoryUsage().arrayBuffers
  decoder.push(Buffer.from('30ffffff7f', 'hex'), () => assert.fail())
  decoder.push(Buffer.alloc(10), () => assert.fail())
  assert(process.memoryUsage().arrayBuffers - before < 1_000_000)
  assert.equal(decoder.pendingBytes, 15)
})
