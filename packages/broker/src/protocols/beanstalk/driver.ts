import assert from 'node:assert/strict'
import { ByteQueue } from '@dragoman/wire'
import type { Address, Connection, Network } from '../../runtime/runtime.ts'
import { crlf } from './messages.ts'

/** What was answered: the line without its end, and the body when there is one. */
export interface Answer {
  line: string
  body: Buffer | undefined
}

const lineBytesMax = 1024
const hasBody = /^(?:OK|RESERVED \d+|FOUND \d+) (\d+)$/

/** A client for tests: commands may be sent before earlier ones are answered. */
export class BeanstalkDriver {
  readonly #connection: Connection
  readonly #bytes = new ByteQueue()
  readonly #waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = []
  #line: string | undefined
  #gone: Error | undefined

  static async connect(network: Network, address: Address): Promise<BeanstalkDriver> {
    return new BeanstalkDriver(await network.connect(address))
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    connection.handle({
      data: chunk => this.#bytes.feed(chunk, () => this.#cut()),
      ended: () => {
        this.#over(new Error('The broker has closed the connection'))
        connection.destroy()
      },
      drained: () => {},
      closed: error => this.#over(error ?? new Error('The connection is closed')),
    })
  }

  /** Sends a line, and a body behind it; resolves with the answer. */
  ask(line: string, body?: string | Buffer): Promise<Answer> {
    const parts = [Buffer.from(`${line}\r\n`, 'latin1')]
    if (body !== undefined) parts.push(Buffer.from(body), crlf)
    return this.send(Buffer.concat(parts))
  }

  /** Sends any bytes; resolves with the next answer. */
  send(bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(this.#gone)
      this.#waiting.push({ resolve, reject })
      this.#connection.write([bytes])
    })
  }

  /** Resolves with the job's id when it is durable. */
  async publish(tube: string, body: string | Buffer, { priority = 1024, delay = 0, ttr = 60 } = {}): Promise<number> {
    assert.equal((await this.ask(`use ${tube}`)).line, `USING ${tube}`)
    const { line } = await this.ask(`put ${priority} ${delay} ${ttr} ${Buffer.byteLength(body)}`, body)
    const [, id] = /^INSERTED (\d+)$/.exec(line) ?? []
    assert(id, line)
    return Number(id)
  }

  /** The next job of a tube, which is then reserved. */
  async consume(tube: string, timeoutSeconds = 10): Promise<{ id: number; body: Buffer }> {
    assert.match((await this.ask(`watch ${tube}`)).line, /^WATCHING /)
    if (tube !== 'default') await this.ask('ignore default')
    const { line, body } = await this.ask(`reserve-with-timeout ${timeoutSeconds}`)
    const [, id] = /^RESERVED (\d+) /.exec(line) ?? []
    assert(id && body, line)
    return { id: Number(id), body }
  }

  async ack(id: number): Promise<void> {
    assert.equal((await this.ask(`delete ${id}`)).line, 'DELETED')
  }

  close(): void {
    this.#connection.destroy()
  }

  #cut(): void {
    for (;;) {
      this.#line ??= this.#bytes.line(lineBytesMax)?.toString('latin1')
      if (this.#line === undefined) return
      const [, size] = hasBody.exec(this.#line) ?? []
      const body = size === undefined ? undefined : this.#bytes.take(Number(size) + crlf.length)
      if (size !== undefined && body === undefined) return
      const answer = { line: this.#line, body: body && Buffer.from(body.subarray(0, -crlf.length)) }
      this.#line = undefined
      this.#waiting.shift()?.resolve(answer)
    }
  }

  #over(error: Error): void {
    this.#gone ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(this.#gone)
  }
}
