/** What a frame is (RFC 6455, 5.2). */
export const opcodes = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Why a connection is closed (RFC 6455, 7.4.1). */
export const closeCodes = { normal: 1000, goingAway: 1001, protocolError: 1002, unsupported: 1003 } as const

export interface FrameEvents {
  /** Bytes of data frames in their order, as they come; valid only during the call. */
  data(bytes: Buffer): void
  ping(payload: Buffer): void
  /** The peer closes. Nothing follows. */
  closed(): void
  /** The peer has broken the rules. Nothing follows. */
  broken(code: number, reason: string): void
}

const controlBytesMax = 125

/** Bytes that are unmasked, for the time of one call: all connections use it. */
let scratch = Buffer.alloc(64 * 1024)

/**
 * Takes the frames of a client apart. Payloads go on as they come, in whatever pieces: only headers and control frames are kept, so a frame may
 * have any size.
 */
export class FrameReader {
  readonly #events: FrameEvents
  readonly #takesText: boolean
  /** Header of a frame, or payload of a control frame, that is not whole yet. */
  readonly #kept = Buffer.alloc(14 + controlBytesMax)
  #keptBytes = 0
  /** Of the data frame that is being read. */
  #leftBytes = 0
  readonly #mask = Buffer.alloc(4)
  #maskAt = 0
  /** A message has begun whose last frame has not come. */
  #inMessage = false
  #isFinal = true
  #isOver = false

  constructor(events: FrameEvents, takesText: boolean) {
    this.#events = events
    this.#takesText = takesText
  }

  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#isOver) {
      at += this.#leftBytes > 0 ? this.#pass(chunk, at) : this.#gather(chunk, at)
    }
  }

  /** Payload of a data frame. */
  #pass(chunk: Buffer, at: number): number {
    const bytes = Math.min(this.#leftBytes, chunk.length - at)
    if (scratch.length < bytes) scratch = Buffer.alloc(bytes)
    const mask = this.#mask
    let maskAt = this.#maskAt
    for (let index = 0; index < bytes; index++) {
      scratch[index] = chunk[at + index]! ^ mask[maskAt]!
      maskAt = (maskAt + 1) & 3
    }
    this.#maskAt = maskAt
    this.#leftBytes -= bytes
    if (this.#leftBytes === 0) this.#inMessage = !this.#isFinal
    this.#events.data(scratch.subarray(0, bytes))
    return bytes
  }

  /** One byte of a header or of a control frame. */
  #gather(chunk: Buffer, at: number): number {
    const kept = this.#kept
    kept[this.#keptBytes++] = chunk[at]!
    const count = this.#keptBytes
    if (count < 2) return 1
    const headerBytes = headerBytesOf(kept[1]!)
    if (count === 2 && !this.#check(kept[0]!, kept[1]!)) return 1
    if (count < headerBytes) return 1
    const opcode = kept[0]! & 15
    const payloadBytes = payloadBytesOf(kept)
    if (opcode >= opcodes.close) {
      if (count < headerBytes + payloadBytes) return 1
      this.#keptBytes = 0
      this.#control(opcode, unmasked(kept, headerBytes, payloadBytes))
      return 1
    }
    this.#keptBytes = 0
    if (!Number.isSafeInteger(payloadBytes)) this.#break('a frame has no such length')
    kept.copy(this.#mask, 0, headerBytes - 4, headerBytes)
    this.#maskAt = 0
    this.#leftBytes = payloadBytes
    this.#isFinal = kept[0]! >= 0x80
    this.#inMessage = payloadBytes > 0 || !this.#isFinal
    return 1
  }

  /** Whether a frame may begin so. */
  #check(first: number, second: number): boolean {
    const opcode = first & 15
    const isFinal = first >= 0x80
    if ((first & 0x70) !== 0) return this.#break('no extension was agreed upon')
    if (second < 0x80) return this.#break('frames of clients are masked')
    if (opcode >= opcodes.close) {
      if (opcode > opcodes.pong) return this.#break(`there is no frame of kind ${opcode}`)
      if (!isFinal || (second & 127) > controlBytesMax) return this.#break('a control frame is short and whole')
      return true
    }
    if (opcode > opcodes.binary) return this.#break(`there is no frame of kind ${opcode}`)
    if ((opcode === opcodes.more) !== this.#inMessage) return this.#break('a message is begun once and then goes on')
    if (opcode === opcodes.text && !this.#takesText) {
      return this.#break('text frames are not taken here', closeCodes.unsupported)
    }
    return true
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === opcodes.ping) return this.#events.ping(payload)
    if (opcode === opcodes.pong) return
    this.#isOver = true
    this.#events.closed()
  }

  #break(reason: string, code: number = closeCodes.protocolError): false {
    this.#isOver = true
    this.#events.broken(code, reason)
    return false
  }
}

/** Of a frame that a client sends: with its mask. */
function headerBytesOf(second: number): number {
  const length = second & 127
  return 2 + 4 + (length === 127 ? 8 : length === 126 ? 2 : 0)
}

function payloadBytesOf(header: Buffer): number {
  const length = header[1]! & 127
  if (length < 126) return length
  return length === 126 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2))
}

function unmasked(frame: Buffer, headerBytes: number, payloadBytes: number): Buffer {
  const payload = Buffer.from(frame.subarray(headerBytes, headerBytes + payloadBytes))
  for (let at = 0; at < payloadBytes; at++) payload[at]! ^= frame[headerBytes - 4 + (at & 3)]!
  return payload
}

/** Begins a whole frame to a client. */
export function frameHeader(opcode: number, payloadBytes: number): Buffer {
  const first = 0x80 | opcode
  if (payloadBytes < 126) return Buffer.of(first, payloadBytes)
  const header = Buffer.alloc(payloadBytes < 0x10000 ? 4 : 10)
  header[0] = first
  header[1] = header.length === 4 ? 126 : 127
  if (header.length === 4) header.writeUInt16BE(payloadBytes, 2)
  else header.writeBigUInt64BE(BigInt(payloadBytes), 2)
  return header
}

export function closeFrame(code: number, reason: string): Buffer {
  // What a control frame has room for, less the code; the texts are ASCII.
  const text = Buffer.from(reason).subarray(0, controlBytesMax - 2)
  const payload = Buffer.alloc(2 + text.length)
  payload.writeUInt16BE(code, 0)
  text.copy(payload, 2)
  return Buffer.concat([frameHeader(opcodes.close, payload.length), payload])
}
