import { isUtf8 } from 'node:buffer'
import type { Address, Connection, ConnectionTls } from '../../runtime/runtime.ts'
import { closeCodes, closeFrame, frameHeader, FrameReader, opcodes, type FrameEvents } from './frames.ts'
import { answerHandshake, headBytesMax, headEnd, opening, refuse, type HandshakeRules } from './handshake.ts'

type Handlers = Parameters<Connection['handle']>[0]

type State =
  /** Too few bytes have come to tell. */
  | 'unknown'
  /** The peer speaks the protocol itself: bytes pass as they are. */
  | 'plain'
  /** The request for WebSocket is not whole yet. */
  | 'opening'
  | 'framed'
  /** The last frame is sent, or the request refused. */
  | 'ending'

/**
 * A connection whose peer may speak its protocol plainly or by WebSocket, which its first bytes tell. Whoever uses it sees the protocol's bytes
 * alone.
 *
 *   unknown --> plain
 *          `--> opening --> framed --> ending
 */
export class WebSocketConnection implements Connection, FrameEvents {
  readonly remote: Address
  readonly tls: ConnectionTls | undefined
  readonly #inner: Connection
  readonly #rules: HandshakeRules
  readonly #refused: (reason: string) => void
  #handlers!: Handlers
  #state: State = 'unknown'
  #head = Buffer.alloc(0)
  #reader: FrameReader | undefined

  /** `refused` is told why a peer was sent away. */
  constructor(inner: Connection, rules: HandshakeRules, refused: (reason: string) => void) {
    this.remote = inner.remote
    this.tls = inner.tls
    this.#inner = inner
    this.#rules = rules
    this.#refused = refused
  }

  handle(handlers: Handlers): void {
    this.#handlers = handlers
    this.#inner.handle({
      data: chunk => this.#data(chunk),
      ended: () => handlers.ended(),
      drained: () => handlers.drained(),
      closed: error => handlers.closed(error),
    })
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    if (this.#state !== 'framed') return this.#inner.write(parts, written)
    let bytes = 0
    for (const part of parts) bytes += part.length
    if (bytes === 0) return this.#inner.write(parts, written)
    const isText = this.#rules.frames === 'text' && isUtf8(parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes))
    this.#inner.write([frameHeader(isText ? opcodes.text : opcodes.binary, bytes), ...parts], written)
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  end(): void {
    if (this.#state === 'framed') this.#inner.write([closeFrame(closeCodes.normal, '')])
    this.#state = 'ending'
    this.#inner.end()
  }

  destroy(): void {
    this.#inner.destroy()
  }

  data(bytes: Buffer): void {
    if (this.#state === 'framed') this.#handlers.data(bytes)
  }

  ping(payload: Buffer): void {
    if (this.#state === 'framed') this.#inner.write([frameHeader(opcodes.pong, payload.length), payload])
  }

  /** What it asked for is still answered, and then the same frame. */
  closed(): void {
    if (this.#state === 'framed') this.#handlers.ended()
  }

  broken(code: number, reason: string): void {
    this.#refused(reason)
    if (this.#state === 'framed') this.#inner.write([closeFrame(code, reason)])
    this.#state = 'ending'
    this.#inner.end()
  }

  #data(chunk: Buffer): void {
    if (this.#state === 'plain') this.#handlers.data(chunk)
    else if (this.#state === 'framed') this.#reader?.push(chunk)
    else if (this.#state !== 'ending') this.#begin(chunk)
  }

  #begin(chunk: Buffer): void {
    const head = (this.#head = this.#head.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#head, chunk]))
    if (this.#state === 'unknown') {
      const count = Math.min(head.length, opening.length)
      if (head.compare(opening, 0, count, 0, count) !== 0) {
        this.#state = 'plain'
        this.#head = Buffer.alloc(0)
        return this.#handlers.data(head)
      }
      if (count < opening.length) return
      this.#state = 'opening'
    }
    const end = head.indexOf(headEnd)
    if (end < 0 && head.length <= headBytesMax) return
    const answer =
      end < 0 || end > headBytesMax
        ? refuse(431, 'Request Header Fields Too Large', `A request has at most ${headBytesMax} bytes.`)
        : answerHandshake(head.subarray(0, end), this.#rules)
    this.#head = Buffer.alloc(0)
    this.#inner.write([answer.bytes])
    if (answer.accepted) return this.#frame(head.subarray(end + headEnd.length))
    this.#refused(answer.reason ?? '')
    this.#state = 'ending'
    this.#inner.end()
  }

  #frame(rest: Buffer): void {
    this.#state = 'framed'
    const reader = (this.#reader = new FrameReader(this, this.#rules.takesText))
    if (rest.length > 0) reader.push(rest)
  }
}
