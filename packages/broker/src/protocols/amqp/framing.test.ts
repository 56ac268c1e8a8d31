import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { FrameDecoder, frameTypes, protocolHeader, type Frame } from './framing.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

function frame(type: number, channel: number, payload: Buffer, end = 0xce): Buffer {
  const head = Buffer.alloc(7)
  head[0] = type
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.of(end)])
}

/** All that comes out when the bytes come in pieces of these sizes. */
function cut(chunks: readonly Buffer[], frameBytesMax = 4096): string[] {
  const decoder = new FrameDecoder({ frameBytesMax })
  const seen: string[] = []
  const take = ({ type, channel, payload, problem }: Frame): void => {
    seen.push(type === frameTypes.fault ? `fault ${problem}` : `${type} ${channel} ${payload.toString('hex')}`)
  }
  for (const chunk of chunks) decoder.push(Buffer.from(chunk), take)
  return seen
}

const stream = Buffer.concat([
  protocolHeader,
  frame(1, 0, Buffer.from('0102', 'hex')),
  frame(8, 0, Buffer.alloc(0)),
  frame(3, 65_535, Buffer.alloc(3000, 7)),
  frame(2, 1, Buffer.from('aa', 'hex')),
])
const expected = ['0 0 414d515000000901', '1 0 0102', '8 0 ', `3 65535 ${'07'.repeat(3000)}`, '2 1 aa']

test('frames come out whole, in whatever pieces they come in', () => {
  assert.deepEqual(cut([stream]), expected)
  assert.deepEqual(cut(Array.from(stream, byte => Buffer.of(byte))), expected)
  for (let at = 1; at < stream.length; at++) {
    assert.deepEqual(cut([stream.subarray(0, at), stream.subarray(at)]), expected)
  }
})

test(`pieces of any size give the same (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const chunks: Buffer[] = []
    for (let at = 0; at < stream.length;) {
      const size = 1 + random.below(random.pick([3, 20, 2000]))
      chunks.push(stream.subarray(at, at + size))
      at += size
    }
    assert.deepEqual(cut(chunks), expected)
  }
})

test('a frame that ends with another byte is a fault, and nothing comes after it', () => {
  const [first, second = ''] = cut([protocolHeader, frame(1, 3, Buffer.of(1), 0xcd), stream]).slice(1)
  assert.match(first ?? '', /^fault frame of type 1 on channel 3: it ends with the byte 205, not 206$/)
  assert.equal(second, '')
})

test('a frame that is too large is a fault as soon as its head is there, whole or in pieces', () => {
  const large = frame(3, 1, Buffer.alloc(5000)).subarray(0, 7)
  for (const chunks of [
    [protocolHeader, large],
    [protocolHeader, large.subarray(0, 4), large.subarray(4)],
  ]) {
    assert.match(cut(chunks)[1] ?? '', /fault .* at most 4088 bytes here, not 5000/)
  }
  // Some clients count the head and the end of a frame wrongly.
  assert.equal(cut([protocolHeader, frame(3, 1, Buffer.alloc(4096))]).length, 2)
})

test('what is held of a frame is told, and a large one that is announced takes no memory', () => {
  const decoder = new FrameDecoder({ frameBytesMax: 100_000_000 })
  decoder.push(Buffer.concat([protocolHeader, frame(3, 1, Buffer.alloc(90)).subarray(0, 50)]), () => {})
  assert.equal(decoder.pendingBytes, 50)
  const before = process.memoryUsage().arrayBuffers
  const decoders = Array.from({ length: 20 }, () => {
    const each = new FrameDecoder({ frameBytesMax: 100_000_000 })
    const head = frame(3, 1, Buffer.alloc(0)).subarray(0, 7)
    head.writeUInt32BE(50_000_000, 3)
    each.push(Buffer.concat([protocolHeader, head, Buffer.of(1)]), ({ type }) => assert.equal(type, 0))
    return each
  })
  assert(process.memoryUsage().arrayBuffers - before < 10_000_000)
  assert.equal(decoders.length, 20)
})
