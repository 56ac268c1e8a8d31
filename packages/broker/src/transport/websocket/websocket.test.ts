import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Connection } from '../../runtime/runtime.ts'
import { WebSocketConnection } from './connection.ts'
import type { HandshakeRules } from './handshake.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const rules: HandshakeRules = {
  subprotocols: ['lines', 'lines.old'],
  frames: 'binary',
  takesText: true,
  title: 'Lines',
  origins: ['https://friend.example'],
}

/** A connection by WebSocket with the wire in hand. */
class Wire implements Connection {
  readonly remote = { host: '127.0.0.1', port: 1 }
  readonly queuedBytes = 0
  sent = Buffer.alloc(0)
  ended = false
  /** What came out of it for the protocol. */
  text = ''
  hasEnded = false
  refusals: string[] = []
  readonly connection: WebSocketConnection
  #handlers!: Parameters<Connection['handle']>[0]

  constructor(changed: Partial<HandshakeRules> = {}) {
    this.connection = new WebSocketConnection(this, { ...rules, ...changed }, reason => this.refusals.push(reason))
    this.connection.handle({
      data: chunk => void (this.text += chunk.toString('latin1')),
      ended: () => void (this.hasEnded = true),
      drained() {},
      closed() {},
    })
  }

  handle(handlers: Parameters<Connection['handle']>[0]): void {
    this.#handlers = handlers
  }

  write(parts: readonly Uint8Array[]): void {
    assert.equal(this.ended, false)
    this.sent = Buffer.concat([this.sent, ...parts])
  }

  pause(): void {}
  resume(): void {}
  end(): void {
    this.ended = true
  }
  destroy(): void {}

  /** In pieces of this size. The bytes are only lent. */
  receive(bytes: Buffer, size = bytes.length): void {
    for (let at = 0; at < bytes.length; at += size) {
      const chunk = Buffer.from(bytes.subarray(at, at + size))
      this.#handlers.data(chunk)
      chunk.fill(0xee)
    }
  }

  take(): Buffer {
    const { sent } = this
    this.sent = Buffer.alloc(0)
    return sent
  }
}

// The request and its answer are those of RFC 6455, 1.3.
const request = (...changed: [name: string, value: string | undefined][]): Buffer => {
  const headers = new Map<string, string | undefined>([
    ['Host', 'server.example.com'],
    ['Upgrade', 'websocket'],
    ['Connection', 'keep-alive, Upgrade'],
    ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    ['Sec-WebSocket-Version', '13'],
    ...changed,
  ])
  const lines = Array.from(headers, ([name, value]) => (value === undefined ? '' : `${name}: ${value}\r\n`))
  return Buffer.from(`GET /chat HTTP/1.1\r\n${lines.join('')}\r\n`)
}

function frame(
  opcode: number,
  payload: string | Buffer,
  isFinal = true,
  mask: Uint8Array = Buffer.of(1, 2, 3, 4),
): Buffer {
  const bytes = Buffer.from(payload)
  const masked = bytes.map((byte, at) => byte ^ mask[at & 3]!)
  const first = (isFinal ? 0x80 : 0) | opcode
  if (bytes.length < 126) return Buffer.concat([Buffer.of(first, 0x80 | bytes.length), mask, masked])
  const header = Buffer.alloc(bytes.length < 0x10000 ? 4 : 10)
  header[0] = first
  header[1] = 0x80 | (header.length === 4 ? 126 : 127)
  if (header.length === 4) header.writeUInt16BE(bytes.length, 2)
  else header.writeBigUInt64BE(BigInt(bytes.length), 2)
  return Buffer.concat([header, mask, masked])
}

function opened(changed: Partial<HandshakeRules> = {}): Wire {
  const wire = new Wire(changed)
  wire.receive(request())
  assert.match(wire.take().toString(), /^HTTP\/1\.1 101 /)
  return wire
}

test('the handshake is that of RFC 6455, wherever its bytes are cut', () => {
  for (const size of [1, 3, 1000]) {
    const wire = new Wire()
    wire.receive(Buffer.concat([request(['Sec-WebSocket-Protocol', 'other, lines.old']), frame(2, 'hello')]), size)
    const answer = wire.take().toString()
    assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
    assert.match(answer, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/)
    assert.match(answer, /\r\nSec-WebSocket-Protocol: lines\.old\r\n\r\n$/)
    assert.equal(wire.text, 'hello')
  }
})

test('a peer that speaks the protocol itself is passed on as it is', () => {
  for (const text of ['GEX', 'CONNECT\n\n\0', '\x10\x0c\0\x04XXXX', 'G', 'GET']) {
    const wire = new Wire()
    wire.receive(Buffer.from(text, 'latin1'), 1)
    wire.receive(Buffer.from('\0'))
    assert.equal(wire.text, `${text}\0`)
    wire.connection.write([Buffer.from('answer')])
    assert.equal(wire.take().toString(), 'answer')
  }
})

const refusals: [status: number, says: RegExp, request: Buffer][] = [
  [426, /This port speaks Lines/, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  [426, /version 13/, request(['Sec-WebSocket-Version', '8'])],
  [400, /Sec-WebSocket-Key/, request(['Sec-WebSocket-Key', 'short'])],
  [400, /Sec-WebSocket-Key/, request(['Sec-WebSocket-Key', undefined])],
  [400, /lines, lines\.old/, request(['Sec-WebSocket-Protocol', 'other'])],
  [403, /https:\/\/evil\.example .*--web-socket-origins/, request(['Origin', 'https://evil.example'])],
  [403, /null/, request(['Origin', 'null'])],
  [400, /cannot be read/, Buffer.from('GET / HTTP/1.0\r\n\r\n')],
  [400, /cannot be read/, Buffer.from('GET / HTTP/1.1\r\nno colon\r\n\r\n')],
  [431, /8192 bytes/, Buffer.from(`GET / HTTP/1.1\r\nA: ${'x'.repeat(9000)}\r\n\r\n`)],
]

for (const [status, says, bytes] of refusals) {
  test(`${JSON.stringify(bytes.toString().slice(0, 200))} is refused with ${status}`, () => {
    for (const size of [bytes.length, 1]) {
      const wire = new Wire()
      wire.receive(bytes, size)
      const answer = wire.take().toString()
      assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer)
      assert.match(answer, says)
      assert.equal(wire.ended, true)
      assert.equal(wire.refusals.length, 1)
      wire.receive(frame(2, 'more'))
      assert.equal(wire.text, '')
    }
  })
}

test('pages of this machine, of the same host and of origins that are allowed may connect', () => {
  const origins = ['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:80', 'https://friend.example']
  for (const origin of [...origins, 'http://server.example.com:99']) {
    const wire = new Wire()
    wire.receive(request(['Origin', origin]))
    assert.match(wire.take().toString(), /^HTTP\/1\.1 101 /, origin)
  }
  const open = new Wire({ origins: ['*'] })
  open.receive(request(['Origin', 'https://evil.example']))
  assert.match(open.take().toString(), /^HTTP\/1\.1 101 /)
})

test('payloads pass as one stream of bytes, however frames are cut and pieced', () => {
  const random = new Random(seed)
  for (let round = 0; round < 100; round++) {
    const wire = opened()
    let expected = ''
    const frames: Buffer[] = []
    for (let message = 0; message < 5; message++) {
      for (let left = random.between(0, 3), first = true; left >= 0; left--, first = false) {
        const text = 'x'.repeat(random.chance(0.1) ? random.between(126, 70_000) : random.between(0, 140))
        expected += text
        frames.push(frame(first ? random.between(1, 2) : 0, text, left === 0, random.bytes(4)))
        if (random.chance(0.3)) frames.push(frame(9, 'ping'))
      }
    }
    const size = random.chance(0.3) ? 1 : random.between(1, 5000)
    wire.receive(Buffer.concat(frames), size)
    assert.equal(wire.text, expected, `SEED=${seed}`)
  }
})

test('pings are answered, pongs are not, and a close is answered when all else is', () => {
  const wire = opened()
  wire.receive(Buffer.concat([frame(9, 'abc'), frame(10, 'x'), frame(9, '')]), 1)
  assert.deepEqual(wire.take(), Buffer.from('8a03616263' + '8a00', 'hex'))
  wire.receive(Buffer.concat([frame(8, Buffer.of(3, 0xe8)), frame(2, 'late')]))
  assert.deepEqual([wire.hasEnded, wire.ended, wire.text], [true, false, ''])
  wire.connection.write([Buffer.from('last')])
  wire.connection.end()
  assert.deepEqual(wire.take(), Buffer.concat([Buffer.of(0x82, 4), Buffer.from('last'), Buffer.of(0x88, 2, 3, 0xe8)]))
  assert.equal(wire.ended, true)
})

test('what is sent is one frame per write: binary, or text where it is UTF-8 and the protocol wants that', () => {
  const [binary, text] = [opened(), opened({ frames: 'text' })]
  for (const { connection } of [binary, text]) {
    connection.write([Buffer.from('a'), Buffer.from('ä')])
    connection.write([Buffer.of(0xff)])
    connection.write([Buffer.alloc(126)])
    connection.write([Buffer.alloc(0x10000)])
    connection.write([])
  }
  const sent = binary.take()
  assert.equal(sent.subarray(0, 8).toString('hex'), '820361c3a4' + '8201ff')
  assert.equal(sent.subarray(8, 12).toString('hex'), '827e007e')
  assert.equal(sent.subarray(12 + 126, 22 + 126).toString('hex'), '827f0000000000010000')
  assert.equal(sent.length, 22 + 126 + 0x10000)
  assert.equal(text.take().subarray(0, 12).toString('hex'), '810361c3a4' + '8201ff' + '817e007e')
})

const offences: [code: number, says: string, bytes: Buffer][] = [
  [1002, 'frames of clients are masked', Buffer.of(0x82, 1, 65)],
  [1002, 'no extension was agreed upon', Buffer.of(0xc2, 0x81, 0, 0, 0, 0, 65)],
  [1002, 'there is no frame of kind 3', Buffer.of(0x83, 0x80, 0, 0, 0, 0)],
  [1002, 'there is no frame of kind 11', Buffer.of(0x8b, 0x80, 0, 0, 0, 0)],
  [1002, 'a control frame is short and whole', frame(9, 'x', false)],
  [1002, 'a control frame is short and whole', frame(9, 'x'.repeat(126))],
  [1002, 'a message is begun once and then goes on', frame(0, 'x')],
  [1002, 'a message is begun once and then goes on', Buffer.concat([frame(2, '', false), frame(2, 'x')])],
  [1002, 'a frame has no such length', Buffer.from('82ff' + 'ff'.repeat(8) + '00000000', 'hex')],
  [1003, 'text frames are not taken here', frame(1, 'x')],
]

for (const [code, says, bytes] of offences) {
  test(`${bytes.toString('hex').slice(0, 20)} closes with ${code}: ${says}`, () => {
    for (const size of [bytes.length, 1]) {
      const wire = opened({ takesText: false })
      wire.receive(bytes, size)
      const sent = wire.take()
      assert.deepEqual([sent[0], sent.readUInt16BE(2), sent.subarray(4).toString()], [0x88, code, says])
      assert.deepEqual([wire.ended, wire.text, wire.refusals], [true, '', [says]])
    }
  })
}

test(`any bytes pass or end the connection, and nothing is thrown (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 3000; round++) {
    const wire = random.chance(0.3) ? new Wire() : opened()
    const bytes = Buffer.concat([request(), frame(2, 'abc', false), frame(9, 'x'), frame(0, 'def'), frame(8, '')])
    for (let left = random.between(1, 4); left > 0; left--) {
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    }
    wire.receive(random.chance(0.5) ? bytes : random.bytes(random.between(1, 200)), random.between(1, 50))
  }
})
