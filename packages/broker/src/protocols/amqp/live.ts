import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import type { Header } from '../../core/message.ts'
import { LiveConnection, type Traffic } from '../live-connection.ts'
import type { SessionContext } from '../protocol.ts'
import type { Agreed } from './handshake.ts'
import { headerOf } from './mapping.ts'
import { fieldOf } from './table.ts'

export interface LiveSource {
  readonly context: SessionContext
  readonly traffic: Traffic
  readonly queuedBytes: number
  readonly state: ConnectionInfo['state']
  channelInfos(): ChannelInfo[]
  /** Ends it with CONNECTION_FORCED. */
  force(reason: string): void
}

/** An open connection as it is shown to who looks after the broker. */
export class AmqpConnection extends LiveConnection {
  readonly #source: LiveSource
  readonly #agreed: Agreed

  constructor(source: LiveSource, agreed: Agreed) {
    super(source.context, source.traffic, source)
    this.#source = source
    this.#agreed = agreed
  }

  get protocol(): string {
    return 'AMQP 0-9-1'
  }
  get namespace(): string {
    return this.#agreed.namespace
  }
  get user(): string {
    return this.#agreed.user
  }
  get mechanism(): string {
    return this.#agreed.mechanism
  }
  get channelMax(): number {
    return this.#agreed.channelMax
  }
  get frameMax(): number {
    return this.#agreed.frameMax
  }
  get heartbeatSeconds(): number {
    return this.#agreed.heartbeat
  }
  get givenName(): string | undefined {
    const given = fieldOf(this.#agreed.clientProperties, 'connection_name')
    return given?.type === 'S' && typeof given.value === 'string' ? given.value : undefined
  }
  override get clientProperties(): readonly Header[] {
    return this.#agreed.clientProperties.map(headerOf)
  }
  override get state(): ConnectionInfo['state'] {
    return this.#source.state
  }

  channels(): readonly ChannelInfo[] {
    return this.#source.channelInfos()
  }

  close(reason: string): void {
    this.#source.force(reason)
  }
}
