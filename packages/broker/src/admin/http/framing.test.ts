import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { explainBytes } from './explain.ts'
import { RequestDecoder, type Packet } from './framing.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** What packets say, in short. */
function show(packet: Packet): string {
  if (packet.kind === 'broken') return `broken ${packet.status}`
  if (packet.kind === 'body') return `body ${packet.body.toString()}`
  const { method, target, keepsAlive, bodyBytes } = packet.request
  return `${method} ${target} ${bodyBytes ?? 'chunked'}${keepsAlive ? '' : ' close'}`
}

function decode(bytes: Buffer, sizes: () => number = () => bytes.length, frameBytesMax = 1000): string[] {
  const decoder = new RequestDecoder({ frameBytesMax })
  const found: string[] = []
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + Math.max(1, sizes()))
    // The chunk is only lent.
    const chunk = Buffer.from(bytes.subarray(at, end))
    decoder.push(chunk, packet => found.push(show(packet)))
    chunk.fill(0)
    at = end
  }
  return found
}

const lines = (...all: string[]): Buffer => Buffer.from(all.join('\r\n'))

const stream = lines(
  'GET /a?b=c HTTP/1.1',
  'Host: x',
  '',
  'POST /b HTTP/1.1',
  'host: x',
  'Content-Length: 5',
  '',
  'helloPUT /c HTTP/1.1',
  'Host:x',
  'Transfer-Encoding: chunked',
  '',
  '3;note=1',
  'abc',
  'A',
  '0123456789',
  '0',
  'Trailer: t',
  '',
  '',
  'HEAD /d HTTP/1.0',
  'Connection: keep-alive',
  '',
  'DELETE /e HTTP/1.0',
  '',
  '',
)

const expected = [
  ...['GET /a?b=c 0', 'body ', 'POST /b 5', 'body hello', 'PUT /c chunked', 'body abc0123456789'],
  ...['HEAD /d 0', 'body ', 'DELETE /e 0 close', 'body '],
]

test(`requests are cut the same wherever the stream is cut (SEED=${seed})`, () => {
  const random = new Random(seed)
  assert.deepEqual(decode(stream), expected)
  assert.deepEqual(
    decode(stream, () => 1),
    expected,
  )
  for (let round = 0; round < 200; round++) {
    const sizes = (): number => random.between(1, 40)
    assert.deepEqual(decode(stream, sizes), expected)
  }
})

const broken: [status: number, ...request: string[]][] = [
  [400, 'GET / HTTP/1.1', '', ''],
  [400, 'GET /', '', ''],
  [400, 'G(T / HTTP/1.1', 'Host: x', '', ''],
  [400, 'GET / more HTTP/1.1', 'Host: x', '', ''],
  [400, '\u0016\u0003\u0001', '', ''],
  [505, 'PRI * HTTP/2.0', '', 'SM', '', ''],
  [400, 'GET / HTTP/1.1', 'Host: x', 'no colon', '', ''],
  [400, 'GET / HTTP/1.1', 'Host: x', 'bad name: 1', '', ''],
  [400, 'GET / HTTP/1.1', 'Host: x', 'a: b\u0000c', '', ''],
  [400, 'GET / HTTP/1.1', 'Host: x', ' folded', '', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Content-Length: x', '', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Content-Length: 1', 'Content-Length: 2', '', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Content-Length: -1', '', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Content-Length: 1', 'Transfer-Encoding: chunked', '', ''],
  [501, 'POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: gzip', '', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', '', 'xyz', ''],
  [400, 'POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', '', '2', 'abc', ''],
  [413, 'POST / HTTP/1.1', 'Host: x', 'Content-Length: 2000', '', 'x'.repeat(2000)],
  [417, 'POST / HTTP/1.1', 'Host: x', 'Expect: more', '', ''],
  [414, `GET /${'x'.repeat(9000)} HTTP/1.1`, 'Host: x', '', ''],
  [431, 'GET / HTTP/1.1', `a: ${'x'.repeat(9000)}`, '', ''],
  [431, 'GET / HTTP/1.1', ...Array.from({ length: 101 }, (_, index) => `h${index}: x`), '', ''],
  [431, 'GET / HTTP/1.1', ...Array.from({ length: 8 }, (_, index) => `h${index}: ${'x'.repeat(8000)}`), '', ''],
]

for (const [status, ...request] of broken) {
  test(`${JSON.stringify(request.join(' | ').slice(0, 60))} is answered with ${status}`, () => {
    const bytes = lines(...request, 'GET /after HTTP/1.1', 'Host: x', '', '')
    for (const size of [bytes.length, 1, 7]) {
      // Nothing behind it is taken for a request.
      assert.equal(decode(bytes, () => size).at(-1), `broken ${status}`)
    }
  })
}

test(`any bytes are requests or broken, and nothing is thrown (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(stream)
    for (let left = random.between(1, 5); left > 0; left--) {
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    }
    decode(bytes, () => random.between(1, 300))
  }
})

test('a request is explained line by line', () => {
  const text = explainBytes(lines('POST /b HTTP/1.1', 'Host: x', 'Content-Length: 2', '', 'ab'))
  assert.equal(text, 'POST /b\n  host: x\n  content-length: 2\n  body: "ab"')
  assert.throws(() => explainBytes(lines('POST /b HTTP/1.1', 'Host: x')))
})
