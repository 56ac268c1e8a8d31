import { connect, type Socket } from 'node:net'
import { encodeCommand } from '../../../../packages/broker/src/protocols/resp/messages.ts'
import { value, type RespValue } from '../../../../packages/broker/src/protocols/resp/value.ts'

/** A connection whose answers are told as they lie, with the kind of each value: nothing is made alike that is not. */
export class PlainClient {
  /** What was told unasked, or of channels. */
  readonly told: string[] = []
  readonly #socket: Socket
  readonly #waiting: ((answer: RespValue) => void)[] = []
  #bytes: Buffer = Buffer.alloc(0)

  static async connect(address: { host: string; port: number }): Promise<PlainClient> {
    const socket = connect(address)
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new PlainClient(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#data(chunk))
    socket.on('error', () => {})
  }

  ask(words: readonly string[]): Promise<RespValue> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#socket.write(encodeCommand(words))
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #data(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    for (let found = value(this.#bytes, 0); found; found = this.#bytes.length > 0 ? value(this.#bytes, 0) : undefined) {
      this.#bytes = this.#bytes.subarray(found.end)
      if (isTold(found.value)) this.told.push(shown(found.value))
      else this.#waiting.shift()?.(found.value)
    }
  }
}

/** What comes from a channel. The answers to subscriptions are none of it. */
function isTold(answer: RespValue): boolean {
  if (!('items' in answer)) return false
  const [first] = answer.items
  return first !== undefined && 'text' in first && /^[ps]?message$/.test(String(first.text))
}

/** The answer as one line of text. */
export function shown(answer: RespValue): string {
  if ('items' in answer) return `${answer.kind}[${answer.items.map(shown).join(' ')}]`
  return `${answer.kind}${answer.text === null ? '' : JSON.stringify(answer.text.toString('latin1'))}`
}
