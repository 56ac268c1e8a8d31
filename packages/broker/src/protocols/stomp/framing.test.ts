import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { FrameDecoder, headBytesMax, type Packet } from './framing.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

/** Frames as `head|body`, or what is wrong. */
function decode(chunks: readonly (string | Buffer)[], frameBytesMax = 1000): { found: string[]; pending: number } {
  const decoder = new FrameDecoder({ frameBytesMax })
  const found: string[] = []
  const take = (packet: Packet): void => {
    if (packet.kind === 'frame') found.push(`${packet.head.toString()}|${packet.body.toString('latin1')}`)
    if (packet.kind === 'fault') found.push(`fault: ${packet.problem}`)
  }
  for (const chunk of chunks) decoder.push(Buffer.from(chunk), take)
  return { found, pending: decoder.pendingBytes }
}

const stream =
  '\n\r\nSEND\na:1\n\nbody\0\n\n\nSEND\r\na:1\r\n\r\nbody\0\r\nSEND\ncontent-length:5\n\na\0b\0c\0BEGIN\ntransaction:1\n\n\0' +
  'DISCONNECT\n\n\0ACK\ncontent-length:0\r\n\r\n\0SEND\ncontent-length: 2\ncontent-length:9\n\nxy\0\n'

const frames = [
  'SEND\na:1|body',
  'SEND\r\na:1\r|body',
  'SEND\ncontent-length:5|a\0b\0c',
  'BEGIN\ntransaction:1|',
  'DISCONNECT|',
  'ACK\ncontent-length:0\r|',
  'SEND\ncontent-length: 2\ncontent-length:9|xy',
]

test('frames are cut out of a stream, byte by byte, at once, and in pieces', () => {
  assert.deepEqual(decode([stream]), { found: frames, pending: 0 })
  assert.deepEqual(decode(Array.from(stream)), { found: frames, pending: 0 })
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const chunks: string[] = []
    for (let at = 0; at < stream.length;) {
      const end = at + random.between(1, 30)
      chunks.push(stream.slice(at, end))
      at = end
    }
    assert.deepEqual(decode(chunks).found, frames, `SEED=${seed}`)
  }
})

test('a large body comes whole, with its length and without', () => {
  const body = 'x'.repeat(1_000_000)
  const pieces = (text: string): string[] => text.match(/[^]{1,50000}/g) ?? []
  for (const head of ['SEND\na:b', `SEND\ncontent-length:${body.length}`]) {
    const { found } = decode(pieces(`${head}\n\n${body}\0`), 1_000_000)
    assert.equal(found.length, 1)
    assert.equal(found[0], `${head}|${body}`)
  }
})

test('what cannot become a frame is told once, and nothing behind it is looked at', () => {
  const wrong: [string, RegExp][] = [
    ['SEND\ncontent-length:x\n\n\0SEND\n\n\0', /content-length of the frame is no number/],
    ['SEND\ncontent-length:-1\n\n\0', /content-length of the frame is no number/],
    ['SEND\ncontent-length:\n\n\0', /content-length of the frame is no number/],
    ['SEND\ncontent-length:3\n\nabcd\0SEND\n\n\0', /does not end with NUL/],
    ['SEND\ncontent-length:1001\n\n', /A body has at most 1000 bytes/],
    [`SEND\n\n${'x'.repeat(1002)}`, /A body has at most 1000 bytes/],
    [`SEND\na:${'x'.repeat(headBytesMax)}`, /at most 65536 bytes together/],
    [`${'a'.repeat(headBytesMax + 1)}`, /at most 65536 bytes together/],
  ]
  for (const [text, expected] of wrong) {
    for (const chunks of [[text], text.match(/[^]{1,7}/g) ?? []]) {
      const { found } = decode(chunks)
      assert.equal(found.length, 1, text.slice(0, 40))
      assert.match(found[0] ?? '', expected)
    }
  }
})

test('ends of lines between frames, and parts of a frame, are signs of life', () => {
  const decoder = new FrameDecoder({ frameBytesMax: 1000 })
  const kinds: string[] = []
  for (const chunk of ['\n', 'SEND\n', 'a:b\n\n', 'body', '\0', '\r\n']) {
    decoder.push(Buffer.from(chunk), ({ kind }) => kinds.push(kind))
  }
  assert.deepEqual(kinds, ['beat', 'beat', 'beat', 'beat', 'frame', 'beat'])
})
