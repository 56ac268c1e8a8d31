import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { checkCount, checkProgress, noVersion, readCount, readPresence, readValue, taggedReader } from './interpret.ts'
import { bytesMin, inRange, referScalar, scalarOf, taggedFields, versionOf } from './node.ts'
import type { MessageNode, Node, NodeOf, StructNode } from './node.ts'
import type { Codec } from './schema.ts'

/** One field against its bytes. */
export interface ExplainRow {
  readonly at: number
  readonly bytes: Buffer
  /** As in `topics[0].name`. */
  readonly path: string
  readonly value: string
}

/** Bytes shown of one field; more are told by their count. */
const hexBytesMax = 12
const valueLengthMax = 100

/**
 * The bytes of one value against its declaration, a line per field: offset, hex, path, value. Malformed bytes give the lines up
 * to there and the error; bytes left over are shown as such.
 */
export function explain(codec: Codec<any, any>, bytes: Buffer, version?: number): string {
  const reader = new Reader(bytes)
  const rows: ExplainRow[] = []
  try {
    explainValue(codec, reader, rows, version)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    rows.push(row(reader, reader.at, '(malformed)', error.message, bytes.length))
    return formatRows(rows)
  }
  if (!reader.done()) rows.push(row(reader, reader.at, '(left over)', `${reader.remaining} bytes`, bytes.length))
  return formatRows(rows)
}

/**
 * Adds the rows of the value at the reader, so that a frame can be explained as one list: head, then body. Throws
 * `ProtocolError` with the rows so far in `rows`.
 */
export function explainValue(
  codec: Codec<any, any>,
  reader: Reader,
  rows: ExplainRow[],
  version?: number,
  path = '',
): void {
  const { node } = codec
  const meant = versionOf(node, version) ?? noVersion(node as MessageNode, version)
  new Explainer(rows, meant.version, meant.flexible).value(node, reader, path)
}

/** Lines with aligned columns. */
export function formatRows(rows: readonly ExplainRow[]): string {
  const hexes = rows.map(({ bytes }) => hexOf(bytes))
  const hexWidth = Math.max(0, ...hexes.map(hex => hex.length))
  const pathWidth = Math.max(0, ...rows.map(({ path }) => path.length))
  return rows
    .map(({ at, path, value }, index) => {
      const hex = hexes[index]!.padEnd(hexWidth)
      return `${String(at).padStart(6)}  ${hex}  ${path.padEnd(pathWidth)}  ${value}`.trimEnd()
    })
    .join('\n')
}

class Explainer {
  readonly #rows: ExplainRow[]
  readonly #version: number
  readonly #flexible: boolean

  constructor(rows: ExplainRow[], version: number, flexible: boolean) {
    this.#rows = rows
    this.#version = version
    this.#flexible = flexible
  }

  value(node: Node, reader: Reader, path: string): void {
    switch (node.kind) {
      case 'scalar':
        return this.#leaf(reader, path, () => reader[node.name]())
      case 'flex':
        return this.#leaf(reader, path, () => reader[scalarOf(node, this.#flexible)]())
      case 'refer':
        return this.#leaf(reader, path, () => reader[referScalar(node, this.#flexible)]())
      case 'raw':
      case 'custom':
      case 'rest':
      case 'flags':
        return this.#leaf(reader, path, () => readValue(node, reader))
      case 'list':
        return this.#list(node, reader, path)
      case 'struct':
        return this.#struct(node, reader, path)
      case 'nullable': {
        let present = false
        this.#leaf(reader, path, () => {
          present = readPresence(reader)
          return present ? '(present)' : null
        })
        return present ? this.value(node.of, reader, path) : undefined
      }
      case 'ranged':
        return inRange(node, this.#version) ? this.value(node.of, reader, path) : undefined
      case 'tagged':
        return
      case 'message':
        return this.#struct(node.of, reader, path)
    }
  }

  #list(node: NodeOf<'list'>, reader: Reader, path: string): void {
    if (node.count === 'end') {
      for (let index = 0; !reader.done(); index++) {
        const at = reader.at
        this.value(node.of, reader, `${path}[${index}]`)
        checkProgress(reader, at)
      }
      return
    }
    let count = 0
    this.#leaf(reader, path, () => {
      count = readCount(node, reader, this.#flexible)
      if (count === -1 && node.nullable) return null
      checkCount(reader, count, bytesMin(node.of, this.#version, this.#flexible))
      return `(${count} items)`
    })
    for (let index = 0; index < count; index++) this.value(node.of, reader, `${path}[${index}]`)
  }

  #struct(node: StructNode, reader: Reader, path: string): void {
    const prefix = path === '' ? '' : `${path}.`
    for (const field of node.fields) this.value(field.node, reader, prefix + field.name)
    if (this.#flexible) this.#tags(node, reader, prefix)
  }

  #tags(node: StructNode, reader: Reader, prefix: string): void {
    const known = taggedFields(node, this.#version)
    let count = 0
    this.#leaf(reader, `${prefix}(tags)`, () => {
      count = reader.uvarint()
      return `(${count} tagged fields)`
    })
    for (; count > 0; count--) {
      const head = { tag: 0, size: 0 }
      this.#leaf(reader, `${prefix}(tag)`, () => {
        head.tag = reader.uvarint()
        head.size = reader.uvarint()
        return `(tag ${head.tag}, ${head.size} bytes)`
      })
      const field = known.find(candidate => candidate.node.tag === head.tag)
      if (field === undefined) {
        this.#leaf(reader, `${prefix}(unknown tag ${head.tag})`, () => reader.bytes(head.size))
        continue
      }
      const inner = taggedReader(reader, head.size)
      this.value(field.node.of, inner, prefix + field.name)
      inner.expectEnd()
    }
  }

  #leaf(reader: Reader, path: string, read: () => unknown): void {
    const at = reader.at
    const value = read()
    this.#rows.push(row(reader, at, path, textOf(value), reader.at))
  }
}

function row(reader: Reader, at: number, path: string, value: string, end: number): ExplainRow {
  return { at, bytes: reader.source.subarray(at, end), path, value }
}

function hexOf(bytes: Buffer): string {
  const hex = bytes.toString('hex', 0, hexBytesMax).replaceAll(/(..)(?=.)/g, '$1 ')
  return bytes.length > hexBytesMax ? `${hex} … ${bytes.length} bytes` : hex
}

function textOf(value: unknown): string {
  const text = typeof value === 'string' && !value.startsWith('(') ? JSON.stringify(value) : plainText(value)
  return text.length > valueLengthMax ? `${text.slice(0, valueLengthMax)}…` : text
}

function plainText(value: unknown): string {
  if (Buffer.isBuffer(value)) return `${value.length} bytes`
  if (typeof value === 'object' && value !== null) return JSON.stringify(value)
  return String(value)
}
