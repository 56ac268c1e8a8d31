import { createHash } from 'node:crypto'
import type { WebSocketCarriage } from '../../protocols/protocol.ts'

export interface HandshakeRules extends WebSocketCarriage {
  /** For people. */
  readonly title: string
  /** Pages of these origins may connect; `*`: of all. */
  readonly origins: readonly string[]
}

/** `accepted`: frames follow the answer. Otherwise the connection is to be closed after it. */
export interface HandshakeAnswer {
  readonly accepted: boolean
  readonly bytes: Buffer
  /** For the log; undefined when accepted. */
  readonly reason: string | undefined
}

/** How a client of WebSocket begins. None of the protocols that are carried does. */
export const opening = Buffer.from('GET ')
/** Where the request ends. */
export const headEnd = Buffer.from('\r\n\r\n')
export const headBytesMax = 8 * 1024

const keySuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Answers the opening handshake (RFC 6455, 4.2): `head` is the request up to its empty line. */
export function answerHandshake(head: Buffer, rules: HandshakeRules): HandshakeAnswer {
  const headers = headersOf(head)
  if (!headers) return refuse(400, 'Bad Request', 'The request cannot be read.')
  if (!listOf(headers.get('upgrade')).includes('websocket') || !listOf(headers.get('connection')).includes('upgrade')) {
    const text = `This port speaks ${rules.title}, plainly or by WebSocket. It has no web pages.`
    return refuse(426, 'Upgrade Required', text, ['Upgrade: websocket'])
  }
  if (headers.get('sec-websocket-version')?.trim() !== '13') {
    return refuse(426, 'Upgrade Required', 'WebSocket has version 13 here.', ['Sec-WebSocket-Version: 13'])
  }
  const key = headers.get('sec-websocket-key')?.trim() ?? ''
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return refuse(400, 'Bad Request', 'Sec-WebSocket-Key is missing or bad.')
  const origin = headers.get('origin')?.trim()
  if (!isAllowed(origin, headers.get('host'), rules.origins)) {
    const text = `Pages of ${origin} may not connect. The broker allows them with the option --web-socket-origins.`
    return refuse(403, 'Forbidden', text)
  }
  const offered = headers.get('sec-websocket-protocol')
  const chosen = listOf(offered, false).find(name => rules.subprotocols.includes(name))
  if (offered !== undefined && chosen === undefined) {
    return refuse(400, 'Bad Request', `The subprotocols here are ${rules.subprotocols.join(', ')}.`)
  }
  const accept = createHash('sha1')
    .update(key + keySuffix)
    .digest('base64')
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
  lines.push(`Sec-WebSocket-Accept: ${accept}`)
  if (chosen !== undefined) lines.push(`Sec-WebSocket-Protocol: ${chosen}`)
  return { accepted: true, bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), reason: undefined }
}

/** An answer that ends the connection. */
export function refuse(status: number, phrase: string, text: string, more: readonly string[] = []): HandshakeAnswer {
  const body = `${text}\n`
  const fixed = ['Content-Type: text/plain; charset=utf-8', `Content-Length: ${Buffer.byteLength(body)}`]
  const lines = [`HTTP/1.1 ${status} ${phrase}`, ...more, ...fixed, 'Connection: close']
  return { accepted: false, bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`), reason: text }
}

/** By name in lower case; values of one name are joined. Undefined when it is no request. */
function headersOf(head: Buffer): Map<string, string> | undefined {
  const [request = '', ...lines] = head.toString('latin1').split('\r\n')
  if (!/^GET [^ ]+ HTTP\/1\.1$/.test(request)) return undefined
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    const name = line.slice(0, colon).toLowerCase()
    const before = headers.get(name)
    const value = line.slice(colon + 1)
    headers.set(name, before === undefined ? value : `${before},${value}`)
  }
  return headers
}

function listOf(value = '', ignoreCase = true): string[] {
  return (ignoreCase ? value.toLowerCase() : value)
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

/**
 * A browser tells from where the page is that wants to connect. Without a look at it, any page that somebody opens could speak to a broker on
 * their own machine. Programs tell none.
 */
function isAllowed(origin: string | undefined, host: string | undefined, allowed: readonly string[]): boolean {
  if (origin === undefined || allowed.includes('*') || allowed.includes(origin)) return true
  const from = /^https?:\/\/(.*)$/i.exec(origin)?.[1]
  if (from === undefined) return false
  const name = hostNameOf(from)
  return isLoopbackName(name) || name === hostNameOf(host?.trim() ?? '')
}

const hostNameOf = (authority: string): string => authority.replace(/:\d+$/, '').toLowerCase()

const isLoopbackName = (name: string): boolean =>
  name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name)
