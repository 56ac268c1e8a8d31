import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzBytes, ProtocolError, Random, Reader, Writer } from '@dragoman/wire'
import { CommandDecoder, type Packet } from './framing.ts'
import { explainBytes } from './explain.ts'
import { messages } from './messages.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16, jobBytesMax: 100 }

/** What is cut out of the bytes, as text. */
function cut(chunks: readonly Buffer[], decoder = new CommandDecoder(limits)): string[] {
  const found: string[] = []
  const tell = (packet: Packet): void => {
    if ('problem' in packet) found.push(packet.problem)
    else found.push([packet.name, ...packet.numbers, packet.tube, packet.body?.toString('latin1')].join(' ').trim())
  }
  for (const chunk of chunks) {
    // As a socket's: overwritten afterwards.
    const bytes = Buffer.from(chunk)
    decoder.push(bytes, tell)
    bytes.fill(0)
  }
  return found
}

const stream = Buffer.from(
  [
    'put 1 2 3 5\r\nhello\r\nput 0 0 0 0\r\n\r\nuse a-b\r\n',
    `${'x'.repeat(500)}\r\npeek 7\r\nput 1 2 3 101\r\n${'\r\n'.repeat(50)}y\r\n`,
    `put 1 2 3 101 z\r\n${'z'.repeat(101)}\r\nreserve-with-timeout 4 \r\nkick -1\r\nnonsense\r\nstats \r\n`,
    `put 1 0 1 3\r\nlonger\r\n${'y'.repeat(222)}\r\n${'y'.repeat(223)}\r\nquit now\r\n`,
  ].join(''),
)
const expected = [
  'put 1 2 3 5  hello',
  'put 0 0 0 0',
  'use a-b',
  'BAD_FORMAT',
  'peek 7',
  'JOB_TOO_BIG',
  'JOB_TOO_BIG',
  'reserve-with-timeout 4',
  'kick 4294967295',
  'UNKNOWN_COMMAND',
  'BAD_FORMAT',
  'EXPECTED_CRLF',
  'UNKNOWN_COMMAND',
  'UNKNOWN_COMMAND',
  'BAD_FORMAT',
  'quit',
]

test(`CommandDecoder cuts the same packets however the bytes arrive (SEED=${seed})`, () => {
  assert.deepEqual(cut([stream]), expected)
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const chunks: Buffer[] = []
    for (let at = 0; at < stream.length;) {
      const end = at + random.between(1, random.pick([1, 3, 400]))
      chunks.push(stream.subarray(at, end))
      at = end
    }
    assert.deepEqual(cut(chunks), expected)
  }
})

test('CommandDecoder keeps no more of a line than may be one, and of a body than has come', () => {
  const decoder = new CommandDecoder({ ...limits, jobBytesMax: 1_000_000 })
  const none = (): void => assert.fail('nothing is whole')
  for (let count = 0; count < 100; count++) {
    decoder.push(Buffer.alloc(1000, 'x'), none)
    assert(decoder.pendingBytes <= 224)
  }
  const other = new CommandDecoder({ ...limits, jobBytesMax: 1_000_000 })
  other.push(Buffer.from('put 0 0 0 900000\r\n123'), none)
  assert.equal(other.pendingBytes, 4)
})

for (const [name, codec] of Object.entries(messages)) {
  test(`${name} survives a round trip, and damaged bytes are told of (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const value = codec.sample(random)
      const out = new Writer()
      codec.write(out, value)
      const bytes = out.take()
      assert.deepEqual(codec.read(new Reader(bytes)), value)
      assert.match(explainBytes(bytes), /^[A-Za-z]/)
      cut([fuzzBytes(random, codec), Buffer.from('\r\n')])
      try {
        codec.read(new Reader(fuzzBytes(random, codec)))
      } catch (error) {
        assert(error instanceof ProtocolError)
      }
    }
  })
}

test('explainBytes names the parts of commands and answers', () => {
  assert.equal(
    explainBytes(Buffer.from('put 1 2 3 2\r\nhi\r\nINSERTED 9\r\npause-tube t 5\r\n')),
    'put\n  priority: 1\n  delay: 2\n  ttr: 3\n  bytes: 2\n  body: "hi"\nINSERTED\n  id: 9\npause-tube\n  tube: t\n  delay: 5',
  )
  assert.throws(() => explainBytes(Buffer.from('nothing known\r\n')), ProtocolError)
  assert.throws(() => explainBytes(Buffer.from('peek 1')), ProtocolError)
})
