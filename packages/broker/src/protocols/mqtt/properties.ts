import { isUtf8 } from 'node:buffer'
import { custom, ProtocolError, Writer, type Codec, type Random, type Reader } from '@dragoman/wire'
import { malformed, violation } from './errors.ts'

const textBytesMax = 0xffff

/** Text: UTF-8 without U+0000, its size before it in 16 bits. [MQTT 5.0, 1.5.4] */
export function readText(reader: Reader): string {
  const bytes = readBinary(reader)
  if (!isUtf8(bytes) || bytes.includes(0)) throw malformed('Expected text in UTF-8 without U+0000')
  return bytes.toString()
}

export function writeText(writer: Writer, value: string): void {
  writeBinary(writer, Buffer.from(value))
}

export const readBinary = (reader: Reader): Buffer => reader.bytes(reader.u16())

export function writeBinary(writer: Writer, value: Uint8Array): void {
  if (value.length > textBytesMax) throw new RangeError(`Cannot write ${value.length} bytes where 65,535 fit`)
  writer.u16(value.length)
  writer.bytes(value)
}

/** 7 bits in each of up to 4 bytes, the lowest first. [MQTT 5.0, 1.5.5] */
export function readVarint(reader: Reader): number {
  let value = 0
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = reader.u8()
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return value
  }
  throw malformed('Expected a variable byte integer of at most 4 bytes')
}

export const varintBytes = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4

const sampleTexts = ['', 'a', 'x/y', 'ä€😀', 't'.repeat(300)]

/** Text as a declared form. */
export const text = custom<string>({
  name: 'text',
  bytesMin: 2,
  zero: () => '',
  read: readText,
  write: writeText,
  sample: random => random.pick(sampleTexts),
})

/** Bytes, their size before them in 16 bits. */
export const binary = custom<Buffer>({
  name: 'binary',
  bytesMin: 2,
  zero: () => Buffer.alloc(0),
  read: readBinary,
  write: writeBinary,
  sample: random => random.bytes(random.below(20)),
})

type Kind = 'flag' | 'u8' | 'u16' | 'u32' | 'varint' | 'text' | 'binary' | 'pairs' | 'varints'

/** Every property, once. `least`: a smaller value is an error. [MQTT 5.0, 2.2.2.2] */
const table = {
  payloadFormat: { id: 0x01, kind: 'flag' },
  messageExpiry: { id: 0x02, kind: 'u32' },
  contentType: { id: 0x03, kind: 'text' },
  responseTopic: { id: 0x08, kind: 'text' },
  correlationData: { id: 0x09, kind: 'binary' },
  subscriptionIds: { id: 0x0b, kind: 'varints', least: 1 },
  sessionExpiry: { id: 0x11, kind: 'u32' },
  assignedClientId: { id: 0x12, kind: 'text' },
  serverKeepAlive: { id: 0x13, kind: 'u16' },
  authMethod: { id: 0x15, kind: 'text' },
  authData: { id: 0x16, kind: 'binary' },
  requestProblem: { id: 0x17, kind: 'flag' },
  willDelay: { id: 0x18, kind: 'u32' },
  requestResponse: { id: 0x19, kind: 'flag' },
  responseInformation: { id: 0x1a, kind: 'text' },
  serverReference: { id: 0x1c, kind: 'text' },
  reasonString: { id: 0x1f, kind: 'text' },
  receiveMaximum: { id: 0x21, kind: 'u16', least: 1 },
  topicAliasMaximum: { id: 0x22, kind: 'u16' },
  topicAlias: { id: 0x23, kind: 'u16' },
  maximumQos: { id: 0x24, kind: 'flag' },
  retainAvailable: { id: 0x25, kind: 'flag' },
  userProperties: { id: 0x26, kind: 'pairs' },
  maximumPacketSize: { id: 0x27, kind: 'u32', least: 1 },
  wildcardsAvailable: { id: 0x28, kind: 'flag' },
  identifiersAvailable: { id: 0x29, kind: 'flag' },
  sharedAvailable: { id: 0x2a, kind: 'flag' },
} as const satisfies Record<string, { id: number; kind: Kind; least?: number }>

type Table = typeof table
export type PropertyName = keyof Table
interface Values {
  flag: number
  u8: number
  u16: number
  u32: number
  varint: number
  text: string
  binary: Buffer
  pairs: [string, string][]
  varints: number[]
}
export type Properties = { [N in PropertyName]?: Values[Table[N]['kind']] | undefined }

export const propertyIds = Object.fromEntries(Object.entries(table).map(([name, { id }]) => [name, id])) as Record<
  PropertyName,
  number
>

interface Row {
  readonly name: PropertyName
  readonly id: number
  readonly kind: Kind
  readonly least: number
}

const rows: readonly Row[] = Object.entries(table).map(([name, row]) => {
  return { least: 0, ...row, name: name as PropertyName }
})
const rowsById = new Map(rows.map(row => [row.id, row]))

/** One value, checked. */
function readValue({ name, kind, least }: Row, reader: Reader): unknown {
  const value = readKind(kind, reader)
  if (typeof value === 'number') {
    if (value < least) throw violation(`${name} cannot be ${value}`)
    if (kind === 'flag' && value > 1) throw violation(`${name} is 0 or 1, not ${value}`)
  }
  return value
}

function readKind(kind: Kind, reader: Reader): unknown {
  switch (kind) {
    case 'flag':
    case 'u8':
      return reader.u8()
    case 'u16':
      return reader.u16()
    case 'u32':
      return reader.u32()
    case 'varint':
    case 'varints':
      return readVarint(reader)
    case 'text':
      return readText(reader)
    case 'binary':
      return readBinary(reader)
    case 'pairs':
      return [readText(reader), readText(reader)]
  }
}

/** Reads properties up to `end`, of those that are `allowed`. `each` is told where each one lies. */
export function readProperties(
  reader: Reader,
  end: number,
  allowed: ReadonlySet<number>,
  each?: (id: number, from: number, to: number) => void,
): Properties {
  const found: Record<string, unknown> = {}
  while (reader.at < end) {
    const from = reader.at
    const id = readVarint(reader)
    const row = rowsById.get(id)
    if (!row) throw malformed(`There is no property ${id}`)
    if (!allowed.has(id)) throw violation(`The property ${row.name} cannot be in this packet`)
    const value = readValue(row, reader)
    const { name, kind } = row
    if (kind === 'pairs' || kind === 'varints') {
      const list = (found[name] ??= []) as unknown[]
      list.push(value)
    } else if (found[name] !== undefined) throw violation(`The property ${name} comes twice`)
    else found[name] = value
    each?.(id, from, reader.at)
  }
  if (reader.at !== end) throw malformed('The properties have another size than they say')
  return found
}

/** All but their size. */
export function writeProperties(writer: Writer, values: Properties): void {
  for (const { name, id, kind } of rows) {
    const value = values[name]
    if (value === undefined) continue
    const all = kind === 'pairs' || kind === 'varints' ? (value as unknown[]) : [value]
    for (const one of all) {
      writer.u8(id)
      writeKind(writer, kind, one)
    }
  }
}

/** Cuts one list after the other. */
const scratch = new Writer()

/** The same as bytes. */
export function encodeProperties(values: Properties): Buffer {
  if (scratch.length > 0) scratch.take()
  writeProperties(scratch, values)
  return scratch.take()
}

function writeKind(writer: Writer, kind: Kind, value: unknown): void {
  switch (kind) {
    case 'flag':
    case 'u8':
      return writer.u8(value as number)
    case 'u16':
      return writer.u16(value as number)
    case 'u32':
      return writer.u32(value as number)
    case 'varint':
    case 'varints':
      return writer.uvarint(value as number)
    case 'text':
      return writeText(writer, value as string)
    case 'binary':
      return writeBinary(writer, value as Buffer)
    case 'pairs':
      for (const one of value as [string, string]) writeText(writer, one)
  }
}

/** A value that a round trip gives back. */
function sampleKind(random: Random, kind: Kind): unknown {
  switch (kind) {
    case 'flag':
      return random.below(2)
    case 'u8':
      return random.below(256)
    case 'u16':
      return 1 + random.below(0xffff)
    case 'u32':
      return 1 + random.below(random.pick([10, 0xffff_ffff]))
    case 'varint':
      return 1 + random.below(300)
    case 'text':
      return random.pick(sampleTexts)
    case 'binary':
      return random.bytes(random.below(9))
    case 'pairs':
      return Array.from({ length: 1 + random.below(3) }, () => [random.pick(sampleTexts), random.pick(sampleTexts)])
    case 'varints':
      return Array.from({ length: 1 + random.below(3) }, () => 1 + random.below(random.pick([10, 0xfff_ffff])))
  }
}

/** Properties as a declared form: their size, then those of `names` that are there. */
export function propertiesOf(...names: readonly PropertyName[]): Codec<Properties> & { allowed: ReadonlySet<number> } {
  const allowed = new Set(names.map(name => propertyIds[name]))
  const codec = custom<Properties>({
    name: `properties (${names.join(', ')})`,
    bytesMin: 1,
    zero: () => ({}),
    read(reader) {
      const length = readVarint(reader)
      if (length > reader.remaining) throw new ProtocolError(`Expected ${length} bytes of properties`)
      return readProperties(reader, reader.at + length, allowed)
    },
    write(writer, value) {
      const bytes = encodeProperties(value)
      writer.uvarint(bytes.length)
      writer.bytes(bytes)
    },
    sample(random) {
      const values: Record<string, unknown> = {}
      for (const { name, id, kind } of rows)
        if (allowed.has(id) && random.chance(0.3)) values[name] = sampleKind(random, kind)
      return values
    },
  })
  return Object.assign(codec, { allowed })
}
