import { ProtocolError } from '@dragoman/wire'
import type { Decoder, ProtocolLimits } from '../protocol.ts'

/** A frame whose head is not read yet, as that depends on what was agreed upon; or a sign of life; or what is wrong with the bytes. */
export type Packet =
  | { readonly kind: 'frame'; readonly head: Buffer; readonly body: Buffer }
  | { readonly kind: 'beat' }
  | { readonly kind: 'fault'; readonly problem: string; readonly head: Buffer }

/** Command and headers of one frame. */
export const headBytesMax = 64 * 1024
/** A body that announces more gets its buffer in steps, so that an announcement alone costs nothing. */
const firstBodyBytesMax = 256 * 1024

const [nul, lineFeed, carriageReturn, blank] = [0, 0x0a, 0x0d, 0x20]
const colon = 0x3a
const beat: Packet = { kind: 'beat' }
const noBytes = Buffer.alloc(0)
const lengthName = Buffer.from('\ncontent-length:')

/** A body of which a part has come. */
interface Gathering {
  readonly head: Buffer
  /** -1: it ends with the first NUL. */
  readonly length: number
  bytes: Buffer
  filled: number
}

/**
 * Cuts frames out of what a peer sends. A head ends with an empty line; a body has the length that the head says, or ends with the first NUL. Lines end in
 * LF or CR LF, in all versions. What cannot become a frame is told once, and nothing behind it is looked at.
 */
export class FrameDecoder implements Decoder<Packet> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax'>
  /** The beginning of a head. */
  #held: Buffer = noBytes
  /** So much of it is known to have no end. */
  #searched = 0
  #body: Gathering | undefined
  #isLost = false

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax'>) {
    this.#limits = limits
  }

  get pendingBytes(): number {
    return this.#held.length + (this.#body ? this.#body.filled + 1 : 0)
  }

  push(chunk: Buffer, packet: (packet: Packet) => void): void {
    let count = 0
    const take = (found: Packet): void => {
      count++
      packet(found)
    }
    let bytes = chunk
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, chunk])
      this.#held = noBytes
    }
    try {
      for (let at = 0; at < bytes.length && !this.#isLost;) at = this.#step(bytes, at, take)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#lose(error.message, noBytes, take)
    }
    // Who sends a large frame is alive.
    if (count === 0) packet(beat)
  }

  #lose(problem: string, head: Buffer, packet: (packet: Packet) => void): void {
    this.#isLost = true
    this.#body = undefined
    this.#held = noBytes
    packet({ kind: 'fault', problem, head })
  }

  /** Takes what it can from `at` on; returns where the next step begins. */
  #step(bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    if (this.#body) return this.#more(this.#body, bytes, at, packet)
    const first = bytes[at]
    if (first === lineFeed) return at + 1
    if (first === carriageReturn && (at + 1 === bytes.length || bytes[at + 1] === lineFeed)) {
      if (at + 1 < bytes.length) return at + 2
      return this.#hold(bytes, at, at)
    }
    const from = Math.max(at, at === 0 ? this.#searched : 0)
    const end = headEnd(bytes, from)
    if (end < 0) {
      if (bytes.length - at > headBytesMax) throw tooLong()
      // The last three bytes may be the beginning of the end.
      return this.#hold(bytes, at, Math.max(at, bytes.length - 3))
    }
    if (end - at > headBytesMax) throw tooLong()
    this.#searched = 0
    const head = bytes.subarray(at, end)
    const bodyAt = end + (bytes[end + 1] === lineFeed ? 2 : 3)
    try {
      return this.#beginBody(head, bytes, bodyAt, packet)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#lose(error.message, head, packet)
      return bytes.length
    }
  }

  #hold(bytes: Buffer, at: number, searched: number): number {
    this.#held = Buffer.from(bytes.subarray(at))
    this.#searched = searched - at
    return bytes.length
  }

  #beginBody(head: Buffer, bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    const length = lengthOf(head)
    this.#checkSize(length)
    if (length >= 0 && bytes.length > at + length) {
      checkEnd(bytes, at + length)
      packet({ kind: 'frame', head, body: bytes.subarray(at, at + length) })
      return at + length + 1
    }
    const end = length < 0 ? bytes.indexOf(nul, at) : -1
    if (end >= 0) {
      this.#checkSize(end - at)
      packet({ kind: 'frame', head, body: bytes.subarray(at, end) })
      return end + 1
    }
    const size = length < 0 ? firstBodyBytesMax : Math.min(length, firstBodyBytesMax)
    this.#body = { head: Buffer.from(head), length, bytes: Buffer.allocUnsafeSlow(size), filled: 0 }
    return at
  }

  #more(body: Gathering, bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    const found = body.length < 0 ? bytes.indexOf(nul, at) : -1
    const wanted = body.length >= 0 ? body.length - body.filled : (found < 0 ? bytes.length : found) - at
    const end = Math.min(bytes.length, at + wanted)
    this.#checkSize(body.filled + end - at)
    append(body, bytes, at, end)
    if (end === bytes.length) return end
    try {
      if (body.length >= 0) checkEnd(bytes, end)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#lose(error.message, body.head, packet)
      return bytes.length
    }
    this.#body = undefined
    packet({ kind: 'frame', head: body.head, body: body.bytes.subarray(0, body.filled) })
    return end + 1
  }

  #checkSize(bytes: number): void {
    const { frameBytesMax } = this.#limits
    if (bytes > frameBytesMax) throw new ProtocolError(`A body has at most ${frameBytesMax} bytes`)
  }
}

function append(body: Gathering, bytes: Buffer, at: number, end: number): void {
  const needed = body.filled + end - at
  if (needed > body.bytes.length) {
    const size = body.length < 0 ? needed * 2 : Math.min(body.length, needed * 4)
    const grown = Buffer.allocUnsafeSlow(size)
    body.bytes.copy(grown, 0, 0, body.filled)
    body.bytes = grown
  }
  bytes.copy(body.bytes, body.filled, at, end)
  body.filled = needed
}

/** The end of the last line of the head that begins before `from`: an empty line follows. -1: it has not come. */
function headEnd(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(lineFeed, from); at >= 0; at = bytes.indexOf(lineFeed, at + 1)) {
    const next = bytes[at + 1]
    if (next === lineFeed || (next === carriageReturn && bytes[at + 2] === lineFeed)) return at
  }
  return -1
}

/** What the head says of the length of the body; -1: nothing. */
function lengthOf(head: Buffer): number {
  const found = head.indexOf(lengthName)
  if (found < 0) return -1
  let at = found + lengthName.length
  while (head[at] === blank) at++
  let length = 0
  const from = at
  for (; at < head.length && at - from < 16; at++) {
    const digit = (head[at] ?? 0) - 0x30
    if (digit < 0 || digit > 9) break
    length = length * 10 + digit
  }
  while (head[at] === blank || head[at] === carriageReturn) at++
  if (from === at || (at < head.length && head[at] !== lineFeed) || head[from] === colon) {
    throw new ProtocolError('The content-length of the frame is no number of bytes')
  }
  return length
}

function checkEnd(bytes: Buffer, at: number): void {
  if (bytes[at] !== nul)
    throw new ProtocolError('The body of the frame does not end with NUL where its content-length says')
}

const tooLong = (): ProtocolError =>
  new ProtocolError(`Command and headers of a frame have at most ${headBytesMax} bytes together`)
