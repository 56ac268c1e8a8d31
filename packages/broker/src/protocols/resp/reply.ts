/** A buffer is handed over when it is full; larger ones are never made for small answers. */
const firstBytes = 1024
const chunkBytes = 64 * 1024
/** Buffers that were sent and will be used again, of all writers together. */
const spareMax = 64
/** From this length on, bytes are handed over as they are instead of being copied. */
const aloneBytesMin = 8 * 1024

/**
 * Writes answers in the form of RESP2 or RESP3, one behind the other. What a form does not have is written as the nearest thing that it has: maps
 * are lists of names and values in RESP2.
 */
export class ReplyWriter {
  /** 2 or 3. */
  version: 2 | 3 = 2
  /** Nothing is written for as long as it is false: the client does not want to hear it. */
  isOn = true
  /** Answers that were errors. */
  errorCount = 0
  /** Is told of each of them. */
  onError: ((text: string) => void) | undefined
  #parts: Buffer[] = []
  #bytes: Buffer
  #from = 0
  #at = 0
  #partsBytes = 0
  /** Full buffers, of which the last part has not been taken yet; and those that went with what was taken last. */
  #full: Buffer[] = none
  #taken: Buffer[] = none

  constructor(bytes = firstBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes)
  }

  /** Bytes that were not taken yet. */
  get length(): number {
    return this.#partsBytes + this.#at - this.#from
  }

  /** What was written since the last time. It is not changed any more. */
  take(): Buffer[] {
    const parts = this.#parts
    if (this.#at > this.#from) parts.push(this.#bytes.subarray(this.#from, this.#at))
    this.#parts = []
    this.#partsBytes = 0
    this.#from = this.#at
    this.#taken = this.#full
    this.#full = none
    return parts
  }

  /** To be called when all that was taken last has been sent, and nobody else has it: its memory is used again. Undefined where there is none. */
  sent(): (() => void) | undefined {
    const taken = this.#taken
    if (taken.length === 0) return undefined
    this.#taken = none
    return () => {
      for (const bytes of taken) if (spares.length < spareMax) spares.push(bytes)
    }
  }

  /** What `write` writes is wanted in any case. */
  always(write: () => void): void {
    const { isOn } = this
    this.isOn = true
    try {
      write()
    } finally {
      this.isOn = isOn
    }
  }

  simple(text: string): void {
    this.#line(43, text)
  }

  ok(): void {
    this.raw(okBytes)
  }

  /** With its code, without the minus sign: `ERR …`. */
  error(text: string): void {
    this.errorCount++
    this.onError?.(text)
    this.#line(45, text.replaceAll(/[\r\n]/g, ' '))
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0 && value < 1e9) this.#head(58, value)
    else this.#line(58, String(value))
  }

  bulk(value: Uint8Array): void {
    if (!this.isOn) return
    this.#head(36, value.length)
    const { length } = value
    if (length >= aloneBytesMin) this.#alone(value)
    else {
      this.#room(length + 2)
      const bytes = this.#bytes
      let at = this.#at
      if (length < 32) for (let index = 0; index < length; index++) bytes[at + index] = value[index]!
      else bytes.set(value, at)
      at += length
      bytes[at] = 13
      bytes[at + 1] = 10
      this.#at = at + 2
      return
    }
    this.raw(crlf)
  }

  /** In UTF-8. */
  text(value: string): void {
    this.bulk(Buffer.from(value))
  }

  /** Of ASCII alone, and short. */
  word(value: string): void {
    if (!this.isOn) return
    const { length } = value
    this.#head(36, length)
    this.#room(length + 2)
    const bytes = this.#bytes
    let at = this.#at
    for (let index = 0; index < length; index++) bytes[at++] = value.charCodeAt(index)
    bytes[at] = 13
    bytes[at + 1] = 10
    this.#at = at + 2
  }

  /** A character for each byte, as keys are. */
  binary(value: string): void {
    this.bulk(Buffer.from(value, 'latin1'))
  }

  nil(): void {
    this.raw(this.version === 3 ? nil3 : nil2)
  }

  /** Where RESP2 has a list, but there is none. */
  nilArray(): void {
    this.raw(this.version === 3 ? nil3 : nilArray2)
  }

  array(count: number): void {
    this.#head(42, count)
  }

  /** So many names with a value each follow. */
  map(count: number): void {
    if (this.version === 3) this.#head(37, count)
    else this.#head(42, 2 * count)
  }

  set(count: number): void {
    this.#head(this.version === 3 ? 126 : 42, count)
  }

  /** Something that is no answer. */
  push(count: number): void {
    this.#head(this.version === 3 ? 62 : 42, count)
  }

  boolean(value: boolean): void {
    if (this.version === 3) this.#line(35, value ? 't' : 'f')
    else this.integer(value ? 1 : 0)
  }

  double(value: number): void {
    if (this.version === 3) this.#line(44, String(value))
    else this.text(String(value))
  }

  /** Text for people. */
  verbatim(text: string): void {
    if (this.version !== 3) return this.text(text)
    this.#line(61, String(Buffer.byteLength(text) + 4))
    this.raw(Buffer.from(`txt:${text}\r\n`))
  }

  /** Whole answers, or parts of one, as they are to leave. They are copied, or must not change when they are large. */
  raw(bytes: Uint8Array): void {
    if (!this.isOn) return
    if (bytes.length >= aloneBytesMin) return this.#alone(bytes)
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #alone(bytes: Uint8Array): void {
    if (this.#at > this.#from) {
      this.#parts.push(this.#bytes.subarray(this.#from, this.#at))
      this.#partsBytes += this.#at - this.#from
      this.#from = this.#at
    }
    this.#parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    this.#partsBytes += bytes.length
  }

  #line(mark: number, text: string): void {
    if (!this.isOn) return
    this.#room(text.length * 3 + 3)
    this.#bytes[this.#at] = mark
    const end = this.#at + 1 + this.#bytes.write(text, this.#at + 1)
    this.#bytes[end] = 13
    this.#bytes[end + 1] = 10
    this.#at = end + 2
  }

  #head(mark: number, value: number): void {
    if (!this.isOn) return
    this.#room(16)
    const bytes = this.#bytes
    let at = this.#at
    bytes[at++] = mark
    if (value < 10) bytes[at++] = 48 + value
    else {
      let digits = 1
      for (let least = 10; least <= value; least *= 10) digits++
      let left = value | 0
      for (let index = at + digits - 1; index >= at; index--) {
        const tenth = (left / 10) | 0
        bytes[index] = 48 + left - 10 * tenth
        left = tenth
      }
      at += digits
    }
    bytes[at] = 13
    bytes[at + 1] = 10
    this.#at = at + 2
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    if (this.#at > this.#from) {
      this.#parts.push(this.#bytes.subarray(this.#from, this.#at))
      this.#partsBytes += this.#at - this.#from
    }
    if (this.#bytes.length === chunkBytes) {
      if (this.#full.length === 0) this.#full = [this.#bytes]
      else this.#full.push(this.#bytes)
    }
    const bytes = Math.max(count, Math.min(chunkBytes, 2 * this.#bytes.length))
    this.#bytes = (bytes === chunkBytes ? spares.pop() : undefined) ?? Buffer.allocUnsafeSlow(bytes)
    this.#from = this.#at = 0
  }
}

const none: Buffer[] = []
const spares: Buffer[] = []

const okBytes = Buffer.from('+OK\r\n')
const crlf = Buffer.from('\r\n')
const nil2 = Buffer.from('$-1\r\n')
const nil3 = Buffer.from('_\r\n')
const nilArray2 = Buffer.from('*-1\r\n')
