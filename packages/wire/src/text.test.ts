import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from './protocol-error.ts'
import { Random } from './random.ts'
import { ByteQueue, HeaderBlock, LineSplitter, parseInteger, splitWords } from './text.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Pushes `bytes` in random pieces through one chunk buffer that is overwritten each time, as a socket's may be. */
function inPieces(random: Random, bytes: Buffer, push: (chunk: Buffer) => void): void {
  const chunk = Buffer.alloc(bytes.length + 1)
  for (let at = 0; at < bytes.length;) {
    const length = random.between(1, random.chance(0.5) ? 3 : bytes.length - at)
    const piece = bytes.subarray(at, at + length)
    piece.copy(chunk)
    push(chunk.subarray(0, piece.length))
    chunk.fill(0xee)
    at += piece.length
  }
}

test(`LineSplitter cuts the same lines however the bytes arrive (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const lines = Array.from({ length: random.below(20) }, () => 'x'.repeat(random.below(random.pick([3, 60]))))
    const bytes = Buffer.from(lines.map(line => line + random.pick(['\n', '\r\n'])).join(''))
    const got: string[] = []
    const splitter = new LineSplitter(60)
    inPieces(random, bytes, chunk => splitter.push(chunk, line => got.push(line.toString())))
    assert.deepEqual(got, lines)
  }
})

test('LineSplitter takes a line of exactly the limit and refuses one byte more before its end has come', () => {
  const lines: string[] = []
  const take = (line: Buffer): void => void lines.push(line.toString())
  const splitter = new LineSplitter(4)
  splitter.push(Buffer.from('1234\r\n5678\n\n\r\n'), take)
  assert.deepEqual(lines, ['1234', '5678', '', ''])
  assert.throws(() => splitter.push(Buffer.from('123456'), take), ProtocolError)
  assert.throws(() => new LineSplitter(4).push(Buffer.from('12345\n'), take), ProtocolError)
  assert.throws(() => new LineSplitter(4).push(Buffer.from('12345\r\n'), take), ProtocolError)
  new LineSplitter(4).push(Buffer.from('1234\r'), take) // It may yet be the end of a line.
})

test(`ByteQueue cuts lines and bodies from one stream (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 100; round++) {
    const bodies = Array.from({ length: random.below(12) }, () => random.bytes(random.below(random.pick([10, 4_000]))))
    const stream = Buffer.concat(
      bodies.flatMap(body => [Buffer.from(`put ${body.length}\r\n`), body, Buffer.from('\0')]),
    )
    const got: Buffer[] = []
    const queue = new ByteQueue()
    let wanted = -1
    const cut = (): void => {
      for (;;) {
        if (wanted < 0) {
          const line = queue.line(20)
          if (line === undefined) return
          wanted = parseInteger(line.subarray(4), 0, 4_000)
        }
        const body = queue.take(wanted + 1)
        if (body === undefined) return
        assert.equal(body[wanted], 0)
        got.push(Buffer.from(body.subarray(0, wanted)))
        wanted = -1
      }
    }
    inPieces(random, stream, chunk => queue.feed(chunk, cut))
    assert.deepEqual(got, bodies)
    assert.equal(queue.length, 0)
  }
})

test('ByteQueue changes its delimiter, peeks and skips', () => {
  const queue = new ByteQueue()
  queue.feed(Buffer.from('abc'), () => assert.equal(queue.until(0x0a, 10), undefined))
  queue.feed(Buffer.from('\0\n\0d'), () => {
    assert.equal(queue.peek(), 0x61)
    assert.equal(queue.until(0, 10)?.toString(), 'abc')
    assert.equal(queue.until(0x0a, 0)?.length, 0)
    queue.skip(1)
    assert.equal(queue.take(2), undefined)
    assert.throws(() => queue.skip(2), RangeError)
    assert.equal(queue.take(1)?.toString(), 'd')
    assert.equal(queue.peek(), undefined)
  })
})

test('ByteQueue keeps what is left when cutting throws', () => {
  const queue = new ByteQueue()
  const chunk = Buffer.from('ab')
  assert.throws(() => queue.feed(chunk, () => assert.fail('stop')))
  chunk.fill(0)
  queue.feed(Buffer.from('c'), () => assert.equal(queue.take(3)?.toString(), 'abc'))
})

test('HeaderBlock takes name:value lines up to an empty one, within its limits', () => {
  const block = new HeaderBlock({ countMax: 3, bytesMax: 20 })
  assert.equal(block.add(Buffer.from('a:b:c')), false)
  assert.equal(block.add(Buffer.from('empty:')), false)
  assert.equal(block.add(Buffer.from('')), true)
  assert.deepEqual(block.entries, [
    ['a', 'b:c'],
    ['empty', ''],
  ])
  assert.throws(() => block.add(Buffer.from('nothing')), ProtocolError)
  assert.throws(() => block.add(Buffer.from(':x')), ProtocolError)
  assert.throws(() => block.add(Buffer.from('name:0123456789abcdef')), /20 bytes/)
  const many = new HeaderBlock({ countMax: 1, bytesMax: 20 })
  many.add(Buffer.from('a:b'))
  assert.throws(() => many.add(Buffer.from('a:b')), /more than 1 headers/)
})

test('parseInteger takes whole decimal integers within bounds and nothing else', () => {
  assert.equal(parseInteger('0', 0, 9), 0)
  assert.equal(parseInteger(Buffer.from('-12'), -20, 0), -12)
  assert.equal(parseInteger('9007199254740991', 0, Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
  assert.ok(Object.is(parseInteger('-0', -1, 1), 0))
  const wrong = [
    '',
    '-',
    '+1',
    ' 1',
    '1 ',
    '1.0',
    '1e3',
    '0x10',
    '١',
    '10',
    '-1',
    'NaN',
    '1\n',
    '1'.repeat(400),
    '00000000000000001',
  ]
  for (const text of wrong) {
    assert.throws(() => parseInteger(text, 0, 9, 'the count'), ProtocolError, JSON.stringify(text))
    assert.throws(() => parseInteger(Buffer.from(text), 0, 9), ProtocolError)
  }
})

test('splitWords parts at blanks and bounds the count', () => {
  assert.deepEqual(splitWords('put  1 2', 3), ['put', '1', '2'])
  assert.deepEqual(splitWords(Buffer.from(''), 3), [])
  assert.deepEqual(splitWords(`a${' '.repeat(50)}b`, 2), ['a', 'b'])
  assert.throws(() => splitWords('a b c', 2), ProtocolError)
})
