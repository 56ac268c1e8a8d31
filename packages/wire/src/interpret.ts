import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'
import {
  bytesMin,
  fresh,
  inRange,
  isFallback,
  referScalar,
  scalarOf,
  taggedFields,
  versionOf,
  zero,
  type MessageNode,
  type Node,
  type NodeOf,
  type StructNode,
} from './node.ts'

type Fields = Record<string, unknown>

/** Reads one value by walking its declaration. Throws only `ProtocolError`. */
export function readValue(node: Node, reader: Reader, version?: number): unknown {
  const meant = versionOf(node, version) ?? noVersion(node as MessageNode, version)
  return read(node, reader, meant.version, meant.flexible)
}

export function noVersion(node: MessageNode, version: number | undefined): never {
  throw new ProtocolError(`${node.name} has no version ${version}: it has ${node.versions[0]} to ${node.versions[1]}`)
}

/** Writes one value by walking its declaration; undefined stands for the fallback or the zero of its type. */
export function writeValue(node: Node, writer: Writer, value: unknown, version?: number): void {
  const meant = versionOf(node, version) ?? noVersion(node as MessageNode, version)
  write(node, writer, value, meant.version, meant.flexible)
}

function read(node: Node, reader: Reader, version: number, flexible: boolean): unknown {
  switch (node.kind) {
    case 'scalar':
      return reader[node.name]()
    case 'flex':
      return reader[scalarOf(node, flexible)]()
    case 'refer':
      return reader[referScalar(node, flexible)]()
    case 'raw':
      return reader.bytes(node.length)
    case 'custom':
      return node.form.read(reader)
    case 'rest':
      return reader.rest()
    case 'list':
      return readList(node, reader, version, flexible)
    case 'flags':
      return readFlags(node, reader)
    case 'struct':
      return readStruct(node, reader, version, flexible)
    case 'nullable':
      return readPresence(reader) ? read(node.of, reader, version, flexible) : null
    case 'ranged':
      return inRange(node, version) ? read(node.of, reader, version, flexible) : fresh(node.fallback)
    case 'tagged':
      return fresh(node.fallback)
    case 'message':
      return readStruct(node.of, reader, version, flexible)
  }
}

/** The byte before a struct that can be null. */
export function readPresence(reader: Reader): boolean {
  const presence = reader.i8()
  if (presence !== 1 && presence !== -1)
    throw new ProtocolError(`Expected -1 or 1 before byte ${reader.at}, got ${presence}`)
  return presence === 1
}

function readList(node: NodeOf<'list'>, reader: Reader, version: number, flexible: boolean): unknown[] | null {
  const items: unknown[] = []
  if (node.count === 'end') {
    while (!reader.done()) {
      const at = reader.at
      items.push(read(node.of, reader, version, flexible))
      checkProgress(reader, at)
    }
    return items
  }
  const count = readCount(node, reader, flexible)
  if (count === -1 && node.nullable) return null
  checkCount(reader, count, bytesMin(node.of, version, flexible))
  for (let index = 0; index < count; index++) items.push(read(node.of, reader, version, flexible))
  return items
}

export function readCount(node: NodeOf<'list'>, reader: Reader, flexible: boolean): number {
  if (node.count === 'u16') return reader.u16()
  return node.count === 'compact' || (node.count === 'flex' && flexible) ? reader.uvarint() - 1 : reader.i32()
}

/** A count that the bytes left cannot hold is refused before anything is made of it. */
export function checkCount(reader: Reader, count: number, itemBytesMin: number): void {
  if (count < 0 || count * Math.max(itemBytesMin, 1) > reader.remaining) {
    throw new ProtocolError(
      `Cannot take a list of ${count} items before byte ${reader.at}: ${reader.remaining} bytes are left`,
    )
  }
  takeItems(reader, count)
}

function takeItems(reader: Reader, count: number): void {
  if (count > reader.itemsLeft) {
    throw new ProtocolError(
      `Cannot take ${count} more list items at byte ${reader.at}: ${reader.itemsLeft} are allowed`,
    )
  }
  reader.itemsLeft -= count
}

/** After each item of a list without a count: items that take no bytes would never come to the end. */
export function checkProgress(reader: Reader, at: number): void {
  if (reader.at === at) throw new ProtocolError(`Cannot read items without bytes up to the end, at byte ${at}`)
  takeItems(reader, 1)
}

function readFlags(node: NodeOf<'flags'>, reader: Reader): Record<string, boolean> {
  const bits = reader[node.of]()
  const flags: Record<string, boolean> = {}
  for (const name in node.bits) flags[name] = ((bits >>> node.bits[name]!) & 1) === 1
  return flags
}

function readStruct(node: StructNode, reader: Reader, version: number, flexible: boolean): Fields {
  const value: Fields = {}
  for (const field of node.fields) value[field.name] = read(field.node, reader, version, flexible)
  if (flexible) readTags(node, value, reader, version)
  return value
}

function readTags(node: StructNode, value: Fields, reader: Reader, version: number): void {
  for (let count = reader.uvarint(); count > 0; count--) {
    const tag = reader.uvarint()
    const size = reader.uvarint()
    const field = node.fields.find(candidate => candidate.node.kind === 'tagged' && candidate.node.tag === tag)
    if (field?.node.kind !== 'tagged' || !inRange(field.node, version)) {
      reader.skip(size) // A newer peer may say more than we know.
      continue
    }
    const inner = taggedReader(reader, size)
    value[field.name] = read(field.node.of, inner, version, true)
    endTagged(reader, inner)
  }
}

/** A reader of the next `size` bytes; the outer one goes on after them. */
export function taggedReader(reader: Reader, size: number): Reader {
  const at = reader.at
  reader.skip(size)
  return new Reader(reader.source, at, at + size, reader.itemsLeft)
}

/** All of the section must have been read, and the items in it count for what is outside, too. */
export function endTagged(reader: Reader, inner: Reader): void {
  inner.expectEnd()
  reader.itemsLeft = inner.itemsLeft
}

function write(node: Node, writer: Writer, given: unknown, version: number, flexible: boolean): void {
  const value = given === undefined ? zero(node) : given
  switch (node.kind) {
    case 'scalar':
      return writer[node.name](value as never)
    case 'flex':
      return writer[scalarOf(node, flexible)](value as never)
    case 'refer':
      return writeRefer(writer, value as Buffer | readonly Buffer[] | null, flexible)
    case 'raw':
      return writeRaw(writer, value as Buffer, node.length)
    case 'custom':
      return node.form.write(writer, value)
    case 'rest':
      return writer.bytes(value as Buffer)
    case 'list':
      return writeList(node, writer, value as readonly unknown[] | null, version, flexible)
    case 'flags':
      return writeFlags(node, writer, value as Record<string, boolean>)
    case 'struct':
      return writeStruct(node, writer, value as Fields, version, flexible)
    case 'nullable':
      writer.i8(value === null ? -1 : 1)
      return value === null ? undefined : write(node.of, writer, value, version, flexible)
    case 'ranged':
      return inRange(node, version) ? write(node.of, writer, value, version, flexible) : undefined
    case 'tagged':
      return // Written after the fields.
    case 'message':
      return writeStruct(node.of, writer, value as Fields, version, flexible)
  }
}

/** Several slices are one value: their bytes follow each other. */
export function writeRefer(writer: Writer, value: Buffer | readonly Buffer[] | null, flexible: boolean): void {
  const single = value === null || Buffer.isBuffer(value)
  const length = value === null ? -1 : single ? value.length : value.reduce((sum, part) => sum + part.length, 0)
  if (flexible) writer.uvarint(length + 1)
  else writer.i32(length)
  if (value === null) return
  if (single) writer.refer(value)
  else for (const part of value) writer.refer(part)
}

export function writeRaw(writer: Writer, value: Buffer, length: number): void {
  if (value.length !== length) throw new RangeError(`Cannot write ${value.length} bytes into a field of ${length}`)
  writer.bytes(value)
}

function writeList(
  node: NodeOf<'list'>,
  writer: Writer,
  items: readonly unknown[] | null,
  version: number,
  flexible: boolean,
): void {
  const count = items === null ? -1 : items.length
  if (node.count === 'u16') writeCount16(writer, count)
  else if (node.count === 'compact' || (node.count === 'flex' && flexible)) writer.uvarint(count + 1)
  else if (node.count !== 'end') writer.i32(count)
  if (items !== null) for (const item of items) write(node.of, writer, item, version, flexible)
}

export function writeCount16(writer: Writer, count: number): void {
  if (count > 0xffff) throw new RangeError(`Cannot write a list of ${count} items: the field holds 65535`)
  writer.u16(count)
}

function writeFlags(node: NodeOf<'flags'>, writer: Writer, flags: Record<string, boolean>): void {
  let bits = 0
  for (const name in node.bits) if (flags[name] === true) bits |= 1 << node.bits[name]!
  writer[node.of](bits >>> 0)
}

function writeStruct(node: StructNode, writer: Writer, value: Fields, version: number, flexible: boolean): void {
  for (const field of node.fields) write(field.node, writer, value[field.name], version, flexible)
  if (flexible) writeTags(node, writer, value, version)
}

function writeTags(node: StructNode, writer: Writer, value: Fields, version: number): void {
  const present = taggedFields(node, version).filter(({ name, node: tagged }) => {
    return value[name] !== undefined && !isFallback(value[name], tagged.fallback)
  })
  writer.uvarint(present.length)
  for (const { name, node: tagged } of present) {
    const inner = new Writer()
    write(tagged.of, inner, value[name], version, true)
    writeTag(writer, tagged.tag, inner)
  }
}

export function writeTag(writer: Writer, tag: number, inner: Writer): void {
  writer.uvarint(tag)
  writer.uvarint(inner.length)
  writer.bytes(inner.take())
}
