import type { ChannelInfo, ConnectionInfo } from '../core/connections.ts'
import type { Header } from '../core/message.ts'
import type { Address } from '../runtime/runtime.ts'
import type { Outbox, SessionContext } from './protocol.ts'

/** What has gone over one connection, in both directions. */
export class Traffic {
  receivedBytes = 0
  receivedPackets = 0
  sentBytes = 0
  /** Writes: each is one packet, or several that belong together. */
  sentPackets = 0
}

/** `127.0.0.1:51234 -> 127.0.0.1:5672`. */
export const connectionName = ({ remote, local }: Pick<SessionContext, 'remote' | 'local'>): string =>
  `${remote.host}:${remote.port} -> ${local.host}:${local.port}`

/** An open connection as it is shown to who looks after the broker: what all protocols tell alike. There may be many: one costs little. */
export abstract class LiveConnection implements ConnectionInfo {
  readonly name: string
  readonly connectedMs: number
  readonly #context: SessionContext
  readonly #traffic: Readonly<Traffic>
  readonly #outbox: Pick<Outbox, 'queuedBytes'>

  /** When it is open, and its client known. */
  constructor(context: SessionContext, traffic: Readonly<Traffic>, outbox: Pick<Outbox, 'queuedBytes'>) {
    this.name = connectionName(context)
    this.connectedMs = context.clock.nowMs()
    this.#context = context
    this.#traffic = traffic
    this.#outbox = outbox
  }

  abstract get protocol(): string
  abstract get namespace(): string
  abstract get user(): string
  abstract get mechanism(): string
  abstract get channelMax(): number
  abstract get frameMax(): number
  abstract get heartbeatSeconds(): number
  abstract get givenName(): string | undefined
  abstract channels(): readonly ChannelInfo[]
  abstract close(reason: string): void

  get state(): ConnectionInfo['state'] {
    return 'running'
  }
  get clientProperties(): readonly Header[] {
    return []
  }
  get remote(): Address {
    return this.#context.remote
  }
  get local(): Address {
    return this.#context.local
  }
  get isSecure(): boolean {
    return this.#context.tls !== undefined
  }
  get receivedBytes(): number {
    return this.#traffic.receivedBytes
  }
  get sentBytes(): number {
    return this.#traffic.sentBytes
  }
  get receivedPackets(): number {
    return this.#traffic.receivedPackets
  }
  get sentPackets(): number {
    return this.#traffic.sentPackets
  }
  get queuedBytes(): number {
    return this.#outbox.queuedBytes
  }
}
