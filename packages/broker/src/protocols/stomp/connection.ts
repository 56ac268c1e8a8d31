import type { Broker } from '../../core/broker.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import type { SessionContext } from '../protocol.ts'
import type { Version } from './headers.ts'

/** What the parts of a session need of it. */
export interface Connection {
  readonly broker: Broker
  readonly context: SessionContext
  readonly version: Version
  /** In which the client is. */
  readonly namespace: string
  readonly user: string
  /** What permissions let the user do in the namespace. */
  readonly rights: NamespaceAccess
  /** By which clients know the session. */
  readonly sessionId: string
  /** What the client calls itself; undefined: nothing. */
  readonly clientId: string | undefined
  /** Queues that are exclusive to the connection belong to this. */
  readonly owner: object
  /** Bytes that the peer has not taken yet. */
  readonly queuedBytes: number
  /** Queues bytes of whole frames; they must not change until `written` is called. */
  write(parts: readonly Uint8Array[], written?: () => void): void
  /** Resolves when all that was decided is durable. */
  settled(): Promise<void>
  /** Tells the peer what is wrong, and ends the connection. */
  fail(error: unknown): void
}
