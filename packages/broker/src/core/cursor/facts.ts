/**
 * What a cursor writes into the journal. Written to disk: never renumber, and give what changes its form a new number: a byte for a
 * version would be a fifth of most facts.
 *
 * Numbers are unsigned, seven bits in a byte, low ones first. Ranges fill the payload up to its end, ascending and apart:
 *
 *   2 * (first - previous last - 1) + (1 when longer than one)  [length - 2]
 *
 * where the first range counts from the cursor's floor, so that an acknowledgement is mostly one byte.
 */
export const cursorFacts = {
  /** stream, start */
  opened: 1,
  /** kind (0 session, 1 lasting), then the name in UTF-8. The consumer's id is the next one. */
  joined: 2,
  /** consumer, how (`returnedHow`): it is gone, and what it holds is returned. */
  left: 3,
  /** consumer, deadline in milliseconds since 1970 (0: none), ranges */
  acquired: 4,
  /** ranges */
  acked: 5,
  /** reason (`dropReasons`), ranges */
  dropped: 6,
  /** how (`returnedHow`), ranges */
  returned: 7,
  /** deadline, ranges */
  extended: 8,
  /** offset */
  moved: 9,
  /** The broker has started: session consumers are gone, what they held is returned. */
  restarted: 10,
  /** end: what is ready below it is returned from now on, without having been delivered. */
  surfaced: 11,
} as const

/** `uncounted` takes the delivery back; `expired` is counted, and says that nobody asked for it. */
export const returnedHow = { counted: 0, uncounted: 1, expired: 2 } as const
export type ReturnedHow = keyof typeof returnedHow

export const consumerKinds = ['session', 'lasting'] as const

/** Ranges in one fact are no more than these bytes: the rest goes into another. */
const rangeBytesMax = 1 << 18
const numberBytesMax = 8
/** What four digits of seven bits can count to. */
const fourDigits = 2 ** 28

/** Builds payloads in one buffer. What `take` gives is valid until the next `begin`. */
class FactWriter {
  readonly #bytes = Buffer.alloc(rangeBytesMax + 64 * 1024 + 64)
  /** Made once for each short length. */
  readonly #views: Buffer[] = []
  #at = 0
  #previous = -1
  #first = -1
  #last = -1
  count = 0

  begin(): void {
    this.#at = 0
    this.#first = this.#last = -1
    this.count = 0
  }

  number(value: number): void {
    const bytes = this.#bytes
    let left = value
    // Four digits at a time as an integer: divisions of doubles are slow.
    while (left > 0x7fff_ffff) {
      const low = left % fourDigits
      left = (left - low) / fourDigits
      bytes[this.#at++] = low | 0x80
      bytes[this.#at++] = (low >>> 7) | 0x80
      bytes[this.#at++] = (low >>> 14) | 0x80
      bytes[this.#at++] = (low >>> 21) | 0x80
    }
    for (; left > 0x7f; left >>>= 7) bytes[this.#at++] = left | 0x80
    bytes[this.#at++] = left
  }

  text(value: string): void {
    this.#at += this.#bytes.write(value, this.#at)
  }

  /** Ranges follow; the first counts from `floor`. */
  ranges(floor: number): void {
    this.#previous = floor - 1
  }

  /** Adds [first, last], which lies above those before; neighbours become one range. */
  range(first: number, last: number): void {
    this.count += last - first + 1
    if (first === this.#last + 1 && this.#first >= 0) {
      this.#last = last
      return
    }
    this.#flush()
    this.#first = first
    this.#last = last
  }

  get full(): boolean {
    return this.#at > rangeBytesMax - 4 * numberBytesMax
  }

  take(): Buffer {
    this.#flush()
    const length = this.#at
    if (length >= 32) return this.#bytes.subarray(0, length)
    return (this.#views[length] ??= this.#bytes.subarray(0, length))
  }

  #flush(): void {
    if (this.#first < 0) return
    const gap = this.#first - this.#previous - 1
    const length = this.#last - this.#first + 1
    this.number(2 * gap + (length > 1 ? 1 : 0))
    if (length > 1) this.number(length - 2)
    this.#previous = this.#last
    this.#first = -1
  }
}

/** One for all cursors: a fact is written within one call. */
export const factWriter = new FactWriter()

/** Reads what `FactWriter` wrote. */
export class FactReader {
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  first = -1
  last = -1

  begin(payload: Buffer): void {
    this.#bytes = payload
    this.#at = 0
  }

  number(): number {
    const bytes = this.#bytes
    let value = bytes[this.#at++]!
    if (value < 0x80) return value
    value &= 0x7f
    for (let scale = 128; ; scale *= 128) {
      const byte = bytes[this.#at++]
      if (byte === undefined) throw new Error('A fact of a cursor ends within a number')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }

  text(): string {
    return this.#bytes.toString('utf8', this.#at)
  }

  ranges(floor: number): void {
    this.last = floor - 1
  }

  /** Moves to the next range, in `first` and `last`; false at the end. */
  next(): boolean {
    if (this.#at >= this.#bytes.length) return false
    const head = this.number()
    this.first = this.last + 1 + Math.floor(head / 2)
    this.last = this.first + (head % 2 === 1 ? this.number() + 1 : 0)
    return true
  }
}
