import { custom, ProtocolError, type Codec, type Random, type Reader, type Writer } from '@dragoman/wire'

/** A value with the letter of its type on the wire. */
export type FieldValue =
  | { readonly type: 't'; readonly value: boolean }
  | { readonly type: 'b' | 'B' | 's' | 'u' | 'I' | 'i' | 'f' | 'd'; readonly value: number }
  /** `l` and `L` are both signed, as peers write them; `T` is unsigned and counts seconds since 1970. */
  | { readonly type: 'l' | 'L' | 'T'; readonly value: bigint }
  | { readonly type: 'D'; readonly value: Decimal }
  /** Text, unless its bytes are not UTF-8. */
  | { readonly type: 'S'; readonly value: string | Buffer }
  | { readonly type: 'x'; readonly value: Buffer }
  | { readonly type: 'A'; readonly value: readonly FieldValue[] }
  | { readonly type: 'F'; readonly value: Table }
  | { readonly type: 'V'; readonly value: null }

export type FieldType = FieldValue['type']

/** `unscaled` divided by ten as often as `scale` says. */
export interface Decimal {
  readonly scale: number
  readonly unscaled: number
}

export type Field = FieldValue & { readonly name: string }

/** In the order of the wire; a name may come more than once. */
export type Table = readonly Field[]

/** Tables in tables, arrays in arrays, and so on: this deep. */
const depthMax = 32

/** A table behind its size of 32 bits. Values keep the types that the peer gave them. Throws `ProtocolError`. */
export const table: Codec<Table, Table> = custom<Table>({
  name: 'table',
  bytesMin: 4,
  zero: () => [],
  read: reader => readTable(reader, 0),
  write: (writer, value) => writeTable(writer, value),
  sample: random => sampleTable(random, 0),
})

/** The last field of that name. */
export const fieldOf = (fields: Table, name: string): Field | undefined => fields.findLast(field => field.name === name)

function readTable(reader: Reader, depth: number): Table {
  const end = endOf(reader, depth)
  const fields: Field[] = []
  while (reader.at < end) {
    const name = reader.string8()
    fields.push({ name, ...readValue(reader, depth) })
  }
  expectAt(reader, end)
  return fields
}

function readArray(reader: Reader, depth: number): FieldValue[] {
  const end = endOf(reader, depth)
  const items: FieldValue[] = []
  while (reader.at < end) items.push(readValue(reader, depth))
  expectAt(reader, end)
  return items
}

function endOf(reader: Reader, depth: number): number {
  if (depth > depthMax) throw new ProtocolError(`Cannot take a table that is nested more than ${depthMax} times`)
  const size = reader.u32()
  if (size > reader.remaining) {
    throw new ProtocolError(`Cannot take a table of ${size} bytes at byte ${reader.at}: ${reader.remaining} are left`)
  }
  return reader.at + size
}

function expectAt(reader: Reader, end: number): void {
  if (reader.at !== end)
    throw new ProtocolError(`Expected the end of a table at byte ${end}, but it is at ${reader.at}`)
}

function readValue(reader: Reader, depth: number): FieldValue {
  const type = String.fromCharCode(reader.u8())
  switch (type) {
    case 't':
      return { type, value: reader.bool() }
    case 'b':
      return { type, value: reader.i8() }
    case 'B':
      return { type, value: reader.u8() }
    case 's':
      return { type, value: reader.i16() }
    case 'u':
      return { type, value: reader.u16() }
    case 'I':
      return { type, value: reader.i32() }
    case 'i':
      return { type, value: reader.u32() }
    case 'l':
    case 'L':
      return { type, value: reader.bigint64() }
    case 'T':
      return { type, value: BigInt.asUintN(64, reader.bigint64()) }
    case 'f':
      return { type, value: reader.bytes(4).readFloatBE() }
    case 'd':
      return { type, value: reader.f64() }
    case 'D':
      return { type, value: { scale: reader.u8(), unscaled: reader.u32() } }
    case 'S':
      return { type, value: textOf(reader.bytes(reader.i32())) }
    case 'x':
      return { type, value: Buffer.from(reader.bytes(reader.i32())) }
    case 'A':
      return { type, value: readArray(reader, depth + 1) }
    case 'F':
      return { type, value: readTable(reader, depth + 1) }
    case 'V':
      return { type, value: null }
    default:
      throw new ProtocolError(`Expected the type of a field before byte ${reader.at}, got ${JSON.stringify(type)}`)
  }
}

function textOf(bytes: Buffer): string | Buffer {
  const text = bytes.toString()
  // Only what is not UTF-8 has the replacement character in it, and what has it in it honestly is rare.
  return text.includes('\uFFFD') && !Buffer.from(text).equals(bytes) ? Buffer.from(bytes) : text
}

function writeTable(writer: Writer, fields: Table): void {
  const at = writer.length
  writer.u32(0)
  for (const field of fields) {
    writer.string8(field.name)
    writeValue(writer, field)
  }
  writer.patchI32(at, writer.length - at - 4)
}

/** Type and value, as in tables and arrays. */
function writeValue(writer: Writer, field: FieldValue): void {
  writer.u8(field.type.charCodeAt(0))
  switch (field.type) {
    case 't':
      return writer.bool(field.value)
    case 'b':
    case 'B':
      return writer.u8(field.value)
    case 's':
    case 'u':
      return writer.u16(field.value)
    case 'I':
    case 'i':
      return writer.i32(field.value)
    case 'l':
    case 'L':
    case 'T':
      return writer.bigint64(BigInt.asIntN(64, field.value))
    case 'f': {
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeFloatBE(field.value)
      return writer.bytes(bytes)
    }
    case 'd':
      return writer.f64(field.value)
    case 'D':
      writer.u8(field.value.scale)
      return writer.u32(field.value.unscaled)
    case 'S':
      return typeof field.value === 'string' ? writer.string32(field.value) : writer.bytes32(field.value)
    case 'x':
      return writer.bytes32(field.value)
    case 'A':
      return writeArray(writer, field.value)
    case 'F':
      return writeTable(writer, field.value)
    case 'V':
      return
  }
}

function writeArray(writer: Writer, items: readonly FieldValue[]): void {
  const at = writer.length
  writer.u32(0)
  for (const item of items) writeValue(writer, item)
  writer.patchI32(at, writer.length - at - 4)
}

const sampleNames = ['a', 'x-message-ttl', 'x-match', 'product', 'ключ', '']

function sampleTable(random: Random, depth: number): Table {
  return Array.from({ length: random.below(depth === 0 ? 6 : 3) }, () => {
    return { name: random.pick(sampleNames), ...sampleField(random, depth) }
  })
}

const types: readonly FieldType[] = 'tbBsuIilLfdDSATFVx'.split('') as FieldType[]

function sampleField(random: Random, depth: number): FieldValue {
  const type = random.pick(depth < 3 ? types : types.filter(letter => letter !== 'A' && letter !== 'F'))
  switch (type) {
    case 't':
      return { type, value: random.chance(0.5) }
    case 'b':
      return { type, value: random.between(-0x80, 0x7f) }
    case 'B':
      return { type, value: random.below(0x100) }
    case 's':
      return { type, value: random.between(-0x8000, 0x7fff) }
    case 'u':
      return { type, value: random.below(0x1_0000) }
    case 'I':
      return { type, value: random.u32() | 0 }
    case 'i':
      return { type, value: random.u32() >>> 0 }
    case 'l':
    case 'L':
      return { type, value: random.bigint64() }
    case 'T':
      return { type, value: BigInt.asUintN(64, random.bigint64()) }
    case 'f':
      return { type, value: Math.fround(random.float() * 1000) }
    case 'd':
      return { type, value: random.float() * 1e9 - 5e8 }
    case 'D':
      return { type, value: { scale: random.below(0x100), unscaled: random.u32() >>> 0 } }
    case 'S':
      return { type, value: random.pick(['', 'text', 'é漢🜁', Buffer.from('c328', 'hex')]) }
    case 'x':
      return { type, value: random.bytes(random.below(20)) }
    case 'A':
      return { type, value: Array.from({ length: random.below(4) }, () => sampleField(random, depth + 1)) }
    case 'F':
      return { type, value: sampleTable(random, depth + 1) }
    case 'V':
      return { type, value: null }
  }
}
