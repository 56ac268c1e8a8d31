import type { Random } from './random.ts'
import type { Reader } from './reader.ts'
import type { Writer } from './writer.ts'
import { noBytes, scalarTraits, zeroScalar, type ScalarName, type UnsignedName } from './scalar.ts'

/** How a list tells its size: a count, a count plus 1 as a varint (`compact`), one of the two (`flex`), or the end of the bytes. */
export type CountName = 'i32' | 'u16' | 'compact' | 'flex' | 'end'

/** A declaration as plain data. Reading, writing, samples, compiled code, tables and explanations are made from it. */
export type Node = { readonly doc?: string } & (
  | { readonly kind: 'scalar'; readonly name: ScalarName }
  /** The plain form, or the compact one in flexible versions of a message. */
  | { readonly kind: 'flex'; readonly name: string; readonly plain: ScalarName; readonly compact: ScalarName }
  /** Bytes that are written by reference. */
  | { readonly kind: 'refer'; readonly nullable: boolean }
  | { readonly kind: 'raw'; readonly length: number }
  | { readonly kind: 'custom'; readonly form: CustomForm }
  | { readonly kind: 'rest' }
  | { readonly kind: 'list'; readonly count: CountName; readonly nullable: boolean; readonly of: Node }
  | { readonly kind: 'flags'; readonly bits: Readonly<Record<string, number>>; readonly of: UnsignedName }
  | StructNode
  /** One byte before it: -1 null, 1 present. */
  | { readonly kind: 'nullable'; readonly of: Node }
  /** On the wire only in versions `since` to `until`; `fallback` elsewhere. */
  | {
      readonly kind: 'ranged'
      readonly since: number
      readonly until: number
      readonly of: Node
      readonly fallback: unknown
    }
  /** Only as a field of a struct: part of its tagged section in flexible versions from `since` on. */
  | {
      readonly kind: 'tagged'
      readonly tag: number
      readonly since: number
      readonly of: Node
      readonly fallback: unknown
    }
  | MessageNode
)

/** A form of bytes that no other kind describes, by its own functions. */
export interface CustomForm<T = any, W = T> {
  readonly name: string
  /** The fewest bytes that a value takes. */
  readonly bytesMin: number
  /** What a field holds that nobody set. */
  zero(): T
  /** Throws only `ProtocolError`. */
  read(reader: Reader): T
  write(writer: Writer, value: W): void
  sample(random: Random): T
}

export type NodeOf<K extends Node['kind']> = Extract<Node, { kind: K }>

export interface StructNode {
  readonly kind: 'struct'
  readonly fields: readonly Field[]
  readonly doc?: string
}

export interface Field {
  readonly name: string
  readonly node: Node
}

export interface MessageNode {
  readonly kind: 'message'
  readonly name: string
  readonly versions: readonly [min: number, max: number]
  /** The first version with compact forms and tagged sections. */
  readonly flexible: number
  readonly of: StructNode
  readonly doc?: string
}

/** Stands for the newest version where none is named. */
export const newestVersion = 0x7fff

/** The version meant, and whether it is a flexible one. Undefined when the message has no such version. */
export function versionOf(node: Node, version: number | undefined): { version: number; flexible: boolean } | undefined {
  if (node.kind !== 'message') return { version: version ?? newestVersion, flexible: false }
  const meant = version ?? node.versions[1]
  if (!(meant >= node.versions[0] && meant <= node.versions[1])) return undefined
  return { version: meant, flexible: meant >= node.flexible }
}

export function inRange(node: { since: number; until?: number }, version: number): boolean {
  return version >= node.since && version <= (node.until ?? newestVersion)
}

export function scalarOf(node: NodeOf<'flex'>, flexible: boolean): ScalarName {
  return flexible ? node.compact : node.plain
}

export function referScalar(node: NodeOf<'refer'>, flexible: boolean): ScalarName {
  if (flexible) return node.nullable ? 'compactNullableBytes' : 'compactBytes'
  return node.nullable ? 'nullableBytes32' : 'bytes32'
}

/** What a field holds that nobody set: 0, '', false, null where it can be null, and nothing in lists and bytes. */
export function zero(node: Node): unknown {
  switch (node.kind) {
    case 'scalar':
      return zeroScalar(node.name)
    case 'flex':
      return zeroScalar(node.plain)
    case 'refer':
      return node.nullable ? null : noBytes
    case 'raw':
      return Buffer.alloc(node.length)
    case 'custom':
      return node.form.zero()
    case 'rest':
      return noBytes
    case 'list':
      return node.nullable ? null : []
    case 'flags':
      return Object.fromEntries(Object.keys(node.bits).map(name => [name, false]))
    case 'struct':
      return Object.fromEntries(node.fields.map(field => [field.name, zero(field.node)]))
    case 'nullable':
      return null
    case 'ranged':
    case 'tagged':
      return fresh(node.fallback)
    case 'message':
      return zero(node.of)
  }
}

/** Lists and objects are handed out anew each time, so that nobody fills those of the declaration. */
export function fresh(fallback: unknown): unknown {
  if (Array.isArray(fallback)) return fallback.map(fresh)
  if (!isPlainObject(fallback)) return fallback
  return Object.fromEntries(Object.entries(fallback).map(([name, value]) => [name, fresh(value)]))
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

/** Whether a tagged field may stay away, as its absence reads as the same. */
export function isFallback(value: unknown, fallback: unknown): boolean {
  if (value === fallback) return true
  if (Array.isArray(value)) return Array.isArray(fallback) && sameItems(value, fallback)
  if (Buffer.isBuffer(value)) return Buffer.isBuffer(fallback) && value.equals(fallback)
  if (!isPlainObject(value) || !isPlainObject(fallback)) return false
  return sameItems(Object.entries(value).flat(), Object.entries(fallback).flat())
}

function sameItems(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((item, index) => isFallback(item, other[index]))
}

/** The fewest bytes that a value takes: what a list's count is checked against. */
export function bytesMin(node: Node, version: number, flexible: boolean): number {
  switch (node.kind) {
    case 'scalar':
      return scalarTraits(node.name).bytesMin
    case 'flex':
      return scalarTraits(scalarOf(node, flexible)).bytesMin
    case 'refer':
      return scalarTraits(referScalar(node, flexible)).bytesMin
    case 'raw':
      return node.length
    case 'custom':
      return node.form.bytesMin
    case 'rest':
    case 'tagged':
      return 0
    case 'list':
      return { i32: 4, u16: 2, compact: 1, flex: flexible ? 1 : 4, end: 0 }[node.count]
    case 'flags':
      return scalarTraits(node.of).bytesMin
    case 'struct': {
      const fields = node.fields.reduce((sum, field) => sum + bytesMin(field.node, version, flexible), 0)
      return fields + (flexible ? 1 : 0)
    }
    case 'nullable':
      return 1
    case 'ranged':
      return inRange(node, version) ? bytesMin(node.of, version, flexible) : 0
    case 'message':
      return bytesMin(node.of, version, flexible)
  }
}

/** The tagged fields of this version in the order of their tags, as they must be written. */
export function taggedFields(node: StructNode, version: number): (Field & { node: NodeOf<'tagged'> })[] {
  return node.fields
    .filter(
      (field): field is Field & { node: NodeOf<'tagged'> } =>
        field.node.kind === 'tagged' && inRange(field.node, version),
    )
    .sort((one, other) => one.node.tag - other.node.tag)
}
