import * as net from 'node:net'
import type { Address, Connection, Listener, Network, NetworkErrorCode } from '../runtime.ts'
import { NetworkError } from '../runtime.ts'
import { RealConnection } from './connection.ts'

/** Connections that the system holds for us until they are accepted. */
const backlog = 1024

/** TCP on this machine. Nagle's delay is off: writes are already gathered by the turn. */
export class RealNetwork implements Network {
  listen(address: Address, accept: (connection: Connection) => void): Promise<Listener> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, socket =>
      accept(new RealConnection(socket)),
    )
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(networkError(error, `Cannot listen on ${format(address)}`))
      server.once('error', fail)
      server.listen({ host: address.host, port: address.port, backlog, exclusive: true }, () => {
        server.removeListener('error', fail)
        // An accept that fails (no file descriptors left) drops that one connection; the listener goes on.
        server.on('error', () => {})
        resolve(new RealListener(server))
      })
    })
  }

  connect(address: Address): Promise<Connection> {
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
}

class RealListener implements Listener {
  readonly #server: net.Server
  readonly address: Address

  constructor(server: net.Server) {
    this.#server = server
    const bound = server.address()
    this.address =
      typeof bound === 'object' && bound ? { host: bound.address, port: bound.port } : { host: '', port: 0 }
  }

  /** The port is free when this resolves. `close` of Node reports only when the last connection has ended: not waited for. */
  close(): Promise<void> {
    if (this.#server.listening) this.#server.close()
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
