/** Producers speak over one connection for each of these at most. */
export type Lane = 'control' | 'data' | 'offsets'

/** Connections that a producer has left, remembered newest first: those before them are gone for sure. */
const leftMax = 8

interface Known {
  readonly newest: Map<Lane, number>
  left: number[]
}

/**
 * Over which connections the producers of transactional ids speak.
 *
 * A producer that loses a connection goes on over a new one. What it had sent over the old one may still arrive, long after the
 * transaction that it belonged to has ended, and nothing in the request would tell. So once a producer has used a newer
 * connection for something, nothing more is taken over the older. It is not written down: after a restart all connections are new.
 */
export class ProducerConnections {
  readonly #known = new Map<string, Known>()

  /** Whether a request may be taken that came over the connection. */
  admits(key: string, lane: Lane, connection: number): boolean {
    let known = this.#known.get(key)
    if (known === undefined) this.#known.set(key, (known = { newest: new Map(), left: [] }))
    const newest = known.newest.get(lane) ?? connection
    if (connection < newest || known.left.includes(connection)) return false
    if (connection > newest) known.left = [newest, ...known.left].slice(0, leftMax)
    known.newest.set(lane, connection)
    return true
  }

  /** Another producer may have taken over, over any connection. */
  forget(key: string): void {
    this.#known.delete(key)
  }
}
