import assert from 'node:assert/strict'
import test from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { ProtocolError, Random } from '@dragoman/wire'
import { decompress } from './compression.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const text = `${'a'.repeat(72)} dragoman dragoman dragoman`

/** What the reference tools make of `text`: `lz4 --content-size -BX` 1.9.4 and `zstd` 1.5. */
const known = {
  lz4: '04224d187c406300000000000000d6170000001f610100349920647261676f6d616e090050676f6d616edbbe83c7000000006b5a7a66',
  zstd: '28b52ffd2463a5000058616120647261676f6d616e02002cde19146001792ad134',
}

for (const [compression, hex] of Object.entries(known) as ['lz4' | 'zstd', string][]) {
  test(`decompress reads what ${compression}'s own tool writes`, () => {
    assert.equal(decompress(compression, Buffer.from(hex, 'hex'), 1000).toString(), text)
    assert.throws(() => decompress(compression, Buffer.from(hex, 'hex'), text.length - 1), ProtocolError)
  })
}

test('decompress reads bare and framed snappy', () => {
  // 'dragoman ', then twice as far back as it is long, 15 more bytes.
  const block = Buffer.concat([Buffer.from([24, 8 << 2]), Buffer.from('dragoman '), Buffer.from([(14 << 2) | 2, 9, 0])])
  assert.equal(decompress('snappy', block, 24).toString(), 'dragoman dragoman dragom')
  assert.throws(() => decompress('snappy', block, 23), ProtocolError)
  const framed = Buffer.concat([
    Buffer.from('82534e41505059000000000100000001', 'hex'),
    ...[block, block].flatMap(part => [Buffer.from([0, 0, 0, part.length]), part]),
  ])
  assert.equal(decompress('snappy', framed, 48).toString(), 'dragoman dragoman dragom'.repeat(2))
  assert.throws(() => decompress('snappy', framed, 47), ProtocolError)
})

test('decompress gives no more than it is allowed, whatever the bytes claim', () => {
  const zeros = Buffer.alloc(1_000_000)
  for (const [compression, bytes] of [
    ['gzip', gzipSync(zeros)],
    ['zstd', zstdCompressSync(zeros)],
    ['snappy', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0])],
  ] as const) {
    assert.throws(() => decompress(compression, bytes, 999_999), ProtocolError, compression)
  }
  assert.equal(decompress('gzip', gzipSync(zeros), 1_000_000).length, 1_000_000)
  assert.equal(decompress('none', zeros, 1), zeros)
})

/** Literals and copies at random, as lengths and distances that a format can express. */
function randomSteps(random: Random, longest: number): { steps: Step[]; expected: Buffer } {
  const out: number[] = []
  const steps: Step[] = []
  for (let left = random.between(1, 30); left > 0; left--) {
    const literal = random.bytes(random.chance(0.1) ? random.between(1, 400) : random.between(1, 20))
    out.push(...literal)
    const distance = random.between(1, Math.min(out.length, 60_000))
    const length = random.between(4, random.chance(0.1) ? longest : 12)
    for (let index = 0; index < length; index++) out.push(out.at(-distance)!)
    steps.push({ literal, distance, length })
  }
  return { steps, expected: Buffer.from(out) }
}

interface Step {
  literal: Buffer
  distance: number
  length: number
}

function snappyOf(steps: Step[], size: number): Buffer {
  const out: number[] = []
  for (let rest = size; ; rest >>>= 7) {
    out.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  for (const { literal, distance, length } of steps) {
    const short = literal.length - 1
    if (short < 60) out.push(short << 2)
    else out.push(61 << 2, short & 255, short >>> 8)
    out.push(...literal)
    if (length <= 11 && distance < 2048) out.push(((distance >>> 8) << 5) | ((length - 4) << 2) | 1, distance & 255)
    else if (length % 2 === 0) out.push(((length - 1) << 2) | 2, distance & 255, distance >>> 8)
    else out.push(((length - 1) << 2) | 3, distance & 255, distance >>> 8, 0, 0)
  }
  return Buffer.from(out)
}

function lz4Of(steps: Step[]): Buffer {
  const block: number[] = []
  const longLength = (length: number): void => {
    if (length < 15) return
    for (length -= 15; length >= 255; length -= 255) block.push(255)
    block.push(length)
  }
  for (const { literal, distance, length } of steps) {
    block.push((Math.min(15, literal.length) << 4) | Math.min(15, length - 4))
    longLength(literal.length)
    block.push(...literal, distance & 255, distance >>> 8)
    longLength(length - 4)
  }
  block.push(0)
  const frame = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0, 0, 0, 0, 0, ...block, 0, 0, 0, 0])
  frame.writeUInt32LE(block.length, 7)
  return frame
}

test(`decompress follows snappy's and lz4's elements (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 300; round++) {
    const snappy = randomSteps(random, 64)
    const size = snappy.expected.length
    assert.deepEqual(decompress('snappy', snappyOf(snappy.steps, size), size), snappy.expected)
    const lz4 = randomSteps(random, 2000)
    const frame = lz4Of(lz4.steps)
    assert.deepEqual(decompress('lz4', frame, lz4.expected.length), lz4.expected)
    const twice = Buffer.concat([frame, Buffer.from('502a4d1803000000ffffff', 'hex'), frame])
    assert.deepEqual(decompress('lz4', twice, 1e6), Buffer.concat([lz4.expected, lz4.expected]))
    assert.throws(() => decompress('lz4', frame, lz4.expected.length - 1), ProtocolError)
  }
})

test(`decompress of damaged bytes throws only ProtocolError and stays in its bounds (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 2000; round++) {
    const { steps, expected } = randomSteps(random, 64)
    const plain = expected.subarray(0, 200)
    const all = {
      snappy: snappyOf(steps, expected.length),
      lz4: lz4Of(steps),
      gzip: gzipSync(plain),
      zstd: zstdCompressSync(plain),
    }
    const compression = random.pick(['snappy', 'lz4', 'gzip', 'zstd'] as const)
    let bytes: Buffer = Buffer.from(all[compression])
    for (let flips = random.between(1, 4); flips > 0; flips--) bytes[random.below(bytes.length)] = random.below(256)
    if (random.chance(0.3)) bytes = bytes.subarray(0, random.below(bytes.length))
    try {
      assert(decompress(compression, bytes, 100_000).length <= 100_000)
    } catch (error) {
      assert(error instanceof ProtocolError, String(error))
    }
  }
})
