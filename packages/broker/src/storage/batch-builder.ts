import {
  attributeBits,
  batchHeaderBytes,
  batchLengthOverhead,
  ownHeaderMark,
  sealBatch,
  writeInt64,
  type NewRecord,
} from './record-batch.ts'

/**
 * A record as its batch will have it, but for what depends on its place there: key, value and headers. It is valid during the call in which it
 * was made, as its bytes lie where those of the next one will; what is `kept` of it is valid for ever.
 */
export class RecordBody {
  /** It goes to several streams: what has to be made of it is worth being kept. */
  isShared = false
  readonly timestampMs: number
  readonly bytes: Buffer
  readonly at: number
  readonly length: number
  /** What its batch has to say of it in its attributes. */
  readonly attributes: number
  #alone: Buffer | undefined
  #kept: RecordBody | undefined

  constructor(bytes: Buffer, at: number, length: number, timestampMs: number, attributes: number) {
    this.bytes = bytes
    this.at = at
    this.length = length
    this.timestampMs = timestampMs
    this.attributes = attributes
  }

  /** Of `alone`. */
  get aloneBytes(): number {
    const record = 3 + this.length
    return batchHeaderBytes + varintBytes(record) + record
  }

  /** A batch of this record alone, made once: base offset and epoch are all that differs from stream to stream. */
  get alone(): Buffer {
    return (this.#alone ??= aloneOf(this))
  }

  /** The same with bytes of its own. */
  get kept(): RecordBody {
    if (this.#kept) return this.#kept
    const { alone, length, timestampMs, attributes } = this
    const kept = new RecordBody(alone, alone.length - length, length, timestampMs, attributes)
    kept.#alone = alone
    kept.#kept = kept
    return (this.#kept = kept)
  }
}

/** Bodies lie one behind the other, until `releaseBodies` says that nobody uses them any more. */
const chunkBytes = 64 * 1024
let chunk: Buffer = Buffer.allocUnsafeSlow(chunkBytes)
let chunkAt = 0

/** No body that was made before is used any more. Of no effect but that memory is used again. */
export function releaseBodies(): void {
  chunkAt = 0
}

/** Encodes the record; its bytes are copied. */
export function bodyOf({ key = null, value, headers = noHeaders, timestampMs }: NewRecord): RecordBody {
  let length = sizeOf(key) + sizeOf(value) + varintBytes(headers.length)
  for (const header of headers) {
    const nameBytes = textBytes(header.key)
    length += varintBytes(nameBytes) + nameBytes + sizeOf(header.value)
  }
  const [bytes, first] = length > chunkBytes / 4 ? [Buffer.allocUnsafeSlow(length), 0] : place(length)
  let at = writeBytes(bytes, writeBytes(bytes, first, key), value)
  at = writeVarint(bytes, at, headers.length)
  for (const header of headers) {
    const nameBytes = textBytes(header.key)
    at = writeText(bytes, writeVarint(bytes, at, nameBytes), header.key, nameBytes)
    at = writeBytes(bytes, at, header.value)
  }
  const hasOwn = headers[0]?.key.startsWith(ownHeaderMark) === true
  return new RecordBody(bytes, first, length, timestampMs, hasOwn ? attributeBits.ownHeaders : 0)
}

function place(length: number): [Buffer, number] {
  if (chunkAt + length > chunkBytes) {
    // Those that are still used have the old one.
    chunk = Buffer.allocUnsafeSlow(chunkBytes)
    chunkAt = 0
  }
  const first = chunkAt
  chunkAt += length
  return [chunk, first]
}

const noHeaders: NonNullable<NewRecord['headers']> = []

function aloneOf(body: RecordBody): Buffer {
  const builder = body.length < smallBytes ? smallBuilder : new BatchBuilder(smallBytes + body.length)
  builder.add(body)
  const out = Buffer.allocUnsafe(builder.size)
  builder.take(out, 0)
  return out
}

/** The most that a record has besides its body: three numbers and its attributes. */
const recordBytesMax = 5 + 1 + 9 + 5

/** One uncompressed batch while its records come in. */
export class BatchBuilder {
  count = 0
  /** Of the whole batch so far. */
  size = batchHeaderBytes
  #bytes: Buffer
  #attributes = 0
  #baseMs = 0
  #newestMs = 0

  constructor(bytes = 4096) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes)
  }

  add({ bytes, at: from, length, timestampMs, attributes }: RecordBody): void {
    this.#attributes |= attributes
    if (this.count === 0) this.#baseMs = this.#newestMs = timestampMs
    else if (timestampMs > this.#newestMs) this.#newestMs = timestampMs
    if (this.size + length + recordBytesMax > this.#bytes.length) this.#grow(this.size + length + recordBytesMax)
    const timeDelta = timestampMs - this.#baseMs
    const whole = 1 + varintBytes(timeDelta) + varintBytes(this.count) + length
    const out = this.#bytes
    let at = writeVarint(out, this.size, whole)
    out[at++] = 0
    at = writeVarint(out, at, timeDelta)
    at = writeVarint(out, at, this.count)
    if (length < copyInline) for (let index = 0; index < length; index++) out[at + index] = bytes[from + index]!
    else bytes.copy(out, at, from, from + length)
    this.size = at + length
    this.count++
  }

  /** Writes the batch, with base offset 0, to `out` at `at`, where there are `size` bytes, and is empty again. */
  take(out: Buffer, at: number): void {
    const bytes = this.#bytes
    bytes.fill(0, 0, batchHeaderBytes)
    bytes.writeInt32BE(this.size - batchLengthOverhead, 8)
    bytes[16] = 2
    bytes.writeInt16BE(this.#attributes, 21)
    bytes.writeInt32BE(this.count - 1, 23)
    writeInt64(bytes, 27, this.#baseMs)
    writeInt64(bytes, 35, this.#newestMs)
    // Producer id, epoch and sequence: none.
    bytes.fill(0xff, 43, 57)
    bytes.writeInt32BE(this.count, 57)
    bytes.copy(out, at, 0, this.size)
    sealBatch(out, at)
    this.count = this.#attributes = 0
    this.size = batchHeaderBytes
  }

  /** Bytes of memory that it holds. */
  get capacity(): number {
    return this.#bytes.length
  }

  #grow(least: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(least, 2 * this.#bytes.length))
    this.#bytes.copy(grown, 0, 0, this.size)
    this.#bytes = grown
  }
}

/** For one batch after the other. */
const smallBytes = 4096
const smallBuilder = new BatchBuilder(smallBytes + batchHeaderBytes + recordBytesMax)

/** Below this length, a loop is faster than a call. */
const copyInline = 48

const sizeOf = (bytes: Uint8Array | null): number => (bytes === null ? 1 : varintBytes(bytes.length) + bytes.length)

function writeBytes(out: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    out[at] = 1 // -1
    return at + 1
  }
  const from = writeVarint(out, at, bytes.length)
  out.set(bytes, from)
  return from + bytes.length
}

/** Names are short, and nearly all ASCII: a loop is faster than a call. */
function textBytes(text: string): number {
  if (text.length > copyInline) return Buffer.byteLength(text)
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text)
  return text.length
}

/** `length`: what `textBytes` says. Returns where it ends. */
function writeText(out: Buffer, at: number, text: string, length: number): number {
  if (length > copyInline || length !== text.length) return at + out.write(text, at)
  for (let index = 0; index < length; index++) out[at + index] = text.charCodeAt(index)
  return at + length
}

/** Bytes of a signed number, seven bits in each. */
function varintBytes(value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  let bytes = 1
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes++
  return bytes
}

/** Returns where it ends. */
function writeVarint(out: Buffer, at: number, value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  let to = at
  for (; left > 0x7f; left = Math.floor(left / 128)) out[to++] = (left % 128) | 0x80
  out[to++] = left
  return to
}
