import assert from 'node:assert/strict'
import { Reader } from '@dragoman/wire'
import type { RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import type { ClientTls, Connection } from '../../../runtime/runtime.ts'
import { encodeMethod } from '../frames.ts'
import { frameEnd, frameHeadBytes, frameTypes, protocolHeader } from '../framing.ts'
import {
  connectionClose,
  connectionOpen,
  connectionOpenOk,
  connectionStart,
  connectionStartOk,
  connectionTune,
  connectionTuneOk,
} from '../messages/connection.ts'
import { methodsById } from '../messages/index.ts'
import type { Arguments, Method } from '../messages/method.ts'
import type { Table } from '../table.ts'

export interface Got {
  readonly type: number
  readonly channel: number
  readonly name: string
  readonly fields: unknown
}

const { network } = realRuntime()

export interface LoginOptions {
  mechanism?: string
  response?: Buffer
  clientProperties?: Table
}

/** A client that does only what it is told, right or wrong. */
export class Peer {
  readonly #connection: Connection
  #bytes: Buffer = Buffer.alloc(0)
  #isOver = false
  #told: (() => void) | undefined

  static async connect(broker: RunningBroker, tls?: ClientTls): Promise<Peer> {
    const port = broker.port(tls ? 'amqp-tls' : 'amqp')
    return new Peer(await network.connect({ host: 'localhost', port }, tls))
  }

  /** Connected and open. */
  static async open(
    broker: RunningBroker,
    options: LoginOptions & { heartbeat?: number; channelMax?: number } = {},
  ): Promise<Peer> {
    const peer = await Peer.connect(broker)
    await peer.login(options)
    const { channelMax, frameMax } = await peer.expect(connectionTune)
    peer.send(connectionTuneOk, { channelMax, frameMax, heartbeat: 0, ...options })
    peer.send(connectionOpen, { virtualHost: '/' })
    await peer.expect(connectionOpenOk)
    return peer
  }

  constructor(connection: Connection) {
    this.#connection = connection
    const over = (): void => {
      this.#isOver = true
      this.#told?.()
    }
    connection.handle({
      data: chunk => {
        this.#bytes = Buffer.concat([this.#bytes, chunk])
        this.#told?.()
      },
      ended: () => {
        over()
        connection.destroy()
      },
      drained: () => {},
      closed: over,
    })
  }

  async login({
    mechanism = 'PLAIN',
    response = Buffer.from('\0guest\0guest'),
    clientProperties = [],
  }: LoginOptions = {}): Promise<Arguments<typeof connectionStart>> {
    this.bytes(protocolHeader)
    const started = await this.expect(connectionStart)
    this.send(connectionStartOk, { clientProperties, mechanism, response, locale: 'en_US' })
    return started
  }

  bytes(...parts: Buffer[]): void {
    this.#connection.write(parts)
  }

  send<W>(method: Method<unknown, W>, fields: W, channel = 0): void {
    this.bytes(...encodeMethod(channel, method, fields))
  }

  frame(type: number, channel: number, payload: Buffer, end = frameEnd): void {
    const head = Buffer.alloc(frameHeadBytes)
    head[0] = type
    head.writeUInt16BE(channel, 1)
    head.writeUInt32BE(payload.length, 3)
    this.bytes(head, payload, Buffer.of(end))
  }

  /** The next frame; undefined when the broker has ended the connection. */
  async next(): Promise<Got | undefined> {
    for (;;) {
      const size = this.#bytes.length < frameHeadBytes ? Infinity : frameHeadBytes + this.#bytes.readUInt32BE(3) + 1
      if (this.#bytes.length >= size) return this.#cut(size)
      if (this.#isOver) return undefined
      await new Promise<void>(resolve => (this.#told = resolve))
    }
  }

  /** Bytes that are left when the broker has ended the connection. */
  async rest(): Promise<Buffer> {
    while (!this.#isOver) await new Promise<void>(resolve => (this.#told = resolve))
    return this.#bytes
  }

  async expect<T>(method: Method<T, never>, channel = 0): Promise<T> {
    const got = await this.next()
    assert.deepEqual([got?.name, got?.channel], [method.name, channel], JSON.stringify(got?.fields))
    return got?.fields as T
  }

  /** The reason why the broker ends the connection. */
  async refusal(): Promise<string> {
    const { replyCode, replyText } = await this.expect(connectionClose)
    return `${replyCode} ${replyText}`
  }

  destroy(): void {
    this.#connection.destroy()
  }

  #cut(size: number): Got {
    const frame = this.#bytes.subarray(0, size)
    this.#bytes = this.#bytes.subarray(size)
    assert.equal(frame[size - 1], frameEnd)
    const [type = 0] = frame
    const channel = frame.readUInt16BE(1)
    if (type !== frameTypes.method) return { type, channel, name: `frame ${type}`, fields: undefined }
    const reader = new Reader(frame, frameHeadBytes, size - 1)
    const method = methodsById.get(reader.u32())
    assert(method)
    const fields: unknown = method.codec.read(reader)
    reader.expectEnd()
    return { type, channel, name: method.name, fields }
  }
}
