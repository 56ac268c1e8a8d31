import type { Decoder, ProtocolLimits } from '../protocol.ts'
import { commands, crlf, parseCommand, type AnswerName, type Command } from './messages.ts'

/** A command, or what was wrong with the bytes: that is answered in its turn. */
export type Packet = Command | { problem: AnswerName }

/** A line with its end; longer ones are malformed. [protocol.txt] */
const lineBytesMax = 224
/** A body that announces more gets its buffer in steps, so that an announcement alone costs nothing. */
const firstBodyBytesMax = 64 * 1024

type State =
  | { kind: 'line' }
  /** The rest of a line that is too long. */
  | { kind: 'overlong' }
  | { kind: 'body'; command: Command; size: number; bytes: Buffer; filled: number }
  /** Bytes of no use, and what is answered behind them. */
  | { kind: 'skip'; left: number; problem: AnswerName }

/** Cuts commands out of what a client sends. Nothing that comes is a reason to close. */
export class CommandDecoder implements Decoder<Packet> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax' | 'jobBytesMax'>
  #state: State = { kind: 'line' }
  /** The beginning of a line, or the CR at the end of what was left out. */
  #held = Buffer.alloc(0)

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax' | 'jobBytesMax'>) {
    this.#limits = limits
  }

  get #jobBytesMax(): number {
    const { frameBytesMax, jobBytesMax = frameBytesMax } = this.#limits
    return Math.min(frameBytesMax, jobBytesMax)
  }

  get pendingBytes(): number {
    const state = this.#state
    if (state.kind === 'body') return state.filled + 1
    return this.#held.length + (state.kind === 'line' ? 0 : 1)
  }

  push(chunk: Buffer, packet: (packet: Packet) => void): void {
    let bytes = chunk
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, chunk])
      this.#held = Buffer.alloc(0)
    }
    for (let at = 0; at < bytes.length;) {
      const next = this.#step(bytes, at, packet)
      if (next < 0) {
        this.#held = Buffer.from(bytes.subarray(at))
        return
      }
      at = next
    }
  }

  /** Takes what it can from `at` on; returns where the next step begins, or -1 when more is needed. */
  #step(bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    const state = this.#state
    switch (state.kind) {
      case 'line':
        return this.#line(bytes, at, packet)
      case 'overlong': {
        const end = bytes.indexOf(crlf, at)
        if (end < 0) {
          // A CR may be the first half of the end.
          const keeps = bytes[bytes.length - 1] === crlf[0]
          return keeps && at === bytes.length - 1 ? -1 : bytes.length - (keeps ? 1 : 0)
        }
        this.#state = { kind: 'line' }
        packet({ problem: 'BAD_FORMAT' })
        return end + crlf.length
      }
      case 'skip': {
        const count = Math.min(state.left, bytes.length - at)
        state.left -= count
        if (state.left === 0) {
          this.#state = { kind: 'line' }
          packet({ problem: state.problem })
        }
        return at + count
      }
      case 'body':
        return this.#body(state, bytes, at, packet)
    }
  }

  #line(bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    const limit = Math.min(bytes.length, at + lineBytesMax)
    const end = endOfLine(bytes, at, limit)
    if (end < 0) {
      if (limit - at < lineBytesMax) return -1
      this.#state = { kind: 'overlong' }
      return limit - (bytes[limit - 1] === crlf[0] ? 1 : 0)
    }
    const next = end + crlf.length
    const line = bytes.toString('latin1', at, end)
    const command = parseCommand(line)
    if (typeof command !== 'string' && command.name === 'put') return this.#begin(command, next)
    if (typeof command === 'string') {
      const size = command === 'BAD_FORMAT' ? sizeOfTooBig(line, this.#jobBytesMax) : undefined
      if (size === undefined) packet({ problem: command })
      else this.#state = { kind: 'skip', left: size + crlf.length, problem: 'JOB_TOO_BIG' }
    } else packet(command)
    return next
  }

  #begin(command: Command, next: number): number {
    const size = command.numbers.at(-1) ?? 0
    if (size > this.#jobBytesMax) {
      this.#state = { kind: 'skip', left: size + crlf.length, problem: 'JOB_TOO_BIG' }
    } else {
      this.#state = { kind: 'body', command, size: size + crlf.length, bytes: nothing, filled: 0 }
    }
    return next
  }

  #body(state: State & { kind: 'body' }, bytes: Buffer, at: number, packet: (packet: Packet) => void): number {
    const count = Math.min(state.size - state.filled, bytes.length - at)
    const end = at + count
    if (state.filled === 0 && count === state.size) {
      this.#whole(state.command, bytes, at, end, packet)
      return end
    }
    const needed = state.filled + count
    if (needed > state.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(state.size, Math.max(firstBodyBytesMax, needed * 2)))
      state.bytes.copy(grown, 0, 0, state.filled)
      state.bytes = grown
    }
    bytes.copy(state.bytes, state.filled, at, end)
    state.filled = needed
    if (needed === state.size) this.#whole(state.command, state.bytes, 0, needed, packet)
    return end
  }

  /** Body and end of line lie in [from, to). */
  #whole(command: Command, bytes: Buffer, from: number, to: number, packet: (packet: Packet) => void): void {
    this.#state = { kind: 'line' }
    const end = to - crlf.length
    if (bytes[end] !== crlf[0] || bytes[end + 1] !== crlf[1]) return packet({ problem: 'EXPECTED_CRLF' })
    command.body = bytes.subarray(from, end)
    packet(command)
  }
}

const nothing = Buffer.alloc(0)

/** Where the first CR LF of [at, limit) is; -1 when there is none. For short lines faster than a call out of JavaScript. */
function endOfLine(bytes: Buffer, at: number, limit: number): number {
  const [cr, lf] = crlf
  for (let index = at + 1; index < limit; index++) if (bytes[index] === lf && bytes[index - 1] === cr) return index - 1
  return -1
}

/** The size of a job that is too big, where the line goes on behind it: that it is too big is noticed first. */
function sizeOfTooBig(line: string, jobBytesMax: number): number | undefined {
  const { prefix } = commands.put
  if (!line.startsWith(prefix)) return undefined
  const found = /^ *(\d+) +(\d+) +(\d+) +(\d+)/.exec(line.slice(prefix.length))
  const numbers = found?.slice(1).map(Number)
  if (!numbers || numbers.some(number => number > 2 ** 32 - 1)) return undefined
  const size = numbers[3] ?? 0
  return size > jobBytesMax ? size : undefined
}
