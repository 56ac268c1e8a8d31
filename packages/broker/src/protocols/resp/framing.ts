import type { Decoder, ProtocolLimits } from '../protocol.ts'
import { splitInline } from './inline.ts'

/** A command as it came: its name, then its arguments. They lie in the bytes that are read next. */
export type Command = readonly Buffer[]

/** All commands of one chunk; and what was wrong with the bytes behind them, after which nothing more is taken. */
export interface Packet {
  readonly commands: readonly Command[]
  readonly problem: string | undefined
}

/** A line that announces something, or that is a command by itself. [networking.c, PROTO_INLINE_MAX_SIZE] */
const lineBytesMax = 64 * 1024
/** Parts of one command. */
const partsMax = 1024 * 1024
const bulkBytesMax = 512 * 1024 * 1024
/** Who has not said who they are sends no more than this. */
export const strangerBytesMax = 16 * 1024
const strangerPartsMax = 10
/** What announces more gets its buffer in steps, so that an announcement alone costs nothing. */
const firstBytesMax = 64 * 1024
/** Commands that are handed on together. */
const commandsMax = 4096

const lf = 10
const cr = 13
const star = 42
const dollar = 36
const zero = 48
const minus = 45

/** Cuts commands out of what a client sends: arrays of bulk strings, or lines of words. */
export class CommandDecoder implements Decoder<Packet> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax'>
  /** The beginning of a line. */
  #held: Buffer = nothing
  /** Of a command that is not whole: parts that are still to come, and those that are there. 0: none has begun. */
  #left = 0
  #parts: Buffer[] = []
  /** Where in the present chunk the first part of `#parts` is that lies in it: those before are copies. */
  #ownFrom = 0
  #partBytes = 0
  /** Of the part that comes in pieces. -1: none does. */
  #bulkBytes = -1
  #bulk: Buffer = nothing
  #filled = 0
  #isBroken = false

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax'>) {
    this.#limits = limits
  }

  get pendingBytes(): number {
    return this.#held.length + this.#partBytes + this.#filled + (this.#left > 0 ? 1 : 0)
  }

  push(chunk: Buffer, packet: (packet: Packet) => void): void {
    if (this.#isBroken) return
    let bytes = chunk
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, chunk])
      this.#held = nothing
    }
    this.#ownFrom = this.#parts.length
    let commands: Command[] = []
    let problem: string | undefined
    let at = 0
    while (at < bytes.length) {
      const next = this.#step(bytes, at, commands)
      if (typeof next === 'string') {
        problem = next
        this.#isBroken = true
        break
      }
      if (next < 0) {
        if (at < bytes.length) this.#held = Buffer.from(bytes.subarray(at))
        break
      }
      at = next
      if (commands.length < commandsMax) continue
      packet({ commands, problem })
      commands = []
    }
    if (commands.length > 0 || problem !== undefined) packet({ commands, problem })
    // What lies in the chunk is gone when this returns.
    for (let index = this.#ownFrom; index < this.#parts.length; index++) {
      this.#parts[index] = Buffer.from(this.#parts[index]!)
    }
  }

  /** Takes what it can from `at` on. Returns where the next step begins, -1 when more is needed, or what is wrong. */
  #step(bytes: Buffer, at: number, commands: Command[]): number | string {
    if (this.#bulkBytes >= 0) return this.#fill(bytes, at, commands)
    if (this.#left > 0) return this.#bulkHead(bytes, at, commands)
    if (bytes[at] === star) return this.#arrayHead(bytes, at)
    return this.#inline(bytes, at, commands)
  }

  /** Where the line ends that begins at `at`: at its LF. -1: not here. */
  #lineEnd(bytes: Buffer, at: number): number {
    // Announcements are short: a loop is faster than a call.
    const near = Math.min(bytes.length, at + 24)
    for (let index = at; index < near; index++) if (bytes[index] === lf) return index
    return near === bytes.length ? -1 : bytes.indexOf(lf, near)
  }

  #arrayHead(bytes: Buffer, at: number): number | string {
    const end = this.#lineEnd(bytes, at)
    if (end < 0) return bytes.length - at > lineBytesMax ? 'too big mbulk count string' : -1
    const count = readNumber(bytes, at + 1, end)
    if (Number.isNaN(count) || count > partsMax) return 'invalid multibulk length'
    if (count > strangerPartsMax && this.#isStranger) return 'unauthenticated multibulk length'
    if (count > 0) {
      this.#left = count
      this.#parts = []
      this.#ownFrom = 0
      this.#partBytes = 0
    }
    return end + 1
  }

  #bulkHead(bytes: Buffer, at: number, commands: Command[]): number | string {
    const end = this.#lineEnd(bytes, at)
    if (end < 0) return bytes.length - at > lineBytesMax ? 'too big bulk count string' : -1
    if (bytes[at] !== dollar) return `expected '$', got '${printable(bytes[at]!)}'`
    const size = readNumber(bytes, at + 1, end)
    if (Number.isNaN(size) || size < 0 || size > bulkBytesMax) return 'invalid bulk length'
    if (size > strangerBytesMax && this.#isStranger) return 'unauthenticated bulk length'
    if (this.#partBytes + size > this.#limits.frameBytesMax) return 'invalid bulk length'
    const from = end + 1
    if (from + size + 2 <= bytes.length) {
      this.#whole(bytes.subarray(from, from + size), commands)
      return from + size + 2
    }
    this.#bulkBytes = size + 2
    this.#filled = 0
    this.#bulk = nothing
    return from
  }

  get #isStranger(): boolean {
    return this.#limits.frameBytesMax <= strangerBytesMax
  }

  /** A part that comes in several chunks, with its end. */
  #fill(bytes: Buffer, at: number, commands: Command[]): number {
    const count = Math.min(this.#bulkBytes - this.#filled, bytes.length - at)
    const needed = this.#filled + count
    if (needed > this.#bulk.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#bulkBytes, Math.max(firstBytesMax, needed * 2)))
      this.#bulk.copy(grown, 0, 0, this.#filled)
      this.#bulk = grown
    }
    bytes.copy(this.#bulk, this.#filled, at, at + count)
    this.#filled = needed
    if (needed === this.#bulkBytes) {
      const part = this.#bulk.subarray(0, needed - 2)
      this.#bulkBytes = -1
      this.#filled = 0
      this.#bulk = nothing
      this.#whole(part, commands)
    }
    return at + count
  }

  #whole(part: Buffer, commands: Command[]): void {
    this.#parts.push(part)
    this.#partBytes += part.length
    if (--this.#left > 0) return
    commands.push(this.#parts)
    this.#parts = []
    this.#ownFrom = 0
    this.#partBytes = 0
  }

  #inline(bytes: Buffer, at: number, commands: Command[]): number | string {
    const end = bytes.indexOf(lf, at)
    if ((end < 0 ? bytes.length : end) - at > lineBytesMax) return 'too big inline request'
    if (end < 0) return -1
    const words = splitInline(bytes.subarray(at, end > at && bytes[end - 1] === cr ? end - 1 : end))
    if (!words) return 'unbalanced quotes in request'
    if (words.length > strangerPartsMax && this.#isStranger) return 'unauthenticated multibulk length'
    if (words.length > 0) commands.push(words)
    return end + 1
  }
}

/** The number in bytes [from, to), of which the last may be a CR; NaN when it is none. */
function readNumber(bytes: Buffer, from: number, to: number): number {
  const end = to > from && bytes[to - 1] === cr ? to - 1 : to
  let at = from
  const isNegative = bytes[at] === minus
  if (isNegative) at++
  if (at === end || end - at > 15) return NaN
  let value = 0
  for (; at < end; at++) {
    const digit = bytes[at]! - zero
    if (digit < 0 || digit > 9) return NaN
    value = value * 10 + digit
  }
  return isNegative ? -value : value
}

const printable = (byte: number): string => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '?')

const nothing = Buffer.alloc(0)
