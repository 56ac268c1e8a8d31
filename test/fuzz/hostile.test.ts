import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test, { after, before, describe } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker } from '@dragoman/broker'
import { crc32c, makeProduce, request } from './frames.ts'

const frameBytesMax = 1024 * 1024
const connectionsMax = 40

/** What the broker's peers may do wrong, on real sockets. Its time limits are short, so that the tests are. */
describe('a peer that', () => {
  let broker: Awaited<ReturnType<typeof startBroker>>
  before(async () => {
    const limits = {
      frameBytesMax,
      connectionsMax,
      firstRequestTimeoutMs: 300,
      frameTimeoutMs: 300,
      writeTimeoutMs: 500,
    }
    broker = await startBroker({ data: 'memory', kafka: 0, logLevel: 'error', ...limits })
  })
  after(() => broker.close())

  const dial = async (): Promise<Peer> => {
    const socket = connect({ port: broker.port('kafka'), host: '127.0.0.1', allowHalfOpen: true })
    const peer = new Peer(socket)
    await once(socket, 'connect')
    return peer
  }
  const stillAnswers = async (): Promise<void> => {
    const peer = await dial()
    peer.socket.write(request(18, 0, 7, Buffer.alloc(0)))
    assert.equal((await peer.answer()).readInt32BE(0), 7)
    peer.socket.destroy()
  }

  const endings: [string, Buffer][] = [
    ['announces more than the largest request', Buffer.from('7fffffff', 'hex')],
    ['announces less than nothing', Buffer.from('ffffffff00000000', 'hex')],
    ['announces a frame without room for a header', Buffer.from('000000020012', 'hex')],
    ['speaks HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['speaks TLS', Buffer.from('1603010200010001fc0303', 'hex')],
    ['names a request that does not exist', request(999, 0, 1, Buffer.alloc(0))],
    ['sends a body that ends early', request(3, 1, 1, Buffer.from('0000000a', 'hex'))],
    ['counts more elements than the frame can hold', request(3, 1, 1, Buffer.from('7fffffff', 'hex'))],
  ]
  for (const [what, bytes] of endings) {
    test(`${what} is disconnected, and others are served`, async () => {
      const peer = await dial()
      peer.socket.write(bytes)
      await peer.closed
      await stillAnswers()
    })
  }

  test('says nothing is disconnected', async () => {
    const peer = await dial()
    await peer.closed
  })

  test('sends one byte at a time is disconnected before its request is whole', async () => {
    const peer = await dial()
    const bytes = makeProduce('slow', 1, 60_000)
    for (let at = 0; at < bytes.length && !peer.isClosed; at++) {
      peer.socket.write(bytes.subarray(at, at + 1))
      await sleep(5)
    }
    await peer.closed
    await stillAnswers()
  })

  test('closes its half after a request still gets the answer', async () => {
    const peer = await dial()
    peer.socket.end(request(18, 0, 42, Buffer.alloc(0)))
    assert.equal((await peer.answer()).readInt32BE(0), 42)
    await peer.closed
  })

  test('goes away in the middle of a request leaves nothing behind', async () => {
    const bytes = makeProduce('half', 1, 50_000)
    for (const part of [1, 4, 8, 20, bytes.length - 1]) {
      const peer = await dial()
      peer.socket.end(bytes.subarray(0, part))
      await peer.closed
      assert.equal(peer.received, 0)
    }
    await stillAnswers()
  })

  test('resets its connection again and again harms nobody', async () => {
    for (let i = 0; i < 200; i++) {
      const peer = await dial()
      peer.socket.write(request(18, 0, i, Buffer.alloc(0)))
      peer.socket.resetAndDestroy()
    }
    await stillAnswers()
  })

  test('asks for much and reads nothing costs no memory', async () => {
    const writer = await dial()
    writer.socket.write(request(3, 1, 0, topics('much')))
    await writer.answer()
    for (let i = 0; i < 16; i++) {
      writer.socket.write(makeProduce('much', 1, 900_000))
      await writer.answer()
    }
    const before = process.memoryUsage().rss
    const peer = await dial()
    peer.socket.pause()
    const ask = fetchFromStart('much')
    for (let i = 0; i < 500; i++) peer.socket.write(ask)
    await sleep(400)
    const grown = process.memoryUsage().rss - before
    // 500 answers of 14 MB would be 7 GB; what is built ahead of a peer that does not read is bounded.
    assert.ok(grown < 400 * 1024 * 1024, `grown by ${Math.round(grown / 1024 / 1024)} MB`)
    await stillAnswers()
    peer.socket.destroy()
    writer.socket.destroy()
  })

  test('damages a record is told so, and the record is not taken', async () => {
    const peer = await dial()
    peer.socket.write(request(3, 1, 0, topics('damage')))
    await peer.answer()
    const bytes = makeProduce('damage', 1, 100)
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1
    peer.socket.write(bytes)
    const answer = await peer.answer()
    // [correlation][topic count][name][partition count][index][error]: 2 is CORRUPT_MESSAGE.
    assert.equal(answer.readInt16BE(4 + 4 + 2 + 'damage'.length + 4 + 4), 2)
    peer.socket.destroy()
  })

  test('is one too many is disconnected at once, and those before it stay', async () => {
    // Connections of the tests before run into their limits.
    while (broker.core.connectionCounts().get('kafka') !== 0) await sleep(10)
    const peers: Peer[] = []
    for (let i = 0; i < connectionsMax; i++) {
      const peer = await dial()
      peer.socket.write(request(18, 0, i, Buffer.alloc(0)))
      peers.push(peer)
    }
    for (const [index, peer] of peers.entries()) assert.equal((await peer.answer()).readInt32BE(0), index)
    const surplus = await dial()
    await surplus.closed
    for (const peer of peers) peer.socket.destroy()
  })
})

test('crc32c is that of the specification', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
})

/** Metadata version 1 for one topic, which is thereby created. */
function topics(name: string): Buffer {
  const body = Buffer.alloc(6 + name.length)
  body.writeInt32BE(1)
  body.writeInt16BE(name.length, 4)
  body.write(name, 6)
  return body
}

function fetchFromStart(topic: string): Buffer {
  const head = Buffer.from('ffffffff' + '00000000' + '00000001' + '7fffffff' + '00' + '00000000' + 'ffffffff', 'hex')
  const name = topics(topic)
  const place = Buffer.from(
    '00000001' + '00000000' + 'ffffffff' + '0000000000000000' + 'ffffffffffffffff' + '7fffffff',
    'hex',
  )
  return request(1, 11, 9, Buffer.concat([head, name, place, Buffer.from('000000000000', 'hex')]))
}

/** A socket whose answers can be awaited one by one. */
class Peer {
  readonly socket: Socket
  readonly closed: Promise<void>
  isClosed = false
  received = 0
  #bytes = Buffer.alloc(0)
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise(resolve => {
      const gone = (): void => {
        this.isClosed = true
        this.#wake()
        socket.destroy()
        resolve()
      }
      socket.on('end', gone).on('close', gone).on('error', gone)
    })
    socket.on('data', chunk => {
      this.received += chunk.length
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake()
    })
  }

  async answer(): Promise<Buffer> {
    for (;;) {
      const size = this.#bytes.length >= 4 ? this.#bytes.readInt32BE(0) : Infinity
      if (this.#bytes.length >= 4 + size) {
        const answer = this.#bytes.subarray(4, 4 + size)
        this.#bytes = this.#bytes.subarray(4 + size)
        return answer
      }
      assert.ok(!this.isClosed, 'the connection was closed before the answer')
      await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}
