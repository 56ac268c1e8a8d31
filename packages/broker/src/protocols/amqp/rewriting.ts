import type { Content } from './content.ts'
import { emptyFrameBytes } from './framing.ts'
import { encodeTable } from './mapping.ts'
import { contentHeaderHeadBytes } from './messages/basic.ts'
import { fieldEnd, flagsBytes, propertyBits, propertyBitsInOrder, propertyEnd } from './scan.ts'
import type { Table } from './table.ts'

/** What is to be another way in the properties of a message. */
export interface PropertyChanges {
  /** They take the place of those of the same names, behind the others. */
  readonly headers?: Table
  /** Headers of these names go. */
  readonly without?: readonly string[]
  readonly replyTo?: string
  readonly dropsExpiration?: boolean
  readonly dropsHeaders?: boolean
}

/** Sound properties with these changes. All that is not changed stays as it is, byte for byte. */
export function changed(properties: Buffer, changes: PropertyChanges): Buffer {
  const before = properties.readUInt16BE(0)
  const head = Buffer.allocUnsafe(flagsBytes)
  const parts: Buffer[] = [head]
  let flags = 0
  let next = flagsBytes
  for (const bit of propertyBitsInOrder) {
    const at = next
    if ((before & bit) !== 0) next = propertyEnd(properties, bit, at, properties.length)
    const part = changedPart(bit, properties.subarray(at, next), changes)
    if (part.length === 0) continue
    flags |= bit
    parts.push(part)
  }
  head.writeUInt16BE(flags)
  return Buffer.concat(parts)
}

/** One property; no bytes: it is not there. */
function changedPart(bit: number, part: Buffer, changes: PropertyChanges): Buffer {
  switch (bit) {
    case propertyBits.headers:
      return changes.dropsHeaders === true ? noBytes : changedHeaders(part, changes)
    case propertyBits.replyTo:
      return changes.replyTo === undefined ? part : shortBytes(changes.replyTo)
    case propertyBits.expiration:
      return changes.dropsExpiration === true ? noBytes : part
    default:
      return part
  }
}

function changedHeaders(part: Buffer, { headers = [], without = [] }: PropertyChanges): Buffer {
  const gone = new Set([...headers.map(({ name }) => name), ...without])
  if (gone.size === 0) return part
  const size = Buffer.allocUnsafe(sizeBytes)
  const fields: Buffer[] = [size]
  for (let at = sizeBytes; at < part.length;) {
    const end = fieldEnd(part, at, part.length)
    const nameAt = at + 1
    if (!gone.has(part.toString('utf8', nameAt, nameAt + part[at]!))) fields.push(part.subarray(at, end))
    at = end
  }
  if (headers.length > 0) fields.push(encodeTable(headers).subarray(sizeBytes))
  const whole = Buffer.concat(fields)
  whole.writeUInt32BE(whole.length - sizeBytes)
  return whole
}

/** Of a table. */
const sizeBytes = 4
const noBytes = Buffer.alloc(0)

/** A text of at most 255 bytes as it goes over the wire. */
export function shortBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

/** A message whose properties fit into one frame: if need be, without headers. */
export function fitting(content: Content, frameMax: number): Content {
  if (emptyFrameBytes + contentHeaderHeadBytes + content.properties.length <= frameMax) return content
  return { body: content.body, properties: changed(content.properties, { dropsHeaders: true }) }
}
