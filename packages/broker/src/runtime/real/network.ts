import * as net from 'node:net'
import type {
  Address,
  ClientTls,
  Connection,
  Listener,
  ListenerTls,
  Network,
  NetworkErrorCode,
  TlsIdentity,
} from '../runtime.ts'
import { NetworkError } from '../runtime.ts'
import { RealConnection } from './connection.ts'
import { download } from './download.ts'
import type { SecureAcceptor } from './tls.ts'

/** Connections that the system holds for us until they are accepted. */
const backlog = 1024
/** A peer that is silent for so long is asked by the system whether it is still there. */
const keepAliveMs = 60_000

/**
 * TCP on this machine. Nagle's delay is off: writes are already gathered by the turn. What TLS needs is loaded at first use: it is
 * 3 MB of memory, and few protect their listeners on loopback.
 */
export class RealNetwork implements Network {
  async listen(address: Address, accept: (connection: Connection) => void, tls?: ListenerTls): Promise<Listener> {
    const secure = tls && new (await import('./tls.ts')).SecureAcceptor(tls, accept)
    // Without keep-alive the connection of a machine that lost its power would be held for ever.
    const keepAlive = { keepAlive: true, keepAliveInitialDelay: keepAliveMs }
    // With TLS, a peer that has ended wants no more answers (RFC 5246, 7.2.1), and one that ends in its handshake must not stay.
    const isPlain = secure === undefined
    const options = { allowHalfOpen: isPlain, noDelay: true, pauseOnConnect: isPlain, ...keepAlive }
    const server = net.createServer(options, socket => {
      if (secure === undefined) accept(new RealConnection(withSharedBuffer(socket)))
      else secure.begin(socket)
    })
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(networkError(error, `Cannot listen on ${format(address)}`))
      server.once('error', fail)
      server.listen({ host: address.host, port: address.port, backlog, exclusive: true }, () => {
        server.removeListener('error', fail)
        // An accept that fails (no file descriptors left) drops that one connection; the listener goes on.
        server.on('error', () => {})
        resolve(new RealListener(server, secure))
      })
    })
  }

  async connect(address: Address, tls?: ClientTls): Promise<Connection> {
    if (tls !== undefined) return (await import('./tls.ts')).connectSecurely(address, tls)
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: address.host, port: address.port, allowHalfOpen: true, noDelay: true })
      const fail = (error: Error): void => reject(networkError(error, `Cannot connect to ${format(address)}`))
      socket.once('error', fail)
      socket.once('connect', () => {
        socket.removeListener('error', fail)
        resolve(new RealConnection(socket))
      })
    })
  }

  download(url: string, limits: { bytesMax: number; timeoutMs: number }): Promise<string> {
    return download(url, limits)
  }
}

/** All sockets are read into this, one after the other: Node would else allocate 64 KiB for each read. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024)

interface HandleOwner {
  _handle?: unknown
}

/**
 * The same connection as a socket that reads into `readBuffer`, which Node offers for sockets that it makes itself. Where this
 * Node keeps its handle elsewhere, the socket as it is.
 */
function withSharedBuffer(accepted: net.Socket): net.Socket {
  const owner = accepted as HandleOwner
  const handle = owner._handle
  if (!handle) return accepted.resume()
  owner._handle = undefined
  let socket: net.Socket | undefined
  const onread = {
    buffer: readBuffer,
    callback: (bytes: number): boolean => {
      socket?.emit('data', readBuffer.subarray(0, bytes))
      return true
    },
  }
  const options: unknown = { handle, allowHalfOpen: true, onread }
  socket = new net.Socket(options as net.SocketConstructorOpts)
  return socket
}

class RealListener implements Listener {
  readonly #server: net.Server
  readonly #secure: SecureAcceptor | undefined
  readonly address: Address

  constructor(server: net.Server, secure: SecureAcceptor | undefined) {
    this.#server = server
    this.#secure = secure
    const bound = server.address()
    this.address =
      typeof bound === 'object' && bound ? { host: bound.address, port: bound.port } : { host: '', port: 0 }
  }

  renew(identity: TlsIdentity, ca: string | undefined): void {
    this.#secure?.renew(identity, ca)
  }

  /** The port is free when this resolves. `close` of Node reports only when the last connection has ended: not waited for. */
  close(): Promise<void> {
    if (this.#server.listening) this.#server.close()
    this.#secure?.close()
    return new Promise(resolve => setImmediate(resolve))
  }
}

const codes: Record<string, NetworkErrorCode> = {
  EADDRINUSE: 'in-use',
  EACCES: 'denied',
  EPERM: 'denied',
  ECONNREFUSED: 'refused',
}

function networkError(error: NodeJS.ErrnoException, failure: string): NetworkError {
  return new NetworkError(codes[error.code ?? ''] ?? 'unavailable', `${failure}: ${error.message}`, { cause: error })
}

const format = ({ host, port }: Address): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)
