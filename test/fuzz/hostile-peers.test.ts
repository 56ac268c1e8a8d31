import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { encodeCommand } from '../../packages/broker/src/protocols/resp/messages.ts'
import { publish, subscribe, versions } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { encodeFrame } from '../../packages/broker/src/protocols/stomp/messages.ts'
import { targets, type Target } from './streams.ts'

const timeoutMs = 600
const grownBytesMax = 400 * 1024 * 1024
const megabyte = 1024 * 1024

/** What peers of a protocol say, as bytes. */
interface Speech {
  readonly name: 'mqtt' | 'stomp' | 'resp'
  readonly webSocket: string | undefined
  readonly hello: Buffer
  /** Behind the hello: a message that comes back; and how many answers both have. */
  talk(body: string): Buffer
  readonly answers: number
  /** Stores a megabyte; and asks for it, which may be done again and again. */
  readonly much: Buffer
  askForMuch(number: number): Buffer
}

const mqttPublish = (payload: Buffer | string, isRetained = false): Buffer => {
  const fields = { qos: 1, isDuplicate: false, isRetained, packetId: 1, properties: {}, topic: 'a' }
  return publish.encode({ ...fields, payload: Buffer.from(payload) }, versions.mqtt5)
}
const mqttSubscribe = (): Buffer =>
  subscribe.encode({ packetId: 1, properties: {}, wanted: [{ filter: 'a', options: 0 }] }, versions.mqtt5)
const stompFrame = (command: string, headers: Record<string, string>, body = Buffer.alloc(0)): Buffer =>
  encodeFrame(command, { headers: { ...headers, 'content-length': String(body.length) }, body })

const speeches: Speech[] = [
  {
    ...{ name: 'mqtt', webSocket: 'mqtt', hello: helloOf(targets['mqtt']) },
    talk: body => Buffer.concat([mqttSubscribe(), mqttPublish(body)]),
    // CONNACK, SUBACK, PUBLISH, PUBACK.
    answers: 4,
    much: mqttPublish(Buffer.alloc(megabyte), true),
    askForMuch: mqttSubscribe,
  },
  {
    ...{ name: 'stomp', webSocket: 'v12.stomp', hello: helloOf(targets['stomp']) },
    talk: body =>
      Buffer.concat([
        stompFrame('SUBSCRIBE', { id: '1', destination: '/topic/a', receipt: '1' }),
        stompFrame('SEND', { destination: '/topic/a', receipt: '2' }, Buffer.from(body)),
        stompFrame('UNSUBSCRIBE', { id: '1' }),
      ]),
    // CONNECTED, RECEIPT, MESSAGE, RECEIPT.
    answers: 4,
    much: Buffer.concat(
      Array.from({ length: 50 }, () => stompFrame('SEND', { destination: '/queue/much' }, Buffer.alloc(megabyte))),
    ),
    // What was not acknowledged comes again.
    askForMuch: number =>
      Buffer.concat([
        stompFrame('SUBSCRIBE', { id: `${number}`, destination: '/queue/much', ack: 'client' }),
        stompFrame('UNSUBSCRIBE', { id: `${number}` }),
      ]),
  },
  {
    ...{ name: 'resp', webSocket: undefined, hello: Buffer.alloc(0) },
    talk: body => Buffer.concat([encodeCommand(['RPUSH', 'l', body]), encodeCommand(['LPOP', 'l'])]),
    answers: 2,
    much: encodeCommand(['SET', 'much', Buffer.alloc(megabyte)]),
    askForMuch: () => encodeCommand(['GET', 'much']),
  },
]

function helloOf(target: Target | undefined): Buffer {
  assert(target)
  return target.hello
}

for (const speech of speeches) {
  describe(`a peer of ${speech.name} that`, { timeout: 60_000 }, () => {
    const { name, hello, answers } = speech
    const conversation = speech.talk('x')
    let broker: RunningBroker
    before(async () => {
      const limits = { firstRequestTimeoutMs: timeoutMs, frameTimeoutMs: timeoutMs, writeTimeoutMs: 2 * timeoutMs }
      broker = await startBroker({ data: 'memory', [name]: 0, logLevel: 'error', ...limits })
      await isServed()
    })
    after(() => broker.close())
    const dial = (): Peer => new Peer(broker.port(name), targets[name]!)

    const isServed = async (): Promise<void> => {
      const peer = dial()
      peer.socket.write(Buffer.concat([hello, conversation]))
      await peer.answered(answers)
      peer.socket.destroy()
    }
    const nobodyIsLeft = async (): Promise<void> => {
      while (broker.core.connectionCounts().get(name) !== 0) await sleep(10)
    }

    test('sends one byte at a time is answered', async () => {
      const peer = dial()
      await peer.sendOneByOne(Buffer.concat([hello, conversation]))
      await peer.answered(answers)
      peer.socket.destroy()
    })

    test('says nothing is disconnected', async () => {
      await dial().closed
    })

    test('stops in the middle of a frame is disconnected', async () => {
      const peer = dial()
      peer.socket.write(Buffer.concat([hello, conversation.subarray(0, -2)]))
      await peer.closed
      await isServed()
    })

    test('closes its half after what it asks still gets the answers', async () => {
      const peer = dial()
      peer.socket.end(Buffer.concat([hello, conversation]))
      await peer.answered(answers)
      await peer.closed
    })

    test('goes away at any byte leaves nothing behind', async () => {
      const bytes = Buffer.concat([hello, conversation])
      for (let cut = 0; cut < bytes.length; cut += 3) {
        const peer = dial()
        if (cut % 2 === 0) peer.socket.end(bytes.subarray(0, cut))
        else peer.socket.write(bytes.subarray(0, cut), () => peer.socket.resetAndDestroy())
      }
      await nobodyIsLeft()
      assert.equal(broker.core.connections.list().length, 0)
      await isServed()
    })

    test('sends without end and reads nothing is made to wait, then disconnected, and others are served', async () => {
      const before = process.memoryUsage().rss
      const peer = dial()
      peer.socket.pause()
      peer.socket.write(hello)
      const flood = Buffer.concat(Array.from({ length: 10 }, () => speech.talk('x'.repeat(20_000))))
      while (!peer.isClosed) {
        if (peer.socket.writableLength < megabyte) peer.socket.write(flood)
        await sleep(1)
        assert(process.memoryUsage().rss - before < grownBytesMax, 'it takes too much memory')
      }
      await isServed()
    })

    test('asks for much and reads nothing takes no memory, and others are served', async () => {
      const writer = dial()
      writer.socket.write(Buffer.concat([hello, speech.much]))
      await sleep(200)
      const before = process.memoryUsage().rss
      const peer = dial()
      peer.socket.pause()
      peer.socket.write(hello)
      for (let number = 0; number < 500; number++) peer.socket.write(speech.askForMuch(number))
      for (let left = 40; left > 0 && !peer.isClosed; left--) {
        await sleep(25)
        assert(process.memoryUsage().rss - before < grownBytesMax, 'it takes too much memory')
      }
      await isServed()
      peer.socket.destroy()
      writer.socket.destroy()
      await nobodyIsLeft()
    })

    const { webSocket } = speech
    if (webSocket === undefined) return
    test('sends by WebSocket each byte in a frame of its own is answered, however the frames are cut', async () => {
      const upgrade = `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n`
      const request = `${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${webSocket}\r\n\r\n`
      const bytes = Buffer.concat([hello, conversation])
      const frames = Buffer.concat(Array.from(bytes, (byte, at) => frameOf(byte, at === 0, at === bytes.length - 1)))
      for (const isSlow of [false, true]) {
        const peer = dial()
        peer.isWebSocket = true
        if (isSlow) await peer.sendOneByOne(Buffer.concat([Buffer.from(request), frames]))
        else peer.socket.write(Buffer.concat([Buffer.from(request), frames]))
        await peer.answered(answers)
        peer.socket.destroy()
      }
    })
  })
}

/** A masked frame of one byte: the first of a message, or one that goes on with it. */
function frameOf(byte: number, isFirst: boolean, isLast: boolean): Buffer {
  const mask = [17, 34, 51, 68] as const
  return Buffer.of((isLast ? 0x80 : 0) | (isFirst ? 2 : 0), 0x81, ...mask, byte ^ mask[0])
}

/** A socket that counts the whole answers that have come. */
class Peer {
  readonly socket: Socket
  readonly closed: Promise<void>
  isClosed = false
  isWebSocket = false
  readonly #target: Target
  #bytes = Buffer.alloc(0)

  constructor(port: number, target: Target) {
    this.#target = target
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    this.socket = socket
    socket.setNoDelay(true)
    this.closed = new Promise(resolve => {
      const gone = (): void => {
        this.isClosed = true
        socket.destroy()
        resolve()
      }
      socket.on('end', gone).on('close', gone).on('error', gone)
    })
    socket.on('data', chunk => (this.#bytes = Buffer.concat([this.#bytes, chunk])))
  }

  async sendOneByOne(bytes: Buffer): Promise<void> {
    for (const byte of bytes) await new Promise(resolve => this.socket.write(Buffer.of(byte), resolve))
  }

  async answered(count: number): Promise<void> {
    while (this.#count() < count) {
      assert(!this.isClosed || this.#count() >= count, `closed after ${this.#count()} of ${count} answers`)
      await sleep(5)
    }
  }

  #count(): number {
    return this.#target.check(this.isWebSocket ? payloadsOf(this.#bytes) : this.#bytes).answers
  }
}

/** What the frames carry that the broker has sent behind its answer to the request. */
function payloadsOf(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  const start = bytes.indexOf('\r\n\r\n')
  for (let at = start < 0 ? bytes.length : start + 4; at + 2 <= bytes.length;) {
    const isLong = bytes[at + 1] === 126
    const length = isLong ? bytes.readUInt16BE(at + 2) : bytes[at + 1]!
    at += isLong ? 4 : 2
    parts.push(bytes.subarray(at, at + length))
    at += length
  }
  return Buffer.concat(parts)
}
