import type { Reader } from './reader.ts'
import type { Writer } from './writer.ts'
import { readValue, writeValue } from './interpret.ts'
import { newestVersion, zero, type CountName, type CustomForm, type Node, type StructNode } from './node.ts'
import type { Random } from './random.ts'
import { sampleValue } from './sample.ts'
import type { ScalarName, UnsignedName } from './scalar.ts'

/**
 * A declared form of bytes. `T` is what reading gives; `W`, what writing takes, may leave out fields.
 *
 * Where no version is named, the newest one is meant.
 */
export interface Codec<T, W = T> {
  /** Throws only `ProtocolError`. Bytes in the value share the memory of the reader's source. */
  read(reader: Reader, version?: number): T
  write(writer: Writer, value: W, version?: number): void
  /** A random value that a round trip in this version gives back. */
  sample(random: Random, version?: number): T
  readonly node: Node
}

export type Infer<C> = C extends Codec<infer T, any> ? T : never
export type Write<C> = C extends { write(writer: Writer, value: infer W, version?: number): void } ? W : never

type AnyCodec = Codec<any, any>
type Fields = Readonly<Record<string, AnyCodec>>
type StructOf<F extends Fields> = { [K in keyof F]: Infer<F[K]> }
/** A field left out is written as its fallback, or else as the zero of its type. */
type StructWrite<F extends Fields> = { readonly [K in keyof F]?: Write<F[K]> | undefined }

/** The codec of a declaration, which must describe the types that are claimed here. */
export function fromNode<T, W = T>(node: Node): Codec<T, W> {
  return new NodeCodec<T, W>(node)
}

class NodeCodec<T, W> implements Codec<T, W> {
  readonly node: Node

  constructor(node: Node) {
    this.node = node
  }

  read(reader: Reader, version?: number): T {
    return readValue(this.node, reader, version) as T
  }

  write(writer: Writer, value: W, version?: number): void {
    writeValue(this.node, writer, value, version)
  }

  sample(random: Random, version?: number): T {
    return sampleValue(this.node, random, version) as T
  }
}

function scalar<T>(name: ScalarName): Codec<T> {
  return fromNode({ kind: 'scalar', name })
}

export const u8 = scalar<number>('u8')
export const i8 = scalar<number>('i8')
export const u16 = scalar<number>('u16')
export const i16 = scalar<number>('i16')
export const u32 = scalar<number>('u32')
export const i32 = scalar<number>('i32')
/** Exact up to 2^53. */
export const i64 = scalar<number>('i64')
export const bigint64 = scalar<bigint>('bigint64')
export const f64 = scalar<number>('f64')
export const bool = scalar<boolean>('bool')
export const uvarint = scalar<number>('uvarint')
/** Zigzag, 32 bits. */
export const varint = scalar<number>('varint')
/** Zigzag, 64 bits, exact up to 2^53. */
export const varlong = scalar<number>('varlong')
/** 16 bytes as 32 hex digits. */
export const uuid = scalar<string>('uuid')
export const string8 = scalar<string>('string8')
/** Unsigned length: up to 65,535 bytes. */
export const string16 = scalar<string>('string16')
/** Signed length: up to 32,767 bytes, and a negative length is refused. */
export const stringI16 = scalar<string>('stringI16')
export const nullableString16 = scalar<string | null>('nullableString16')
export const string32 = scalar<string>('string32')
export const bytes32 = scalar<Buffer>('bytes32')
export const nullableBytes32 = scalar<Buffer | null>('nullableBytes32')
export const compactString = scalar<string>('compactString')
export const compactNullableString = scalar<string | null>('compactNullableString')
export const compactBytes = scalar<Buffer>('compactBytes')
export const compactNullableBytes = scalar<Buffer | null>('compactNullableBytes')

function flex<T>(name: string, plain: ScalarName, compact: ScalarName): Codec<T> {
  return fromNode({ kind: 'flex', name, plain, compact })
}

/** Text: signed 16-bit length, compact in flexible versions. */
export const str = flex<string>('str', 'stringI16', 'compactString')
export const nullableStr = flex<string | null>('nullableStr', 'nullableString16', 'compactNullableString')
/** Bytes: signed 32-bit length, compact in flexible versions. */
export const bytes = flex<Buffer>('bytes', 'bytes32', 'compactBytes')
export const nullableBytes = flex<Buffer | null>('nullableBytes', 'nullableBytes32', 'compactNullableBytes')
/** As `bytes`; what is written is referred to, not copied, and must not change until the message has left. */
export const bytesRef = fromNode<Buffer, Buffer | readonly Buffer[]>({ kind: 'refer', nullable: false })
export const nullableBytesRef = fromNode<Buffer | null, Buffer | readonly Buffer[] | null>({
  kind: 'refer',
  nullable: true,
})

/** All bytes that are left. */
export function rest(of: typeof u8): Codec<Buffer> {
  if (of !== u8) throw new RangeError('Cannot read the rest as anything but u8: use listToEnd')
  return fromNode({ kind: 'rest' })
}

/** Exactly this many bytes. */
export function raw(length: number): Codec<Buffer> {
  return fromNode({ kind: 'raw', length })
}

/** A form of its own, described by its functions. */
export function custom<T, W = T>(form: CustomForm<T, W>): Codec<T, W> {
  return fromNode({ kind: 'custom', form })
}

export function struct<F extends Fields>(fields: F): Codec<StructOf<F>, StructWrite<F>> {
  return fromNode(structNode(fields))
}

function structNode(fields: Fields): StructNode {
  const list = Object.entries(fields).map(([name, codec]) => ({ name, node: codec.node }))
  const tags = new Set<number>()
  for (const { name, node } of list) {
    // Objects list keys that look like numbers first, whatever the order of the declaration.
    if (!/^[A-Za-z]\w*$/.test(name)) throw new RangeError(`Cannot name a field "${name}"`)
    if (node.kind !== 'tagged') continue
    if (tags.has(node.tag)) throw new RangeError(`Cannot use tag ${node.tag} again, for "${name}"`)
    tags.add(node.tag)
  }
  return { kind: 'struct', fields: list }
}

function listOf<T, W>(of: Codec<T, W>, count: CountName): Codec<T[], readonly W[]> {
  return fromNode({ kind: 'list', count, nullable: false, of: of.node })
}

function nullableListOf<T, W>(of: Codec<T, W>, count: CountName): Codec<T[] | null, readonly W[] | null> {
  return fromNode({ kind: 'list', count, nullable: true, of: of.node })
}

/** 32-bit count. A count that the bytes left cannot hold is refused at once. */
export const list = <T, W>(of: Codec<T, W>): Codec<T[], readonly W[]> => listOf(of, 'i32')
/** Unsigned 16-bit count. */
export const list16 = <T, W>(of: Codec<T, W>): Codec<T[], readonly W[]> => listOf(of, 'u16')
/** Count plus 1 as an unsigned varint. */
export const compactList = <T, W>(of: Codec<T, W>): Codec<T[], readonly W[]> => listOf(of, 'compact')
/** No count: items until the bytes end. */
export const listToEnd = <T, W>(of: Codec<T, W>): Codec<T[], readonly W[]> => listOf(of, 'end')
/** `list`, or `compactList` in flexible versions. */
export const array = <T, W>(of: Codec<T, W>): Codec<T[], readonly W[]> => listOf(of, 'flex')
/** Count -1 is null. */
export const nullableList = <T, W>(of: Codec<T, W>): Codec<T[] | null, readonly W[] | null> => nullableListOf(of, 'i32')
/** Count 0 on the wire is null. */
export const compactNullableList = <T, W>(of: Codec<T, W>): Codec<T[] | null, readonly W[] | null> =>
  nullableListOf(of, 'compact')
/** `nullableList`, or `compactNullableList` in flexible versions. */
export const nullableArray = <T, W>(of: Codec<T, W>): Codec<T[] | null, readonly W[] | null> =>
  nullableListOf(of, 'flex')

/** A struct that can be null: a byte before it says so, -1 null and 1 present. */
export function nullableStruct<T, W>(of: Codec<T, W>): Codec<T | null, W | null> {
  return fromNode({ kind: 'nullable', of: of.node })
}

/** Named bits (0 is the lowest) of an unsigned integer. Bits without a name are ignored and written as 0. */
export function flags<B extends Readonly<Record<string, number>>>(
  bits: B,
  of: Codec<number>,
): Codec<{ [K in keyof B]: boolean }, { readonly [K in keyof B]?: boolean | undefined }> {
  const names: readonly string[] = ['u8', 'u16', 'u32', 'uvarint'] satisfies UnsignedName[]
  if (of.node.kind !== 'scalar' || !names.includes(of.node.name)) throw new RangeError('Flags need an unsigned integer')
  return fromNode({ kind: 'flags', bits, of: of.node.name as UnsignedName })
}

/** On the wire from version `first` on; before it, reading gives `fallback` (else the zero of its type). */
export function since<T, W>(first: number, of: Codec<T, W>, fallback?: NoInfer<T>): Codec<T, W> {
  return between(first, newestVersion, of, fallback)
}

/** On the wire up to version `last`; after it, reading gives `fallback`. */
export function until<T, W>(last: number, of: Codec<T, W>, fallback?: NoInfer<T>): Codec<T, W> {
  return between(0, last, of, fallback)
}

/** On the wire from version `first` to `last`; elsewhere, reading gives `fallback`. */
export function between<T, W>(first: number, last: number, of: Codec<T, W>, fallback?: NoInfer<T>): Codec<T, W> {
  if (of.node.kind === 'tagged')
    throw new RangeError('A tagged field takes its first version as an argument of its own')
  return fromNode({ kind: 'ranged', since: first, until: last, of: of.node, fallback: fallback ?? zero(of.node) })
}

/** As `of`, but a field that was left out is written as `value`. */
export function byDefault<T, W>(of: Codec<T, W>, value: NoInfer<T>): Codec<T, W> {
  return between(0, newestVersion, of, value)
}

/**
 * A field in the tagged section that ends each struct of a flexible version. Absent, it reads as `fallback`; it is written only
 * if it differs from that.
 */
export function tagged<T, W>(tag: number, of: Codec<T, W>, fallback: NoInfer<T>, sinceVersion = 0): Codec<T, W> {
  return fromNode({ kind: 'tagged', tag, since: sinceVersion, of: of.node, fallback })
}

/** Adds what a reader of the documentation should know. */
export function doc<T, W>(of: Codec<T, W>, text: string): Codec<T, W> {
  return fromNode({ ...of.node, doc: text })
}

export interface MessageOptions {
  readonly name: string
  /** The first and the last version that this declaration describes. */
  readonly versions: readonly [min: number, max: number]
  /** The first version with compact forms and tagged sections; undefined: none. */
  readonly flexible?: number | undefined
  readonly doc?: string | undefined
}

/** A whole message in all its versions. Another version is a `ProtocolError`. */
export function message<F extends Fields>(options: MessageOptions, fields: F): Codec<StructOf<F>, StructWrite<F>> {
  const { name, versions, flexible = newestVersion + 1, doc: text } = options
  return fromNode({
    kind: 'message',
    name,
    versions,
    flexible,
    of: structNode(fields),
    ...(text === undefined ? {} : { doc: text }),
  })
}
