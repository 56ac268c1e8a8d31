import { isUtf8 } from 'node:buffer'
import { ProtocolError } from '@dragoman/wire'

/** Of the specification. They differ in how headers are written. */
export type Version = '1.0' | '1.1' | '1.2'

/** In the order of preference. */
export const versions: readonly Version[] = ['1.2', '1.1', '1.0']

const headerCountMax = 1000

/**
 * The headers of one frame. Of several with one name, the first counts. [STOMP-1.2, Repeated Header Entries]
 *
 * They are kept as they came, line by line, and read when they are asked for.
 */
export class Headers {
  readonly lines: readonly string[]
  readonly version: Version
  readonly #isEscaped: boolean

  constructor(lines: readonly string[], version: Version, isEscaped: boolean) {
    this.lines = lines
    this.version = version
    this.#isEscaped = isEscaped
  }

  /** Undefined when there is none of that name, which has no character that is escaped. */
  get(name: string): string | undefined {
    for (const line of this.lines) {
      if (line.charCodeAt(name.length) === colon && line.startsWith(name)) return this.valueOf(line)
    }
    return undefined
  }

  /** As the peer wrote it, so that it can be told it again. */
  raw(name: string): string | undefined {
    for (const line of this.lines) {
      if (line.charCodeAt(name.length) !== colon || !line.startsWith(name)) continue
      const value = line.slice(name.length + 1)
      return this.version === '1.0' ? value.trim() : value
    }
    return undefined
  }

  has(name: string): boolean {
    return this.lines.some(line => line.charCodeAt(name.length) === colon && line.startsWith(name))
  }

  /** All, in their order. */
  entries(): [string, string][] {
    return this.lines.map(line => [this.nameOf(line), this.valueOf(line)])
  }

  nameOf(line: string): string {
    const name = line.slice(0, line.indexOf(':'))
    return this.#isEscaped ? unescaped(name) : this.version === '1.0' ? name.trim() : name
  }

  valueOf(line: string): string {
    const value = line.slice(line.indexOf(':') + 1)
    return this.#isEscaped ? unescaped(value) : this.version === '1.0' ? value.trim() : value
  }
}

const colon = 0x3a

/** Takes the head of a frame apart. Frames that open a connection are not escaped. [STOMP-1.2, Value Encoding] */
export function readHeaders(head: Buffer, version: Version, opens: boolean): { command: string; headers: Headers } {
  const text = head.toString()
  if (text.includes('\uFFFD') && !isUtf8(head)) throw new ProtocolError('The headers of the frame are not UTF-8')
  if (text.includes('\0')) throw new ProtocolError('The head of the frame does not end with an empty line')
  const lines = (text.includes('\r') ? text.replaceAll('\r\n', '\n').replace(/\r$/, '') : text).split('\n')
  if (lines.length > headerCountMax) throw new ProtocolError(`A frame has at most ${headerCountMax} headers`)
  const [command = ''] = lines
  lines.shift()
  for (const line of lines) {
    if (line.indexOf(':') < 1) throw new ProtocolError(`Expected a header of the form name:value, got ${shown(line)}`)
  }
  const isEscaped = version !== '1.0' && !opens
  if (isEscaped && text.includes('\\')) checkEscapes(text, version)
  return { command, headers: new Headers(lines, version, isEscaped) }
}

const wrongEscape = { '1.1': /(?:^|[^\\])(?:\\\\)*\\(?![nc\\])/, '1.2': /(?:^|[^\\])(?:\\\\)*\\(?![rnc\\])/ } as const

function checkEscapes(text: string, version: Exclude<Version, '1.0'>): void {
  const found = wrongEscape[version].exec(text)
  if (!found) return
  const at = found.index + found[0].length - 1
  throw new ProtocolError(`${shown(text.slice(at, at + 2))} is no escape that STOMP ${version} knows`)
}

const escapes: Readonly<Record<string, string>> = { r: '\r', n: '\n', c: ':', '\\': '\\' }

function unescaped(text: string): string {
  return text.includes('\\') ? text.replaceAll(/\\([rnc\\])/g, (_, letter: string) => escapes[letter] ?? '') : text
}

/** A name or a value as version 1.2 writes it; in frames of 1.1 there is no word for CR, and it is left out. */
export function escaped(text: string, version: Version = '1.2'): string {
  if (!/[\r\n:\\]/.test(text)) return text
  // Lines cannot have ends within, and values alone may have colons. [STOMP-1.0]
  if (version === '1.0') return text.replaceAll(/[\r\n]/g, ' ')
  const all = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(':', '\\c')
  return all.replaceAll('\r', version === '1.2' ? '\\r' : '')
}

/** A header as a line of its own. */
export function headerLine(name: string, value: string, version: Version = '1.2'): string {
  // A colon in a name would end it.
  const written = version === '1.0' ? escaped(name, version).replaceAll(':', '_') : escaped(name, version)
  return `${written}:${escaped(value, version)}\n`
}

/** Lines of version 1.2 taken apart. */
export const headersOf = (lines: string): Headers =>
  new Headers(lines === '' ? [] : lines.slice(0, -1).split('\n'), '1.2', true)

/** Lines of version 1.2 as another one writes them. */
export function rewritten(lines: string, version: Version): string {
  if (version === '1.2' || !lines.includes('\\')) return lines
  if (version === '1.1')
    return lines.replaceAll(/\\([rnc\\])/g, (all: string, letter: string) => (letter === 'r' ? '' : all))
  return lines
    .split('\n')
    .map(line => {
      const at = line.indexOf(':')
      if (at < 0) return line
      const name = unescaped(line.slice(0, at)).replaceAll(':', '_')
      return `${name}:${unescaped(line.slice(at + 1))}`.replaceAll(/[\r\n]/g, ' ')
    })
    .join('\n')
}

export const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
