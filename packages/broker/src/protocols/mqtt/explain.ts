import { ProtocolError, Reader } from '@dragoman/wire'
import { connect, messages, messagesByType, types, versions } from './messages.ts'

/** Packets for people, a line for each field. The version is that of a CONNECT before, else what fits. Throws `ProtocolError`. */
export function explainBytes(bytes: Buffer): string {
  const texts: string[] = []
  const reader = new Reader(bytes)
  let version: number | undefined
  while (!reader.done()) {
    const first = bytes[reader.at] ?? 0
    const type = first >> 4
    const form = messagesByType.get(type)
    if (!form) throw new ProtocolError(`There is no packet of type ${type}`)
    const name = Object.entries(messages).find(([, one]) => one === form)?.[0] ?? ''
    const at = reader.at
    const value = read(form, reader, version)
    if (type === types.connect) ({ version } = connect.read(new Reader(bytes, at)))
    texts.push(name, ...linesOf(value as Record<string, unknown>))
  }
  return texts.join('\n')
}

function read(form: (typeof messages)[keyof typeof messages], reader: Reader, version: number | undefined): unknown {
  const { at } = reader
  if (version !== undefined) return form.read(reader, version)
  try {
    return form.read(reader, versions.mqtt5)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    reader.at = at
    return form.read(reader, versions.mqtt311)
  }
}

function linesOf(value: Record<string, unknown>, indent = '  '): string[] {
  return Object.entries(value).flatMap(([name, one]) => {
    if (one === undefined) return []
    if (Buffer.isBuffer(one)) return [`${indent}${name}: ${shown(one)}`]
    if (Array.isArray(one)) return [`${indent}${name}: ${JSON.stringify(one)}`]
    if (typeof one === 'object' && one !== null)
      return [`${indent}${name}:`, ...linesOf(one as Record<string, unknown>, `${indent}  `)]
    return [`${indent}${name}: ${String(one)}`]
  })
}

const shown = (bytes: Buffer): string => `${bytes.length} bytes ${JSON.stringify(bytes.toString('latin1'))}`
