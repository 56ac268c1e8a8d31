import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import { LiveConnection, type Traffic } from '../live-connection.ts'
import type { SessionContext } from '../protocol.ts'
import { StompError } from './errors.ts'
import type { Version } from './headers.ts'

interface StompSource {
  readonly context: SessionContext
  readonly traffic: Traffic
  readonly queuedBytes: number
  readonly version: Version
  readonly namespace: string
  readonly user: string
  readonly mechanism: string
  readonly clientId: string | undefined
  readonly heartbeatMs: number
  readonly state: ConnectionInfo['state']
  readonly channel: ChannelInfo
  fail(error: unknown): void
}

/** An open connection as it is shown to who looks after the broker. */
export class StompConnection extends LiveConnection {
  readonly #source: StompSource
  readonly #frameMax: number

  constructor(source: StompSource) {
    super(source.context, source.traffic, source)
    this.#source = source
    this.#frameMax = source.context.limits.frameBytesMax
  }

  get protocol(): string {
    return `STOMP ${this.#source.version}`
  }
  get namespace(): string {
    return this.#source.namespace
  }
  get user(): string {
    return this.#source.user
  }
  get mechanism(): string {
    return this.#source.mechanism
  }
  get channelMax(): number {
    return 1
  }
  get frameMax(): number {
    return this.#frameMax
  }
  get heartbeatSeconds(): number {
    return Math.ceil(this.#source.heartbeatMs / 1000)
  }
  get givenName(): string | undefined {
    return this.#source.clientId
  }
  override get state(): ConnectionInfo['state'] {
    return this.#source.state
  }

  channels(): readonly ChannelInfo[] {
    return [this.#source.channel]
  }

  close(reason: string): void {
    this.#source.fail(new StompError('connection_forced', reason))
  }
}
