import { newestVersion, type Node, type NodeOf } from './node.ts'
import type { Codec } from './schema.ts'

/** Markdown rows of one message: field, type, versions, default, doc. Fields of nested structs have dotted names. */
export function docsTable(codec: Codec<any, any>): string {
  const rows: string[] = []
  addRows(rows, codec.node, '', '')
  return ['| field | type | versions | default | |', '|---|---|---|---|---|', ...rows].join('\n')
}

/** Adds the rows of what is inside `node`; a scalar has none of its own, as its field's row says all. */
function addRows(rows: string[], node: Node, path: string, versions: string): void {
  if (node.kind === 'struct') {
    const prefix = path === '' ? '' : `${path}.`
    for (const field of node.fields) addField(rows, field.node, prefix + field.name, versions)
  } else if (node.kind === 'flags') {
    for (const [name, bit] of Object.entries(node.bits)) {
      rows.push(cells(`${path}.${name}`, `bit ${bit}`, versions, '', ''))
    }
  } else if ('of' in node) {
    addRows(rows, node.of, node.kind === 'list' ? `${path}[]` : path, versions)
  }
}

function addField(rows: string[], node: Node, path: string, outerVersions: string): void {
  const versions = versionsOf(node) || outerVersions
  rows.push(cells(path, typeOf(node), versions, fallbackOf(node), docOf(node)))
  addRows(rows, node, path, versions)
}

function cells(...texts: string[]): string {
  return `| ${texts.map(text => text.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ')).join(' | ')} |`
}

function typeOf(node: Node): string {
  switch (node.kind) {
    case 'scalar':
      return node.name
    case 'flex':
      return node.name
    case 'refer':
      return node.nullable ? 'nullableBytes' : 'bytes'
    case 'raw':
      return `${node.length} bytes`
    case 'custom':
      return node.form.name
    case 'rest':
      return 'bytes to the end'
    case 'list':
      return `${node.nullable ? 'nullable ' : ''}${listNames[node.count]} of ${typeOf(node.of)}`
    case 'flags':
      return `flags in ${node.of}`
    case 'struct':
      return 'struct'
    case 'nullable':
      return `nullable ${typeOf(node.of)}`
    case 'ranged':
      return typeOf(node.of)
    case 'tagged':
      return `${typeOf(node.of)}, tag ${node.tag}`
    case 'message':
      return node.name
  }
}

const listNames: Record<NodeOf<'list'>['count'], string> = {
  i32: 'list',
  u16: 'list (16-bit count)',
  compact: 'compact list',
  flex: 'array',
  end: 'list to the end',
}

function versionsOf(node: Node): string {
  if (node.kind === 'tagged') return node.since === 0 ? '' : `${node.since}+`
  if (node.kind !== 'ranged') return ''
  if (node.until === newestVersion) return node.since === 0 ? '' : `${node.since}+`
  return node.since === node.until ? `${node.since}` : `${node.since}-${node.until}`
}

function fallbackOf(node: Node): string {
  if (node.kind !== 'tagged' && node.kind !== 'ranged') return ''
  const { fallback } = node
  if (Buffer.isBuffer(fallback)) return fallback.length === 0 ? '' : fallback.toString('hex')
  if (typeof fallback === 'bigint') return String(fallback)
  if (typeof fallback === 'object' && fallback !== null && !Array.isArray(fallback)) return ''
  return JSON.stringify(fallback)
}

function docOf(node: Node): string {
  if (node.doc !== undefined) return node.doc
  return node.kind === 'tagged' || node.kind === 'ranged' || node.kind === 'nullable' ? docOf(node.of) : ''
}
