import type { Address } from '../runtime/runtime.ts'
import type { Header } from './message.ts'

/** One connection as those see it who look after the broker. Read at any time; numbers grow. */
export interface ConnectionInfo {
  /** Unique among those that are there. */
  readonly name: string
  /** As its users call it, with its version. */
  readonly protocol: string
  readonly namespace: string
  readonly user: string
  /** How the client has said who it is. */
  readonly mechanism: string
  readonly remote: Address
  readonly local: Address
  readonly isSecure: boolean
  /** Wall clock. */
  readonly connectedMs: number
  readonly state: 'running' | 'blocked' | 'closing'
  readonly channelMax: number
  readonly frameMax: number
  /** 0: none. */
  readonly heartbeatSeconds: number
  /** What the client says of itself. */
  readonly clientProperties: readonly Header[]
  /** What the client calls itself, if it does. */
  readonly givenName: string | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly receivedPackets: number
  readonly sentPackets: number
  /** Bytes that the peer has not taken yet. */
  readonly queuedBytes: number
  channels(): readonly ChannelInfo[]
  /** Ends it; the peer is told why, if its protocol can say so. */
  close(reason: string): void
}

/** One of the conversations that a connection carries. */
export interface ChannelInfo {
  readonly number: number
  readonly state: 'running' | 'closing'
  /** For each consumer that begins from now on; 0: no limit. */
  readonly prefetchCount: number
  /** For all consumers together; 0: no limit. */
  readonly globalPrefetchCount: number
  /** Messages that consumers hold. */
  readonly unacked: number
  /** Messages published and not confirmed yet. */
  readonly unconfirmed: number
  /** Messages published in a transaction that is open. */
  readonly uncommitted: number
  readonly confirms: boolean
  readonly transactional: boolean
  consumers(): readonly ConsumerInfo[]
}

export interface ConsumerInfo {
  readonly tag: string
  readonly queue: string
  readonly isAcknowledging: boolean
  readonly isExclusive: boolean
  /** Of several that stand by, the one that is given messages; otherwise all are. */
  readonly isActive: boolean
  readonly prefetchCount: number
  readonly arguments: readonly Header[]
}

/** Goes up by one, where that has to be quick. */
export interface Counter {
  count: number
}

/** All connections that are open, of all protocols that tell of theirs. */
export class Connections {
  /** By protocol: messages that connected subscribers have lost, as they did not take them in time or could not take them. */
  readonly lost = new Map<string, Counter>()
  /** By protocol: subscribers that were closed for it. */
  readonly closed = new Map<string, Counter>()
  readonly #byName = new Map<string, ConnectionInfo>()

  add(connection: ConnectionInfo): void {
    this.#byName.set(connection.name, connection)
  }

  delete(connection: ConnectionInfo): void {
    if (this.#byName.get(connection.name) === connection) this.#byName.delete(connection.name)
  }

  /** What the connections of that protocol count. */
  lostBy(protocol: string): Counter {
    return counterOf(this.lost, protocol)
  }

  closedBy(protocol: string): Counter {
    return counterOf(this.closed, protocol)
  }

  get(name: string): ConnectionInfo | undefined {
    return this.#byName.get(name)
  }

  /** Oldest first. */
  list(): ConnectionInfo[] {
    return [...this.#byName.values()]
  }

  /** How many there are in a namespace, or of a user. */
  count(of: { namespace?: string; user?: string }): number {
    return this.#of(of).length
  }

  channelCount(of: { namespace?: string; user?: string }): number {
    return this.#of(of).reduce((sum, connection) => sum + connection.channels().length, 0)
  }

  #of({ namespace, user }: { namespace?: string; user?: string }): ConnectionInfo[] {
    return this.list().filter(each => {
      return each.namespace === (namespace ?? each.namespace) && each.user === (user ?? each.user)
    })
  }
}

function counterOf(counters: Map<string, Counter>, protocol: string): Counter {
  const known = counters.get(protocol)
  if (known) return known
  const counter = { count: 0 }
  counters.set(protocol, counter)
  return counter
}
