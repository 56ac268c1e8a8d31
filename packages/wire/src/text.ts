import { ProtocolError } from './protocol-error.ts'

const lineFeed = 0x0a
const carriageReturn = 0x0d
/** An emptied buffer above this size is given back. */
const keptBytesMax = 64 * 1024

/**
 * The bytes of a text protocol that have come in and are not yet cut into lines and bodies.
 *
 * `feed` adds a chunk and calls `cut`, which takes whole pieces until one of the methods answers undefined: more bytes are needed.
 * Pieces share memory with the chunk and are valid only until `cut` returns. What is left over is copied, so the chunk may be
 * reused afterwards. Bytes already searched for a delimiter are not searched again: a line that arrives byte by byte costs no
 * more than one that arrives whole.
 */
export class ByteQueue {
  /** What is left over between feeds; also the place where a piece in several chunks is put together. */
  #held: Buffer = Buffer.alloc(0)
  #bytes: Buffer = this.#held
  #at = 0
  #end = 0
  /** No delimiter lies between `#at` and here. Goes back to `#at` with every piece taken. */
  #searched = 0
  #delimiter = -1

  /** Bytes that no piece has taken. */
  get length(): number {
    return this.#end - this.#at
  }

  feed(chunk: Buffer, cut: () => void): void {
    this.#append(chunk)
    try {
      cut()
    } finally {
      this.#keep()
    }
  }

  /**
   * The next line without its end, which is LF or CRLF. Longer than `bytesMax` (its end not counted): `ProtocolError`, as soon as
   * that many bytes are there.
   */
  line(bytesMax: number): Buffer | undefined {
    // One more than the line: a CR may stand before the LF.
    const found = this.until(lineFeed, bytesMax + 1)
    if (found === undefined) return undefined
    const whole = found.length > 0 && found[found.length - 1] === carriageReturn ? found.subarray(0, -1) : found
    if (whole.length > bytesMax)
      throw new ProtocolError(`Cannot take a line of ${whole.length} bytes: the limit is ${bytesMax}`)
    return whole
  }

  /** The bytes before the next `delimiter`, which is taken too. More than `bytesMax` of them: `ProtocolError`. */
  until(delimiter: number, bytesMax: number): Buffer | undefined {
    if (this.#delimiter !== delimiter) {
      this.#delimiter = delimiter
      this.#searched = this.#at
    }
    const found = this.#bytes.subarray(this.#searched, this.#end).indexOf(delimiter)
    const end = found === -1 ? this.#end : this.#searched + found
    if (end - this.#at > bytesMax) {
      throw new ProtocolError(`Expected byte ${delimiter} within ${bytesMax} bytes, but ${end - this.#at} have none`)
    }
    this.#searched = end
    if (end === this.#end) return undefined
    const piece = this.#bytes.subarray(this.#at, end)
    this.#moveTo(end + 1)
    return piece
  }

  /** The next `count` bytes, once all of them are there. The caller has checked `count` against its limit. */
  take(count: number): Buffer | undefined {
    if (this.length < count) return undefined
    const piece = this.#bytes.subarray(this.#at, this.#at + count)
    this.#moveTo(this.#at + count)
    return piece
  }

  /** The next byte without taking it. */
  peek(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined
  }

  skip(count: number): void {
    if (count > this.length) throw new RangeError(`Cannot skip ${count} of ${this.length} bytes`)
    this.#moveTo(this.#at + count)
  }

  #moveTo(at: number): void {
    this.#at = at
    this.#searched = at
  }

  #append(chunk: Buffer): void {
    if (this.length === 0) {
      this.#bytes = chunk
      this.#end = chunk.length
      return this.#moveTo(0)
    }
    // Here `#bytes` is `#held`, as every feed ends with that.
    const length = this.length + chunk.length
    if (this.#end + chunk.length > this.#held.length) {
      const target = length > this.#held.length ? Buffer.allocUnsafeSlow(length * 2) : this.#held
      this.#held.copy(target, 0, this.#at, this.#end)
      this.#searched -= this.#at
      this.#at = 0
      this.#held = target
    }
    chunk.copy(this.#held, length - chunk.length + this.#at)
    this.#end = this.#at + length
    this.#bytes = this.#held
  }

  #keep(): void {
    if (this.length === 0) {
      this.#bytes = this.#held = this.#held.length > keptBytesMax ? Buffer.alloc(0) : this.#held
      this.#end = 0
      return this.#moveTo(0)
    }
    if (this.#bytes === this.#held) return
    const { length } = this
    if (length > this.#held.length) this.#held = Buffer.allocUnsafeSlow(length)
    this.#bytes.copy(this.#held, 0, this.#at, this.#end)
    this.#searched -= this.#at
    this.#at = 0
    this.#end = length
    this.#bytes = this.#held
  }
}

/** Cuts a stream into lines that end in LF or CRLF. A line is valid until the callback returns. */
export class LineSplitter {
  readonly #queue = new ByteQueue()
  readonly #lineBytesMax: number

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  push(chunk: Buffer, take: (line: Buffer) => void): void {
    this.#queue.feed(chunk, () => {
      for (
        let line = this.#queue.line(this.#lineBytesMax);
        line !== undefined;
        line = this.#queue.line(this.#lineBytesMax)
      ) {
        take(line)
      }
    })
  }
}

export interface HeaderLimits {
  readonly countMax: number
  /** Of all names and values together. */
  readonly bytesMax: number
}

/** A block of `name:value` lines that ends with an empty line. Names and values are as sent: unescaping is the protocol's. */
export class HeaderBlock {
  readonly entries: [name: string, value: string][] = []
  readonly #limits: HeaderLimits
  #bytes = 0

  constructor(limits: HeaderLimits) {
    this.#limits = limits
  }

  /** Takes a line; true if it was the empty one that ends the block. */
  add(line: Buffer): boolean {
    if (line.length === 0) return true
    const colon = line.indexOf(0x3a)
    if (colon < 1) throw new ProtocolError('Expected a header line of the form name:value')
    this.#bytes += line.length - 1
    if (this.entries.length >= this.#limits.countMax) {
      throw new ProtocolError(`Cannot take more than ${this.#limits.countMax} headers`)
    }
    if (this.#bytes > this.#limits.bytesMax) {
      throw new ProtocolError(`Cannot take more than ${this.#limits.bytesMax} bytes of headers`)
    }
    this.entries.push([line.toString('utf8', 0, colon), line.toString('utf8', colon + 1)])
    return false
  }
}

/**
 * The integer that the whole text is, in decimal digits with a `-` where `low` is negative, from `low` to `high` (both within
 * 2^53). Anything else, also a `+`, a blank or more than 16 digits, is a `ProtocolError` that calls it `what`.
 */
export function parseInteger(text: string | Buffer, low: number, high: number, what = 'number'): number {
  const digits = typeof text === 'string' ? text : text.toString('latin1', 0, 32)
  const value = text.length <= 17 && /^-?\d{1,16}$/.test(digits) ? Number(digits) : NaN
  if (!(value >= low && value <= high)) {
    throw new ProtocolError(
      `Expected ${what} to be an integer from ${low} to ${high}, got ${JSON.stringify(digits.slice(0, 32))}`,
    )
  }
  return value === 0 ? 0 : value // Not -0.
}

/** The words of a line, which single or repeated blanks part. More than `countMax` of them: `ProtocolError`. */
export function splitWords(line: string | Buffer, countMax: number): string[] {
  const words = (typeof line === 'string' ? line : line.toString('utf8')).split(' ').filter(word => word !== '')
  if (words.length > countMax) throw new ProtocolError(`Cannot take a line of more than ${countMax} words`)
  return words
}
