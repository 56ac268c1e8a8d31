import assert from 'node:assert/strict'
import type { Address, Connection, Network } from '../../runtime/runtime.ts'
import { FrameDecoder } from './framing.ts'
import { readHeaders, type Version } from './headers.ts'
import { encodeFrame } from './messages.ts'

/** A frame that was received. */
export interface Received {
  readonly command: string
  /** Of several with one name, the first. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

interface Waiter {
  readonly wanted: (frame: Received) => boolean
  readonly resolve: (frame: Received) => void
  readonly reject: (error: Error) => void
}

/** A client for tests. */
export class StompDriver {
  readonly version: Version
  readonly #connection: Connection
  readonly #decoder = new FrameDecoder({ frameBytesMax: Infinity })
  /** Received and not asked for yet. */
  readonly #frames: Received[] = []
  readonly #waiting: Waiter[] = []
  #gone: Error | undefined
  #receipts = 0
  beats = 0

  /** A connection on which nothing was said yet. */
  static async open(network: Network, address: Address, version: Version = '1.2'): Promise<StompDriver> {
    return new StompDriver(await network.connect(address), version)
  }

  static async connect(
    network: Network,
    address: Address,
    headers: Record<string, string> = {},
    version: Version = '1.2',
  ): Promise<StompDriver> {
    const driver = await StompDriver.open(network, address, version)
    driver.send('CONNECT', { ...(version === '1.0' ? {} : { 'accept-version': version, host: '/' }), ...headers })
    await driver.expect('CONNECTED')
    return driver
  }

  private constructor(connection: Connection, version: Version) {
    this.#connection = connection
    this.version = version
    connection.handle({
      data: chunk => this.#decoder.push(chunk, packet => this.#take(packet)),
      ended: () => {
        this.#over(new Error('The broker has closed the connection'))
        connection.destroy()
      },
      drained: () => {},
      closed: error => this.#over(error ?? new Error('The connection is closed')),
    })
  }

  send(command: string, headers: Record<string, string> = {}, body?: string | Buffer): void {
    const bytes = body === undefined ? undefined : Buffer.from(body)
    const given = bytes ? { ...headers, 'content-length': String(bytes.length) } : headers
    this.sendBytes(encodeFrame(command, { headers: given, ...(bytes ? { body: bytes } : {}) }, this.version))
  }

  sendBytes(bytes: Buffer | string): void {
    if (!this.#gone) this.#connection.write([Buffer.from(bytes)])
  }

  /** Sends a frame that asks for a receipt, and waits for it. */
  async ask(command: string, headers: Record<string, string> = {}, body?: string | Buffer): Promise<void> {
    const receipt = `r${++this.#receipts}`
    this.send(command, { ...headers, receipt }, body)
    await this.next(frame => frame.command === 'RECEIPT' && frame.headers['receipt-id'] === receipt)
  }

  /** The next frame that is wanted: those before it wait for who wants them. An ERROR that nobody wants is thrown. */
  next(wanted: (frame: Received) => boolean): Promise<Received> {
    const at = this.#frames.findIndex(wanted)
    const [found] = at < 0 ? [] : this.#frames.splice(at, 1)
    if (found) return Promise.resolve(found)
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(this.#gone)
      this.#waiting.push({ wanted, resolve, reject })
    })
  }

  expect(command: string): Promise<Received> {
    return this.next(frame => frame.command === command)
  }

  /** The next message of a subscription. */
  message(subscription: string): Promise<Received> {
    return this.next(({ command, headers }) => command === 'MESSAGE' && headers['subscription'] === subscription)
  }

  /** Frames that came and were not asked for. */
  get pending(): readonly Received[] {
    return this.#frames
  }

  /** Waits until the broker has closed the connection. */
  async gone(): Promise<void> {
    await this.next(() => false).catch(() => {})
  }

  close(): void {
    this.#connection.destroy()
  }

  #take(packet: Parameters<Parameters<FrameDecoder['push']>[1]>[0]): void {
    if (packet.kind === 'beat') this.beats++
    if (packet.kind === 'fault') assert.fail(packet.problem)
    if (packet.kind !== 'frame') return
    const opens = packet.head.toString('latin1', 0, 9) === 'CONNECTED'
    const { command, headers } = readHeaders(packet.head, this.version, opens)
    const found: Record<string, string> = {}
    for (const [name, value] of headers.entries()) found[name] ??= value
    const frame = { command, headers: found, body: Buffer.from(packet.body) }
    const at = this.#waiting.findIndex(({ wanted }) => wanted(frame))
    const [waiter] = at < 0 ? [] : this.#waiting.splice(at, 1)
    if (waiter) return waiter.resolve(frame)
    this.#frames.push(frame)
    if (command === 'ERROR') this.#over(new Error(`${found['message']}: ${frame.body.toString()}`))
  }

  #over(error: Error): void {
    this.#gone ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(this.#gone)
  }
}
