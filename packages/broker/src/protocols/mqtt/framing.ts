import type { Decoder, ProtocolLimits } from '../protocol.ts'
import { reasons, type Reason } from './reasons.ts'

/** One packet, valid until the call that hands it over returns: there is only one object of this kind for each connection. */
export interface Packet {
  /** Type and flags. */
  first: number
  /** What is behind type and size is [at, end) of these bytes. */
  bytes: Buffer
  at: number
  end: number
  /** The bytes can become no packet, for this reason. */
  fault: Reason | undefined
}

/** Of the size of a packet. */
const sizeBytesMax = 4
const headBytesMax = 1 + sizeBytesMax
const heldBytesMin = 128
const nothing = Buffer.alloc(0)

/** Cuts packets out of what a client sends. After a fault nothing more comes. [MQTT 5.0, 2.1] */
export class PacketDecoder implements Decoder<Packet> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax'>
  readonly #packet: Packet = { first: 0, bytes: nothing, at: 0, end: 0, fault: undefined }
  #isLost = false
  /** The beginning of a packet that is not whole: the first `#heldBytes` of `#held`. */
  #held: Buffer = nothing
  #heldBytes = 0

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax'>) {
    this.#limits = limits
  }

  get pendingBytes(): number {
    return this.#heldBytes
  }

  push(chunk: Buffer, packet: (packet: Packet) => void): void {
    let at = this.#heldBytes > 0 ? this.#complete(chunk, packet) : 0
    const { length } = chunk
    while (at < length && !this.#isLost) {
      // Most packets are short.
      const size = at + 1 < length && chunk[at + 1]! < 0x80 ? chunk[at + 1]! : -1
      if (size >= 0 && at + 2 + size <= length) {
        this.#emit(chunk, at, at + 2, at + 2 + size, packet)
        at += 2 + size
        continue
      }
      const end = this.#measure(chunk, at, length, packet)
      if (this.#isLost) return
      if (end < 0 || end > length) return this.#hold(chunk, at, end)
      this.#emit(chunk, at, this.#bodyAt, end, packet)
      at = end
    }
  }

  /** Where the body of the packet begins that was measured last. */
  #bodyAt = 0

  /** Where the packet at `at` ends; -1 when too few bytes are there to tell. */
  #measure(bytes: Buffer, at: number, to: number, packet: (packet: Packet) => void): number {
    let size = 0
    for (let index = 1; index < headBytesMax; index++) {
      if (at + index >= to) return -1
      const byte = bytes[at + index]!
      size |= (byte & 0x7f) << (7 * (index - 1))
      if (byte >= 0x80) continue
      const head = 1 + index
      if (head + size > this.#limits.frameBytesMax) return this.#fault(bytes, at, reasons.packetTooLarge, packet)
      this.#bodyAt = at + head
      return at + head + size
    }
    return this.#fault(bytes, at, reasons.malformed, packet)
  }

  /** Goes on with what is held; returns how many bytes of the chunk belong to it. */
  #complete(chunk: Buffer, packet: (packet: Packet) => void): number {
    for (let at = 0; ;) {
      const end = this.#measure(this.#held, 0, this.#heldBytes, packet)
      if (this.#isLost) return chunk.length
      const wanted = end < 0 ? this.#heldBytes + 1 : end
      const count = Math.min(wanted - this.#heldBytes, chunk.length - at)
      this.#reserve(this.#heldBytes + count, wanted)
      chunk.copy(this.#held, this.#heldBytes, at, at + count)
      this.#heldBytes += count
      at += count
      if (this.#heldBytes < wanted) return at
      if (end < 0) continue
      const held = this.#held
      this.#heldBytes = 0
      // A large one is not kept for the next.
      if (held.length > keptBytesMax) this.#held = nothing
      this.#emit(held, 0, this.#bodyAt, end, packet)
      return at
    }
  }

  #emit(bytes: Buffer, at: number, bodyAt: number, end: number, packet: (packet: Packet) => void): void {
    const one = this.#packet
    one.first = bytes[at]!
    one.bytes = bytes
    one.at = bodyAt
    one.end = end
    packet(one)
    one.bytes = nothing
  }

  #fault(bytes: Buffer, at: number, reason: Reason, packet: (packet: Packet) => void): number {
    this.#isLost = true
    this.#heldBytes = 0
    const one = this.#packet
    one.first = bytes[at]!
    one.bytes = nothing
    one.at = one.end = 0
    one.fault = reason
    packet(one)
    return -1
  }

  #hold(chunk: Buffer, at: number, end: number): void {
    const count = chunk.length - at
    this.#reserve(count, end < 0 ? count : end - at)
    chunk.copy(this.#held, 0, at)
    this.#heldBytes = count
  }

  /** Makes room for `count` bytes, of a packet that has `whole`. Announcing a large one alone costs nothing. */
  #reserve(count: number, whole: number): void {
    if (count <= this.#held.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(count, Math.min(whole, count * 2), heldBytesMin))
    this.#held.copy(grown, 0, 0, this.#heldBytes)
    this.#held = grown
  }
}

const keptBytesMax = 64 * 1024
