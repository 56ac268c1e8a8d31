import { ProtocolError, Reader, type Writer } from '@dragoman/wire'
import type { Decoder, ProtocolLimits } from '../protocol.ts'

/**
 * Frames: a length of 4 bytes, then a header, then a body.
 *
 *   request header    api key i16, api version i16, correlation id i32, client id nullable string; tagged fields from the
 *                     flexible version of the request on
 *   answer header     correlation id i32; tagged fields from the flexible version on, except for ApiVersions
 *
 * The client id keeps its length of 16 bits in all versions.
 */
export interface RequestFrame {
  apiKey: number
  apiVersion: number
  correlationId: number
  /** All after the correlation id: client id, tagged fields, body. */
  rest: Reader
}

/** In the place of the api key: the frame is too short for a header, and `rest` is all of it. */
export const noHeader = -1

/** All of a frame but its length, header or not: what was sent is a message of SASL without one. */
export function bareMessage({ apiKey, rest }: RequestFrame): Buffer {
  return rest.source.subarray(rest.at - (apiKey === noHeader ? 0 : requestHeaderBytesMin), rest.end)
}

export const lengthBytes = 4
/** Up to the correlation id. */
const requestHeaderBytesMin = 8

/** Cuts requests out of what a client sends. */
export class RequestDecoder implements Decoder<RequestFrame> {
  readonly #frames: FrameDecoder

  constructor(limits: ProtocolLimits) {
    this.#frames = new FrameDecoder(limits, requestHeaderBytesMin)
  }

  get pendingBytes(): number {
    return this.#frames.pendingBytes
  }

  push(chunk: Buffer, packet: (frame: RequestFrame) => void): void {
    this.#frames.push(chunk, rest => {
      if (rest.remaining < requestHeaderBytesMin) packet({ apiKey: noHeader, apiVersion: 0, correlationId: 0, rest })
      else packet({ apiKey: rest.i16(), apiVersion: rest.i16(), correlationId: rest.i32(), rest })
    })
  }
}

type FrameLimits = Pick<ProtocolLimits, 'frameBytesMin' | 'frameBytesMax'>

/**
 * Cuts a byte stream at the length fields, without copying what came in one piece.
 * A frame that came in several pieces is put together in a buffer that is used again afterwards.
 */
export class FrameDecoder implements Decoder<Reader> {
  readonly #limits: FrameLimits
  readonly #bytesMin: number
  /** A frame of which a part has come, from its length field on. */
  #partial: Buffer = nothing
  #filled = 0

  /** The limits may change between two frames. `bytesMin` holds where they name no least size. */
  constructor(limits: FrameLimits, bytesMin: number) {
    this.#limits = limits
    this.#bytesMin = bytesMin
  }

  get pendingBytes(): number {
    return this.#filled
  }

  push(chunk: Buffer, packet: (frame: Reader) => void): void {
    let at = this.#filled === 0 ? 0 : this.#complete(chunk, packet)
    while (chunk.length - at >= lengthBytes) {
      const end = at + this.#frameBytes(chunk, at)
      if (end > chunk.length) break
      packet(new Reader(chunk, at + lengthBytes, end))
      at = end
    }
    if (at < chunk.length) this.#keep(chunk, at)
  }

  /** Adds what belongs to the frame that has begun; returns where the next one begins. */
  #complete(chunk: Buffer, packet: (frame: Reader) => void): number {
    let at = 0
    if (this.#filled < lengthBytes) at = this.#fill(chunk, at, lengthBytes)
    if (this.#filled < lengthBytes) return at
    const size = this.#frameBytes(this.#partial, 0)
    at = this.#fill(chunk, at, size)
    if (this.#filled < size) return at
    const frame = this.#partial
    this.#partial = nothing
    this.#filled = 0
    packet(new Reader(frame, lengthBytes, size))
    giveBuffer(frame)
    return at
  }

  #keep(chunk: Buffer, at: number): void {
    const left = chunk.length - at
    const size = left < lengthBytes ? lengthBytes : this.#frameBytes(chunk, at)
    this.#partial = takeBuffer(Math.max(left, Math.min(size, firstBufferBytesMax)))
    this.#filled = chunk.copy(this.#partial, 0, at)
  }

  /** Copies until the frame holds `size` bytes or the chunk ends. The buffer grows with what came, not with what was announced. */
  #fill(chunk: Buffer, at: number, size: number): number {
    const end = Math.min(chunk.length, at + size - this.#filled)
    const needed = this.#filled + end - at
    let partial = this.#partial
    if (needed > partial.length) {
      const grown = takeBuffer(
        Math.min(Math.max(size, needed), Math.max(needed, partial.length * 2, firstBufferBytesMax)),
      )
      partial.copy(grown, 0, 0, this.#filled)
      giveBuffer(partial)
      partial = this.#partial = grown
    }
    chunk.copy(partial, this.#filled, at, end)
    this.#filled = needed
    return end
  }

  /** Size of the frame with its length field. */
  #frameBytes(bytes: Buffer, at: number): number {
    const length = bytes.readInt32BE(at)
    const { frameBytesMin = this.#bytesMin, frameBytesMax } = this.#limits
    if (length < frameBytesMin || length > frameBytesMax) {
      throw new ProtocolError(
        `Cannot take a frame of ${length} bytes: between ${frameBytesMin} and ${frameBytesMax} are allowed`,
      )
    }
    return length + lengthBytes
  }
}

/** Leaves room for the length of the frame that is written next. */
export function beginFrame(out: Writer): void {
  out.fill(lengthBytes)
}

/** The whole frame, in parts where it refers to large bytes. */
export function endFrame(out: Writer): Buffer[] {
  const length = out.length - lengthBytes
  const parts = out.takeParts()
  parts[0]?.writeInt32BE(length, 0)
  return parts
}

/** No tagged field of a header means anything to us. */
export function skipTaggedFields(reader: Reader): void {
  for (let count = reader.uvarint(); count > 0; count--) {
    reader.uvarint()
    reader.skip(reader.uvarint())
  }
}

/** A frame that announces more gets its buffer in steps, so that an announcement alone costs nothing. */
const firstBufferBytesMax = 2 * 1024 * 1024
/** Buffers of this size and above come from a stock, because the system must clear the memory of new ones. */
const stockedBytesMin = 64 * 1024
const stockBytesMax = 16 * 1024 * 1024

const nothing = Buffer.alloc(0)
const stock: Buffer[] = []
let stockBytes = 0

function takeBuffer(bytes: number): Buffer {
  if (bytes < stockedBytesMin) return Buffer.allocUnsafe(bytes)
  const index = stock.findLastIndex(({ length }) => length >= bytes && length <= bytes * 4)
  const [stocked] = index < 0 ? [] : stock.splice(index, 1)
  if (stocked !== undefined) {
    stockBytes -= stocked.length
    return stocked
  }
  return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)))
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length < stockedBytesMin || stockBytes + buffer.length > stockBytesMax) return
  stock.push(buffer)
  stockBytes += buffer.length
}
