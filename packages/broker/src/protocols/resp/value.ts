import { ProtocolError } from '@dragoman/wire'

/** Kinds of values with their marks. [RESP3 specification] */
export const marks = {
  '+': 'simple',
  '-': 'error',
  ':': 'integer',
  $: 'bulk',
  '*': 'array',
  _: 'null',
  '#': 'boolean',
  ',': 'double',
  '(': 'bignumber',
  '!': 'bulkerror',
  '=': 'verbatim',
  '%': 'map',
  '~': 'set',
  '>': 'push',
} as const

export type Kind = (typeof marks)[keyof typeof marks]

/** A value as it lies: text, or values in a row. */
export type RespValue =
  | { readonly kind: Kind; readonly text: Buffer | null }
  | { readonly kind: Kind; readonly items: readonly RespValue[] }

const depthMax = 32
const itemsMax = 1024 * 1024
const cr = 13

/** The value at `at`, and where it ends; undefined when it is not whole. Throws `ProtocolError`. For clients and people. */
export function value(bytes: Buffer, at: number, depth = 0): { value: RespValue; end: number } | undefined {
  if (depth > depthMax) throw new ProtocolError('Values are nested too deeply')
  const lineEnd = bytes.indexOf('\r\n', at)
  if (lineEnd < 0) return undefined
  const mark = String.fromCharCode(bytes[at]!) as keyof typeof marks
  const kind = marks[mark]
  if (kind === undefined) throw new ProtocolError(`No value begins with byte ${bytes[at]}`)
  const text = bytes.subarray(at + 1, lineEnd)
  const end = lineEnd + 2
  if ('$!='.includes(mark)) return bulk(kind, text, bytes, end)
  if (!'*%~>'.includes(mark)) return { value: { kind, text: kind === 'null' ? null : text }, end }
  const count = lengthOf(text)
  if (count < 0) return { value: { kind, text: null }, end }
  return items(kind, count * (mark === '%' ? 2 : 1), bytes, end, depth)
}

function bulk(kind: Kind, head: Buffer, bytes: Buffer, from: number): { value: RespValue; end: number } | undefined {
  const length = lengthOf(head)
  if (length < 0) return { value: { kind, text: null }, end: from }
  const to = from + length
  if (to + 2 > bytes.length) return undefined
  if (bytes[to] !== cr) throw new ProtocolError('Expected CR LF behind a bulk string')
  return { value: { kind, text: bytes.subarray(from, to) }, end: to + 2 }
}

function items(
  kind: Kind,
  count: number,
  bytes: Buffer,
  from: number,
  depth: number,
): { value: RespValue; end: number } | undefined {
  const found: RespValue[] = []
  let end = from
  while (found.length < count) {
    if (end >= bytes.length) return undefined
    const next = value(bytes, end, depth + 1)
    if (!next) return undefined
    found.push(next.value)
    end = next.end
  }
  return { value: { kind, items: found }, end }
}

function lengthOf(text: Buffer): number {
  const written = text.toString('latin1')
  if (!/^(?:-1|\d{1,10})$/.test(written)) throw new ProtocolError(`${JSON.stringify(written)} is no length`)
  const length = Number(written)
  if (length > itemsMax * 512) throw new ProtocolError('A length is too large')
  return length
}
