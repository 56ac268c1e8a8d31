import { ProtocolError, Reader, Writer } from '@dragoman/wire'
import { readPart, writePart, type EntryId, type IdPart } from './entry-id.ts'

/**
 * The header in which an entry carries its id. It also says where it was written: a record that was copied elsewhere has the mark of another place, and no
 * id by it.
 *
 *   version u8 = 1, stream uvarint, offset varlong, id
 */
export const entryMarkHeader = '~e'
const markVersion = 1

/** Cuts one mark after the other. */
const writer = new Writer()

export function writeMark(stream: number, offset: number, ms: IdPart, seq: IdPart): Buffer {
  if (writer.length > 0) writer.take()
  writer.u8(markVersion)
  writer.uvarint(stream)
  writer.varlong(offset)
  writePart(writer, ms)
  writePart(writer, seq)
  return writer.take()
}

/** Undefined when the bytes are no mark of this place. */
export function readMark(bytes: Buffer, stream: number, offset: number): EntryId | undefined {
  if (bytes[0] !== markVersion) return undefined
  try {
    const from = new Reader(bytes, 1)
    if (from.uvarint() !== stream || from.varlong() !== offset) return undefined
    const ms = readPart(from)
    return { ms, seq: readPart(from) }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
