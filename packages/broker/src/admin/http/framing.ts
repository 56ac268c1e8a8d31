import { ByteQueue, ProtocolError } from '@dragoman/wire'
import type { Decoder, ProtocolLimits } from '../../protocols/protocol.ts'
import type { Request } from './message.ts'

/** A request comes in two packets: its head, and its body as soon as that is whole. */
export type Packet =
  | { readonly kind: 'head'; readonly request: Request }
  | { readonly kind: 'body'; readonly body: Buffer }
  /** What came is no request, and nothing behind it can be one. */
  | { readonly kind: 'broken'; readonly status: number; readonly reason: string }

const lineBytesMax = 8192
const headersMax = 100
const headBytesMax = 32 * 1024
const chunkLineBytesMax = 256

type State =
  | { kind: 'start' }
  | { kind: 'headers'; line: StartLine; headers: Map<string, string>; count: number; bytes: number }
  | { kind: 'body'; left: number }
  | { kind: 'chunk-size' }
  | { kind: 'chunk'; left: number }
  | { kind: 'chunk-end' }
  | { kind: 'trailers'; count: number }
  | { kind: 'broken' }

interface StartLine {
  readonly method: string
  readonly target: string
  /** Of HTTP/1.x. */
  readonly minor: number
}

class Broken extends Error {
  readonly status: number
  constructor(status: number, reason: string) {
    super(reason)
    this.status = status
  }
}

/**
 * Cuts requests of HTTP/1.1 (RFC 9112) out of what a client sends. A body may have as many bytes as `limits.frameBytesMax` says at the time at
 * which they come.
 */
export class RequestDecoder implements Decoder<Packet> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax'>
  readonly #bytes = new ByteQueue()
  #state: State = { kind: 'start' }
  #parts: Buffer[] = []
  #bodyBytes = 0

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax'>) {
    this.#limits = limits
  }

  get pendingBytes(): number {
    const { kind } = this.#state
    const isBetween = kind === 'start' || kind === 'broken'
    return isBetween ? this.#bytes.length : this.#bytes.length + this.#bodyBytes + 1
  }

  push(chunk: Buffer, packet: (packet: Packet) => void): void {
    if (this.#state.kind === 'broken') return
    this.#bytes.feed(chunk, () => {
      try {
        while (this.#step(packet));
      } catch (error) {
        const status = error instanceof Broken ? error.status : 400
        if (!(error instanceof Broken || error instanceof ProtocolError)) throw error
        this.#state = { kind: 'broken' }
        this.#parts = []
        this.#bytes.skip(this.#bytes.length)
        packet({ kind: 'broken', status, reason: error.message })
      }
    })
  }

  /** False: more bytes are needed. */
  #step(packet: (packet: Packet) => void): boolean {
    const state = this.#state
    switch (state.kind) {
      case 'start':
        return this.#start()
      case 'headers':
        return this.#header(state, packet)
      case 'body':
      case 'chunk':
        return this.#take(state, packet)
      case 'chunk-size':
        return this.#chunkSize()
      case 'chunk-end': {
        const line = this.#bytes.line(chunkLineBytesMax)
        if (line === undefined) return false
        if (line.length > 0) throw new Broken(400, 'a chunk is longer than it says')
        this.#state = { kind: 'chunk-size' }
        return true
      }
      case 'trailers':
        return this.#trailer(state, packet)
      case 'broken':
        return false
    }
  }

  #start(): boolean {
    const line = this.#line(414, 'the first line of the request is too long')
    if (line === undefined) return false
    // A line end that belongs to nothing is passed over. [RFC 9112, 2.2]
    if (line === '') return true
    const [method = '', target = '', version = '', ...rest] = line.split(' ')
    if (!token.test(method) || target === '' || rest.length > 0 || !/^HTTP\/\d\.\d$/.test(version)) {
      throw new Broken(400, 'what came is no request of HTTP')
    }
    if (!version.startsWith('HTTP/1.')) throw new Broken(505, `${version} is not spoken here, HTTP/1.1 is`)
    this.#state = {
      kind: 'headers',
      line: { method, target, minor: Number(version.slice(-1)) },
      headers: new Map(),
      count: 0,
      bytes: line.length,
    }
    return true
  }

  #header(state: State & { kind: 'headers' }, packet: (packet: Packet) => void): boolean {
    const line = this.#line(431, 'a header is too long')
    if (line === undefined) return false
    if (line === '') {
      this.#head(state, packet)
      return true
    }
    state.bytes += line.length
    if (++state.count > headersMax || state.bytes > headBytesMax) throw new Broken(431, 'there are too many headers')
    const [name, value] = readHeader(line)
    const before = state.headers.get(name)
    state.headers.set(name, before === undefined ? value : `${before}, ${value}`)
    return true
  }

  #head({ line, headers }: State & { kind: 'headers' }, packet: (packet: Packet) => void): void {
    const bodyBytes = bodyBytesOf(headers)
    if (line.minor > 0 && !headers.has('host')) throw new Broken(400, 'the request names no host')
    const connection = (headers.get('connection') ?? '').toLowerCase()
    const keepsAlive = line.minor > 0 ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection)
    const expects = headers.get('expect')?.toLowerCase()
    if (expects !== undefined && expects !== '100-continue') throw new Broken(417, 'only 100-continue can be expected')
    this.#state = bodyBytes === undefined ? { kind: 'chunk-size' } : { kind: 'body', left: bodyBytes }
    const expectsContinue = expects !== undefined && line.minor > 0 && bodyBytes !== 0
    const { method, target } = line
    packet({ kind: 'head', request: { method, target, headers, bodyBytes, keepsAlive, expectsContinue } })
    if (bodyBytes === 0) this.#end(packet)
  }

  #take(state: State & { kind: 'body' | 'chunk' }, packet: (packet: Packet) => void): boolean {
    const part = this.#bytes.take(Math.min(this.#bytes.length, state.left))
    if (part === undefined || part.length === 0) return false
    this.#bodyBytes += part.length
    if (this.#bodyBytes > this.#limits.frameBytesMax) throw new Broken(413, 'the body of the request is too large')
    this.#parts.push(Buffer.from(part))
    state.left -= part.length
    if (state.left > 0) return false
    if (state.kind === 'chunk') this.#state = { kind: 'chunk-end' }
    else this.#end(packet)
    return true
  }

  #chunkSize(): boolean {
    const line = this.#bytes.line(chunkLineBytesMax)?.toString('latin1')
    if (line === undefined) return false
    const [, size] = /^([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?$/.exec(line) ?? []
    if (size === undefined) throw new Broken(400, 'the size of a chunk is no number')
    const left = Number.parseInt(size, 16)
    this.#state = left === 0 ? { kind: 'trailers', count: 0 } : { kind: 'chunk', left }
    return true
  }

  #trailer(state: State & { kind: 'trailers' }, packet: (packet: Packet) => void): boolean {
    const line = this.#line(431, 'a header is too long')
    if (line === undefined) return false
    if (line === '') this.#end(packet)
    else if (++state.count > headersMax) throw new Broken(431, 'there are too many headers')
    return true
  }

  #end(packet: (packet: Packet) => void): void {
    const body = Buffer.concat(this.#parts)
    this.#state = { kind: 'start' }
    this.#parts = []
    this.#bodyBytes = 0
    packet({ kind: 'body', body })
  }

  #line(status: number, problem: string): string | undefined {
    try {
      return this.#bytes.line(lineBytesMax)?.toString('latin1')
    } catch (error) {
      if (error instanceof ProtocolError) throw new Broken(status, problem)
      throw error
    }
  }
}

/** [RFC 9110, 5.6.2] */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

function readHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  const name = line.slice(0, Math.max(0, colon))
  const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')
  // oxlint-disable-next-line no-control-regex -- what a header cannot hold.
  if (!token.test(name) || /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    throw new Broken(400, 'a header is malformed')
  return [name.toLowerCase(), value]
}

/** Undefined: the body comes in chunks. Two ways to tell its length could be read in two ways. [RFC 9112, 6.3] */
function bodyBytesOf(headers: ReadonlyMap<string, string>): number | undefined {
  const coding = headers.get('transfer-encoding')
  const length = headers.get('content-length')
  if (coding !== undefined) {
    if (length !== undefined) throw new Broken(400, 'the length of the body is told in two ways')
    if (coding.toLowerCase() !== 'chunked') throw new Broken(501, 'the body can only come as it is, or chunked')
    return undefined
  }
  if (length === undefined) return 0
  if (!/^\d{1,15}$/.test(length)) throw new Broken(400, 'the length of the body is no number')
  return Number(length)
}
