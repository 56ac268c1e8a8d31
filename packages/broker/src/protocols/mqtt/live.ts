import type { ChannelInfo } from '../../core/connections.ts'
import type { Header } from '../../core/message.ts'
import { LiveConnection, type Traffic } from '../live-connection.ts'
import type { Outbox, SessionContext } from '../protocol.ts'
import type { Client } from './client.ts'
import { versions } from './messages.ts'

export interface LiveSource {
  readonly context: SessionContext
  readonly traffic: Traffic
  readonly outbox: Outbox
  readonly client: Client
  readonly mechanism: string
  readonly keepAliveSeconds: number
  close(reason: string): void
}

const titles: Readonly<Record<number, string>> = {
  [versions.mqtt31]: '3.1',
  [versions.mqtt311]: '3.1.1',
  [versions.mqtt5]: '5.0',
}

/** An open connection as it is shown to who looks after the broker. */
export class MqttConnection extends LiveConnection {
  readonly #source: LiveSource

  constructor(source: LiveSource) {
    super(source.context, source.traffic, source.outbox)
    this.#source = source
  }

  get protocol(): string {
    return `MQTT ${titles[this.#source.client.agreed.version] ?? ''}`
  }
  get namespace(): string {
    return this.#source.client.agreed.namespace
  }
  get user(): string {
    return this.#source.client.agreed.user
  }
  get mechanism(): string {
    return this.#source.mechanism
  }
  get channelMax(): number {
    return 0
  }
  get frameMax(): number {
    return this.#source.client.agreed.packetBytesMax
  }
  get heartbeatSeconds(): number {
    return this.#source.keepAliveSeconds
  }
  override get clientProperties(): readonly Header[] {
    const { client } = this.#source
    return [
      { name: 'client_id', value: client.agreed.clientId },
      { name: 'in_flight', value: BigInt(client.inFlightCount) },
    ]
  }
  get givenName(): string {
    return this.#source.client.agreed.clientId
  }
  channels(): readonly ChannelInfo[] {
    return []
  }

  close(reason: string): void {
    this.#source.close(reason)
  }
}
