import assert from 'node:assert/strict'
import type { Address, Connection, Network } from '../../runtime/runtime.ts'
import { encodeCommand } from './messages.ts'
import { value, type RespValue } from './value.ts'

/** What was answered, as a client of JavaScript has it: errors are `Error`. */
export type Answer = string | number | bigint | boolean | null | Buffer | Error | Answer[]

/** A client for tests: commands may be sent before earlier ones are answered. */
export class RespDriver {
  /** What was told unasked, in RESP3 or of channels. */
  readonly pushes: Answer[][] = []
  readonly #connection: Connection
  #bytes: Buffer = Buffer.alloc(0)
  readonly #waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = []
  readonly #pushWaiters: (() => void)[] = []
  #gone: Error | undefined

  static async connect(network: Network, address: Address): Promise<RespDriver> {
    return new RespDriver(await network.connect(address))
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    connection.handle({
      data: chunk => this.#data(chunk),
      ended: () => {
        this.#over(new Error('The broker has closed the connection'))
        connection.destroy()
      },
      drained: () => {},
      closed: error => this.#over(error ?? new Error('The connection is closed')),
    })
  }

  /** Sends a command; resolves with the answer, also when that is an error. */
  ask(...words: (string | number | Uint8Array)[]): Promise<Answer> {
    return this.send(encodeCommand(words.map(word => (typeof word === 'number' ? String(word) : word))))
  }

  /** Sends a command whose answer is no error, with bytes as text. */
  async text(...words: (string | number | Uint8Array)[]): Promise<unknown> {
    const answer = await this.ask(...words)
    if (answer instanceof Error) throw answer
    return plain(answer)
  }

  /** Sends any bytes; resolves with the next answer. */
  send(bytes: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(this.#gone)
      this.#waiting.push({ resolve, reject })
      this.#connection.write([bytes])
    })
  }

  /** The next that is told unasked. */
  async push(): Promise<Answer[]> {
    while (this.pushes.length === 0) {
      if (this.#gone) throw this.#gone
      await new Promise<void>(resolve => this.#pushWaiters.push(resolve))
    }
    const [first] = this.pushes.splice(0, 1)
    assert(first)
    return first
  }

  get isOver(): boolean {
    return this.#gone !== undefined
  }

  close(): void {
    this.#connection.destroy()
  }

  #data(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    let at = 0
    for (;;) {
      if (at >= this.#bytes.length) break
      const found = value(this.#bytes, at)
      if (!found) break
      at = found.end
      this.#answered(found.value)
    }
    this.#bytes = this.#bytes.subarray(at)
  }

  #answered(found: RespValue): void {
    const answer = answerOf(found)
    const isMessage = Array.isArray(answer) && Buffer.isBuffer(answer[0]) && /^[ps]?message$/.test(answer[0].toString())
    if (found.kind === 'push' || isMessage) {
      const kind = Array.isArray(answer) ? String(answer[0]) : ''
      // Answers to subscriptions are told like that, too.
      if (!kind.endsWith('subscribe')) {
        this.pushes.push(answer as Answer[])
        for (const resolve of this.#pushWaiters.splice(0)) resolve()
        return
      }
    }
    this.#waiting.shift()?.resolve(answer)
  }

  #over(error: Error): void {
    this.#gone ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(this.#gone)
    for (const resolve of this.#pushWaiters.splice(0)) resolve()
  }
}

function answerOf(found: RespValue): Answer {
  if ('items' in found) return found.items.map(answerOf)
  const { kind, text } = found
  if (text === null) return null
  switch (kind) {
    case 'simple':
      return text.toString()
    case 'error':
    case 'bulkerror':
      return new Error(text.toString())
    case 'integer':
      return Number(text.toString())
    case 'double':
      return Number(text.toString())
    case 'boolean':
      return text.toString() === 't'
    case 'bignumber':
      return BigInt(text.toString())
    case 'verbatim':
      return Buffer.from(text.subarray(4))
    default:
      return Buffer.from(text)
  }
}

function plain(answer: Answer): unknown {
  if (Array.isArray(answer)) return answer.map(plain)
  return Buffer.isBuffer(answer) ? answer.toString() : answer
}
