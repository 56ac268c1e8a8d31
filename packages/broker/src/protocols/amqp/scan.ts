import { ProtocolError } from '@dragoman/wire'

/** Bits of the properties, as the flags before them have them. */
export const propertyBits = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  userId: 0x0010,
  appId: 0x0008,
  clusterId: 0x0004,
} as const

/** Those in front of which lies their length. */
const shortTextBits: number =
  propertyBits.contentType |
  propertyBits.contentEncoding |
  propertyBits.correlationId |
  propertyBits.replyTo |
  propertyBits.expiration |
  propertyBits.messageId |
  propertyBits.type |
  propertyBits.userId |
  propertyBits.appId |
  propertyBits.clusterId

/** The first has the highest bit. */
export const propertyBitsInOrder: readonly number[] = Object.values(propertyBits)

export const flagsBytes = 2
/** As deep as tables are read. */
const depthMax = 32

/**
 * Looks at the properties of a message where they lie, and makes nothing of them: that they are sound, and where those are that a broker has
 * to know. One object serves all messages of a session.
 */
export class PropertyScan {
  flags = 0
  bytes: Buffer = Buffer.alloc(0)
  /** Where the table of headers begins, its size included; -1: there is none. */
  headersAt = -1
  /** 0 when there is none. */
  priority = 0
  /** 0 when there is none. */
  deliveryMode = 0
  #replyToAt = -1
  #expirationAt = -1
  #userIdAt = -1

  /** The properties are all of [at, end). Throws `ProtocolError` when they are not sound. */
  read(bytes: Buffer, at: number, end: number): void {
    if (end - at < flagsBytes) throw new ProtocolError('Expected the flags of the properties')
    const flags = (bytes[at]! << 8) | bytes[at + 1]!
    if ((flags & 3) !== 0) throw new ProtocolError(`Cannot take properties with flags ${flags}: there are fourteen`)
    this.flags = flags
    this.bytes = bytes
    this.headersAt = this.#replyToAt = this.#expirationAt = this.#userIdAt = -1
    this.priority = this.deliveryMode = 0
    let next = at + flagsBytes
    for (let bit = propertyBits.contentType as number; bit >= propertyBits.clusterId; bit >>>= 1) {
      if ((flags & bit) === 0) continue
      this.#note(bit, next, end)
      next = propertyEnd(bytes, bit, next, end)
      if (next > end) throw new ProtocolError('Cannot take properties that go beyond the end of their frame')
    }
    if (next !== end) throw new ProtocolError(`Expected the end of the properties, but ${end - next} bytes are left`)
  }

  /** An empty text when there is none. */
  get replyTo(): string {
    return this.#text(this.#replyToAt)
  }
  get expiration(): string {
    return this.#text(this.#expirationAt)
  }
  get userId(): string {
    return this.#text(this.#userIdAt)
  }

  /** Whether there is a header of that name. */
  has(name: Buffer): boolean {
    const { bytes, headersAt } = this
    if (headersAt < 0) return false
    const end = headersAt + 4 + bytes.readUInt32BE(headersAt)
    for (let next = headersAt + 4; next < end;) {
      const typeAt = next + 1 + bytes[next]!
      if (typeAt - next - 1 === name.length && bytes.compare(name, 0, name.length, next + 1, typeAt) === 0) return true
      next = fieldEnd(bytes, next, end)
    }
    return false
  }

  #note(bit: number, at: number, end: number): void {
    switch (bit) {
      case propertyBits.headers:
        this.headersAt = at
        break
      case propertyBits.deliveryMode:
        this.deliveryMode = at < end ? this.bytes[at]! : 0
        break
      case propertyBits.priority:
        this.priority = at < end ? this.bytes[at]! : 0
        break
      case propertyBits.replyTo:
        this.#replyToAt = at
        break
      case propertyBits.expiration:
        this.#expirationAt = at
        break
      case propertyBits.userId:
        this.#userIdAt = at
        break
    }
  }

  #text(at: number): string {
    return at < 0 ? '' : this.bytes.toString('utf8', at + 1, at + 1 + this.bytes[at]!)
  }
}

/** Where the property that begins at `at` ends; beyond `end` when it is cut off. Throws `ProtocolError` for a table that is not sound. */
export function propertyEnd(bytes: Buffer, bit: number, at: number, end: number): number {
  // Behind the end there is nothing, and the sum is not a number that lies within.
  if ((bit & shortTextBits) !== 0) return at < end ? at + 1 + bytes[at]! : Infinity
  if (bit === propertyBits.headers) return skipTable(bytes, at, end, 0)
  return at + (bit === propertyBits.timestamp ? 8 : 1)
}

/** Where the field of a sound table ends that begins with its name at `at`. */
export const fieldEnd = (bytes: Buffer, at: number, end: number): number =>
  skipValue(bytes, at + 1 + bytes[at]!, end, 0)

/** Where the table that begins at `at` ends. Throws `ProtocolError` when it is not sound. */
function skipTable(bytes: Buffer, at: number, end: number, depth: number): number {
  const tableEnd = endOfList(bytes, at, end, depth)
  let next = at + 4
  while (next < tableEnd) {
    const typeAt = next + 1 + bytes[next]!
    if (typeAt >= tableEnd) return beyond()
    next = skipValue(bytes, typeAt, tableEnd, depth)
  }
  return next === tableEnd ? next : beyond()
}

function skipArray(bytes: Buffer, at: number, end: number, depth: number): number {
  const arrayEnd = endOfList(bytes, at, end, depth)
  let next = at + 4
  while (next < arrayEnd) next = skipValue(bytes, next, arrayEnd, depth)
  return next === arrayEnd ? next : beyond()
}

function endOfList(bytes: Buffer, at: number, end: number, depth: number): number {
  if (depth > depthMax) throw new ProtocolError(`Cannot take a table that is nested more than ${depthMax} times`)
  if (at + 4 > end) return beyond()
  const listEnd = at + 4 + bytes.readUInt32BE(at)
  return listEnd > end ? beyond() : listEnd
}

function skipValue(bytes: Buffer, at: number, end: number, depth: number): number {
  const next = at + 1
  switch (String.fromCharCode(bytes[at]!)) {
    case 'V':
      return next
    case 't':
    case 'b':
    case 'B':
      return next + 1
    case 's':
    case 'u':
      return next + 2
    case 'I':
    case 'i':
    case 'f':
      return next + 4
    case 'D':
      return next + 5
    case 'l':
    case 'L':
    case 'd':
    case 'T':
      return next + 8
    case 'S':
    case 'x':
      return next + 4 > end ? beyond() : next + 4 + bytes.readUInt32BE(next)
    case 'A':
      return skipArray(bytes, next, end, depth + 1)
    case 'F':
      return skipTable(bytes, next, end, depth + 1)
    default:
      throw new ProtocolError(`Expected the type of a field, got ${JSON.stringify(String.fromCharCode(bytes[at]!))}`)
  }
}

function beyond(): never {
  throw new ProtocolError('Cannot take a table whose parts go beyond its end')
}
