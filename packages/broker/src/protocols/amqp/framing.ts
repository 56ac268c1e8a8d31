import type { Decoder, ProtocolLimits } from '../protocol.ts'

/** What a client begins with: four letters, then 0 and the version. [AMQP 0-9-1, 4.2.2] */
export const protocolHeader = Buffer.from('AMQP\0\0\x09\x01', 'latin1')

/** Types of frames. The first two are ours: the protocol header, and bytes that can be no frame. */
export const frameTypes = { fault: -1, protocolHeader: 0, method: 1, header: 2, body: 3, heartbeat: 8 } as const

/** Type, channel and size. */
export const frameHeadBytes = 7
export const frameEnd = 0xce
/** Of a frame without a payload. */
export const emptyFrameBytes = frameHeadBytes + 1

/** One frame, valid until the call that hands it over returns: there is only one object of this kind for each connection. */
export interface Frame {
  /** One of `frameTypes`, or another number that the peer has sent. */
  type: number
  channel: number
  payload: Buffer
  /** Of a fault: what is wrong, for the peer to read. */
  problem: string
}

const nothing = Buffer.alloc(0)

/** Cuts frames out of what a client sends. After a fault nothing more comes: it cannot be known where the next frame begins. */
export class FrameDecoder implements Decoder<Frame> {
  readonly #limits: Pick<ProtocolLimits, 'frameBytesMax'>
  readonly #frame: Frame = { type: frameTypes.protocolHeader, channel: 0, payload: nothing, problem: '' }
  #state: 'header' | 'frames' | 'lost' = 'header'
  /** The beginning of a frame that is not whole: the first `#heldBytes` of `#held`. */
  #held: Buffer = nothing
  #heldBytes = 0

  constructor(limits: Pick<ProtocolLimits, 'frameBytesMax'>) {
    this.#limits = limits
  }

  get pendingBytes(): number {
    return this.#heldBytes
  }

  push(chunk: Buffer, packet: (frame: Frame) => void): void {
    let at = 0
    if (this.#heldBytes > 0) {
      at = this.#complete(chunk, packet)
      if (this.#heldBytes > 0) return
    }
    while (this.#state !== 'lost' && at < chunk.length) {
      const size = this.#sizeAt(chunk, at, chunk.length - at, packet)
      if (size < 0) return
      if (size === 0 || at + size > chunk.length) return this.#hold(chunk, at)
      this.#emit(chunk, at, size, packet)
      at += size
    }
  }

  /** Goes on with what is held; returns how many bytes of the chunk belong to it. */
  #complete(chunk: Buffer, packet: (frame: Frame) => void): number {
    let at = 0
    for (;;) {
      const size = this.#sizeAt(this.#held, 0, this.#heldBytes, packet)
      if (size < 0) {
        this.#heldBytes = 0
        return chunk.length
      }
      const wanted = size === 0 ? this.#headBytes : size
      const count = Math.min(wanted - this.#heldBytes, chunk.length - at)
      this.#reserve(this.#heldBytes + count, wanted)
      chunk.copy(this.#held, this.#heldBytes, at, at + count)
      this.#heldBytes += count
      at += count
      if (this.#heldBytes < wanted) return at
      if (size === 0) continue
      this.#heldBytes = 0
      this.#emit(this.#held, 0, size, packet)
      return at
    }
  }

  get #headBytes(): number {
    return this.#state === 'header' ? protocolHeader.length : frameHeadBytes
  }

  /** Bytes of the whole frame at `at`; 0 when too few are there to tell, -1 after a fault. */
  #sizeAt(bytes: Buffer, at: number, count: number, packet: (frame: Frame) => void): number {
    if (count < this.#headBytes) return 0
    if (this.#state === 'header') return protocolHeader.length
    const size = bytes.readUInt32BE(at + 3)
    // Clients that count the frame's head and end in, or forget to, are let pass.
    const { frameBytesMax } = this.#limits
    if (size <= frameBytesMax) return size + emptyFrameBytes
    const most = frameBytesMax - emptyFrameBytes
    this.#fault(bytes, at, `a frame has at most ${most} bytes here, not ${size}`, packet)
    return -1
  }

  #emit(bytes: Buffer, at: number, size: number, packet: (frame: Frame) => void): void {
    const frame = this.#frame
    if (this.#state === 'header') {
      this.#state = 'frames'
      frame.payload = bytes.subarray(at, at + size)
      return packet(frame)
    }
    const last = at + size - 1
    if (bytes[last] !== frameEnd) {
      return this.#fault(bytes, at, `it ends with the byte ${bytes[last]}, not ${frameEnd}`, packet)
    }
    frame.type = bytes[at]!
    frame.channel = bytes.readUInt16BE(at + 1)
    frame.payload = bytes.subarray(at + frameHeadBytes, last)
    packet(frame)
  }

  #fault(bytes: Buffer, at: number, problem: string, packet: (frame: Frame) => void): void {
    const frame = this.#frame
    const [type] = bytes.subarray(at)
    this.#state = 'lost'
    frame.channel = bytes.readUInt16BE(at + 1)
    frame.problem = `frame of type ${type} on channel ${frame.channel}: ${problem}`
    frame.type = frameTypes.fault
    frame.payload = nothing
    packet(frame)
  }

  #hold(chunk: Buffer, at: number): void {
    const count = chunk.length - at
    this.#reserve(count, count)
    chunk.copy(this.#held, 0, at)
    this.#heldBytes = count
  }

  /** Makes room for `count` bytes, of a frame that has `whole`. Announcing a large one alone costs nothing. */
  #reserve(count: number, whole: number): void {
    if (count <= this.#held.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(count, Math.min(whole, count * 2), heldBytesMin))
    this.#held.copy(grown, 0, 0, this.#heldBytes)
    this.#held = grown
  }
}

const heldBytesMin = 512
