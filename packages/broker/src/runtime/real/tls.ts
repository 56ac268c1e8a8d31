import * as net from 'node:net'
import * as tls from 'node:tls'
import type { Address, ClientTls, Connection, ConnectionTls, ListenerTls, TlsIdentity } from '../runtime.ts'
import { NetworkError } from '../runtime.ts'
import { RealConnection } from './connection.ts'

/**
 * Makes protected connections of accepted sockets.
 *
 * A socket counts as a handshake from `begin` until it is handed over or closed. Its bytes come in buffers of their own: a
 * protected socket cannot read into the shared one, because decryption happens in between.
 */
export class SecureAcceptor {
  readonly #options: ListenerTls
  readonly #server: tls.Server
  /** Addresses of the peers whose handshake is under way, with their sockets. */
  readonly #handshakes = new Map<string, net.Socket>()

  /** Throws `NetworkError` `unusable`. */
  constructor(options: ListenerTls, accept: (connection: Connection) => void) {
    const { identity, settings } = options
    this.#options = options
    const { clientAuth, ca } = settings
    const context = contextOptions(identity, ca, settings.versionMin)
    this.#server = usable(() =>
      tls.createServer({
        ...context,
        requestCert: clientAuth !== 'none',
        rejectUnauthorized: clientAuth === 'require',
        handshakeTimeout: settings.handshakeTimeoutMs,
      }),
    )
    this.#server.on('secureConnection', socket => this.#done(socket, accept))
    this.#server.on('tlsClientError', (error, socket) => {
      this.#fail(addressOf(socket), reasonOf(error))
      socket.destroy()
    })
  }

  begin(socket: net.Socket): void {
    const remote = addressOf(socket)
    const key = keyOf(remote)
    socket.on('error', () => {}) // Said again by what wraps it.
    if (this.#handshakes.size >= this.#options.settings.handshakesMax) {
      this.#options.failed(remote, 'too many handshakes are under way')
      socket.destroy()
      return
    }
    this.#handshakes.set(key, socket)
    socket.once('close', () => {
      if (this.#handshakes.get(key) === socket) this.#fail(remote, 'the handshake was not finished')
    })
    this.#server.emit('connection', socket)
  }

  renew(identity: TlsIdentity, ca: string | undefined): void {
    const context = contextOptions(identity, ca, this.#options.settings.versionMin)
    usable(() => this.#server.setSecureContext(context))
  }

  close(): void {
    for (const socket of this.#handshakes.values()) socket.destroy()
    this.#handshakes.clear()
  }

  #done(socket: tls.TLSSocket, accept: (connection: Connection) => void): void {
    const remote = addressOf(socket)
    this.#handshakes.delete(keyOf(remote))
    const certificate = socket.getPeerX509Certificate()
    if (certificate !== undefined && !socket.authorized) {
      this.#options.failed(remote, `the certificate of the peer is not taken: ${String(socket.authorizationError)}`)
      socket.destroy()
      return
    }
    const subject = certificate && subjectOf(certificate.subject)
    accept(new RealConnection(socket, { version: socket.getProtocol() ?? '', subject }))
  }

  /** Only once for each handshake. */
  #fail(remote: Address, reason: string): void {
    if (this.#handshakes.delete(keyOf(remote))) this.#options.failed(remote, reason)
  }
}

/** Rejects with `NetworkError` when the handshake fails. */
export function connectSecurely({ host, port }: Address, options: ClientTls): Promise<Connection> {
  const { identity, ca, isUnchecked = false } = options
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      const isRefused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
      const words = `Cannot connect to ${host}:${port} with TLS: ${reasonOf(error)}`
      reject(new NetworkError(isRefused ? 'refused' : 'unusable', words, { cause: error }))
    }
    try {
      const socket = tls.connect({
        host,
        port,
        ...contextOptions(identity, ca, '1.2'),
        ...(net.isIP(host) === 0 ? { servername: host } : {}),
        rejectUnauthorized: !isUnchecked,
      })
      socket.setNoDelay(true)
      socket.once('error', fail)
      socket.once('secureConnect', () => {
        socket.removeListener('error', fail)
        resolve(new RealConnection(socket, infoOf(socket)))
      })
    } catch (error) {
      fail(error as Error)
    }
  })
}

function infoOf(socket: tls.TLSSocket): ConnectionTls {
  const certificate = socket.getPeerX509Certificate()
  return { version: socket.getProtocol() ?? '', subject: certificate && subjectOf(certificate.subject) }
}

function contextOptions(
  identity: TlsIdentity | undefined,
  ca: string | undefined,
  versionMin: '1.2' | '1.3',
): tls.SecureContextOptions {
  return {
    ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
    ...(ca === undefined ? {} : { ca }),
    minVersion: `TLSv${versionMin}`,
  }
}

function usable<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    const why = reasonOf(error as Error)
    throw new NetworkError('unusable', `Cannot use the certificate or its key: ${why}${hintOf(error as Error)}`, {
      cause: error,
    })
  }
}

/** One attribute in each line, the most general first, becomes one line, the most special first. */
function subjectOf(lines: string): string {
  return lines.split('\n').reverse().join(',')
}

const addressOf = (socket: net.Socket): Address => ({ host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 })
const keyOf = ({ host, port }: Address): string => `${host} ${port}`

/** What a peer that speaks no TLS looks like to the library. */
const noTls = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_UNEXPECTED_MESSAGE',
  'ERR_SSL_BAD_RECORD_TYPE',
])

/** What those who wrote the options can do about it. */
function hintOf({ code }: NodeJS.ErrnoException): string {
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return ': the key is not that of the certificate'
  if (code === 'ERR_OSSL_PEM_NO_START_LINE')
    return ': a file is not in the format PEM, or they are given the wrong way round'
  return ''
}

function reasonOf(error: NodeJS.ErrnoException): string {
  const { code = '', message } = error
  if (noTls.has(code)) return 'the peer does not speak TLS'
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'the handshake took too long'
  if (code === 'ECONNRESET') return 'the handshake was not finished'
  return code === '' ? message : `${message.split('\n')[0]} (${code})`
}
