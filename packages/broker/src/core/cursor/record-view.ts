import type { AbortedTransaction } from '../../cell/stream-transactions.ts'
import { BatchRecords } from '../../storage/batch-records.ts'
import * as batches from '../../storage/record-batch.ts'
import { isHidden } from './hidden.ts'
import { envelopeHeader } from '../message.ts'
import { noStamp, readExpiry, readStamp, stampHeader, stampIndex, type Stamp } from '../queues/stamp.ts'

const noBytes = Buffer.alloc(0)
// The names of envelope and stamp, byte by byte.
const tilde = envelopeHeader.charCodeAt(0)
const letterQ = stampHeader.charCodeAt(1)
/** A record has so many of the broker's own headers at the most. */
const ownHeadersMax = 3

/**
 * One stored record where it lies: nothing is made of it before it is asked for. Slices share the bytes of the reader that it
 * came from; it is valid until that reader goes on.
 */
export class RecordView {
  offset = -1
  timestampMs = 0
  /** The bytes that all positions refer to. */
  bytes: Buffer = noBytes
  keyAt = 0
  /** -1: there is none. */
  keyBytes = -1
  valueAt = 0
  /** -1: there is none. */
  valueBytes = -1
  headerCount = 0
  /** Where the first header begins. */
  headersAt = 0
  end = 0
  /** Where the bytes of the stamp are; undefined: not looked for yet, null: there is none. */
  #stamp: Buffer | null | undefined

  get key(): Buffer | null {
    return this.keyBytes < 0 ? null : this.bytes.subarray(this.keyAt, this.keyAt + this.keyBytes)
  }

  get value(): Buffer | null {
    return this.valueBytes < 0 ? null : this.bytes.subarray(this.valueAt, this.valueAt + this.valueBytes)
  }

  /** What the protocol that published the message tells of it; null when there is nothing. */
  get envelope(): Buffer | null {
    const { bytes, headersAt, end } = this
    // A name of one byte: the number 1 as records write it, and the byte.
    if (this.headerCount === 0 || bytes[headersAt] !== 2 || bytes[headersAt + 1] !== tilde) return null
    const parts = new Varints(bytes, headersAt + 2, end)
    const length = parts.next()
    return length < 0 ? null : bytes.subarray(parts.at, parts.at + length)
  }

  /** What the core knows of the message, read now. */
  get stamp(): Stamp {
    const bytes = this.#stampBytes()
    return bytes ? readStamp(bytes) : noStamp
  }

  /** When the message expires by what it was published with, in milliseconds since 1970; -1: never. */
  get expiresMs(): number {
    const bytes = this.#stampBytes()
    return bytes ? readExpiry(bytes) : -1
  }

  /** The value of one of the broker's own headers, which come first; null when there is none of that name. */
  own(name: string): Buffer | null {
    const { bytes } = this
    const parts = new Varints(bytes, this.headersAt, this.end)
    for (let left = Math.min(ownHeadersMax, this.headerCount); left > 0 && parts.at < this.end; left--) {
      const keyBytes = parts.next()
      if (keyBytes < 1 || bytes[parts.at] !== tilde) return null
      const isIt = keyBytes === name.length && isTextAt(bytes, parts.at, name)
      parts.at += keyBytes
      const valueBytes = parts.next()
      if (isIt) return valueBytes < 0 ? null : bytes.subarray(parts.at, parts.at + valueBytes)
      parts.at += Math.max(0, valueBytes)
    }
    return null
  }

  /** All but the stamp. */
  headers(): { key: string; value: Buffer | null }[] {
    const found = this.#allHeaders()
    const at = stampIndex(found)
    if (at >= 0) found.splice(at, 1)
    return found
  }

  /** Of another record now. For the window alone. */
  moved(): void {
    this.#stamp = undefined
  }

  /** Nothing is made of the headers on the way. */
  #stampBytes(): Buffer | null {
    if (this.#stamp !== undefined) return this.#stamp
    this.#stamp = null
    const { bytes } = this
    const parts = new Varints(bytes, this.headersAt, this.end)
    for (let left = Math.min(2, this.headerCount); left > 0 && parts.at < this.end; left--) {
      const keyBytes = parts.next()
      const isStamp = keyBytes === 2 && bytes[parts.at] === tilde && bytes[parts.at + 1] === letterQ
      const isEnvelope = keyBytes === 1 && bytes[parts.at] === tilde
      if (!isStamp && !isEnvelope) break
      parts.at += keyBytes
      const valueBytes = parts.next()
      if (isStamp) return (this.#stamp = valueBytes < 0 ? null : bytes.subarray(parts.at, parts.at + valueBytes))
      parts.at += Math.max(0, valueBytes)
    }
    return null
  }

  #allHeaders(): { key: string; value: Buffer | null }[] {
    const { bytes } = this
    const found: { key: string; value: Buffer | null }[] = []
    const parts = new Varints(bytes, this.headersAt, this.end)
    const slice = (length: number): Buffer => {
      const from = parts.at
      parts.at += length
      return bytes.subarray(from, parts.at)
    }
    for (let left = this.headerCount; left > 0 && parts.at < this.end; left--) {
      const key = slice(Math.max(0, parts.next())).toString()
      const length = parts.next()
      found.push({ key, value: length < 0 ? null : slice(length) })
    }
    return found
  }
}

function isTextAt(bytes: Buffer, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[at + index] !== text.charCodeAt(index)) return false
  return true
}

/** Signed numbers of up to five bytes; 0 behind the end. */
class Varints {
  readonly #bytes: Buffer
  readonly #end: number
  at: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes
    this.at = at
    this.#end = end
  }

  next(): number {
    let zigzag = 0
    for (let shift = 0; shift <= 28 && this.at < this.#end; shift += 7) {
      const byte = this.#bytes[this.at++]!
      zigzag |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    return (zigzag >>> 1) ^ -(zigzag & 1)
  }
}

/** Goes through whole batches in memory and finds records by their offsets: in passing, when they are asked for in order. */
export class BatchWindow {
  /** Offsets [from, to) are answered for. */
  from = 0
  to = 0
  /** Bytes of all batches. */
  bytes = 0
  /** For each batch: in which bytes and where it lies, its first and its last offset. */
  #pieces: Buffer[] = []
  #at: number[] = []
  #base: number[] = []
  #last: number[] = []
  #batch = -1
  #aborted: readonly AbortedTransaction[] = []
  readonly #records = new BatchRecords()
  /** The record that was read last. */
  #offset = -1

  /**
   * Takes the bytes of whole batches for what was found from `from` on. They must not change. When there are none, there is nothing
   * up to `end`. What belongs to one of `aborted` is for no consumer.
   */
  fill(from: number, bytes: Buffer, end: number, aborted: readonly AbortedTransaction[] = []): void {
    this.fillMany(from, [bytes], end, aborted)
  }

  /** The same with bytes that lie apart. */
  fillMany(from: number, pieces: readonly Buffer[], end: number, aborted: readonly AbortedTransaction[] = []): void {
    this.clear()
    this.#aborted = aborted
    for (const bytes of pieces) {
      this.bytes += bytes.length
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        this.#pieces.push(bytes)
        this.#at.push(at)
        this.#base.push(batches.baseOffset(bytes, at))
        this.#last.push(batches.lastOffset(bytes, at))
      }
    }
    this.from = from
    this.to = (this.#last.at(-1) ?? end - 1) + 1
  }

  clear(): void {
    this.bytes = 0
    this.#pieces = []
    this.#at = []
    this.#base = []
    this.#last = []
    this.from = this.to = 0
    this.#batch = this.#offset = -1
  }

  /** Puts the record of an offset of [from, to) into `view`; false when there is none, or none for consumers. */
  find(offset: number, view: RecordView): boolean {
    if (!this.#isWithin(this.#batch, offset) && !this.#enter(offset)) return false
    const base = this.#base[this.#batch]!
    if (offset < this.#offset) this.#rewind()
    while (this.#offset < offset) {
      if (!this.#records.next()) {
        this.#offset = Infinity
        return false
      }
      this.#offset = base + this.#records.offsetDelta
    }
    if (this.#offset !== offset) return false
    this.#show(view)
    return true
  }

  #isWithin(batch: number, offset: number): boolean {
    return batch >= 0 && batch < this.#at.length && offset >= this.#base[batch]! && offset <= this.#last[batch]!
  }

  /** Opens the batch that holds the offset; false when none does, or its records are not for consumers. */
  #enter(offset: number): boolean {
    let batch = this.#batch + 1
    if (!this.#isWithin(batch, offset)) {
      batch = this.#last.length
      for (let low = 0; low < batch;) {
        const middle = (low + batch) >>> 1
        if (this.#last[middle]! < offset) low = middle + 1
        else batch = middle
      }
      if (!this.#isWithin(batch, offset)) return false
    }
    const at = this.#at[batch]!
    const bytes = this.#pieces[batch]!
    if (isHidden(bytes, at, this.#aborted)) return false
    if (!this.#records.open(bytes, at)) return false
    this.#batch = batch
    this.#offset = -1
    return true
  }

  #rewind(): void {
    this.#records.rewind()
    this.#offset = -1
  }

  #show(view: RecordView): void {
    const { plain, keyAt, keyBytes, end, timeDelta } = this.#records
    const at = this.#at[this.#batch]!
    const bytes = this.#pieces[this.#batch]!
    const isAppendTime = (batches.attributes(bytes, at) & batches.attributeBits.appendTime) !== 0
    view.offset = this.#offset
    view.timestampMs = isAppendTime ? batches.maxTimestamp(bytes, at) : batches.baseTimestamp(bytes, at) + timeDelta
    view.bytes = plain
    view.keyAt = keyAt
    view.keyBytes = keyBytes
    const parts = new Varints(plain, keyAt + Math.max(0, keyBytes), end)
    view.valueBytes = parts.next()
    view.valueAt = parts.at
    parts.at += Math.max(0, view.valueBytes)
    view.headerCount = Math.max(0, parts.next())
    view.headersAt = parts.at
    view.end = end
    view.moved()
  }
}
