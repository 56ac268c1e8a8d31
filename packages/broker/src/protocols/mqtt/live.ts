import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import type { Header } from '../../core/message.ts'
import type { Address } from '../../runtime/runtime.ts'
import type { Outbox, SessionContext } from '../protocol.ts'
import type { Client } from './client.ts'
import { versions } from './messages.ts'

export interface Traffic {
  receivedBytes: number
  sentBytes: number
  receivedPackets: number
  sentPackets: number
}

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

/** An open connection as it is shown to who looks after the broker. There are many: one costs little. */
export class LiveConnection implements ConnectionInfo {
  readonly name: string
  readonly connectedMs: number
  readonly state = 'running'
  readonly channelMax = 0
  readonly #source: LiveSource

  constructor(source: LiveSource) {
    const { remote, local, clock } = source.context
    this.name = `${remote.host}:${remote.port} -> ${local.host}:${local.port}`
    this.connectedMs = clock.nowMs()
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
  get remote(): Address {
    return this.#source.context.remote
  }
  get local(): Address {
    return this.#source.context.local
  }
  get isSecure(): boolean {
    return this.#source.context.tls !== undefined
  }
  get frameMax(): number {
    return this.#source.client.agreed.packetBytesMax
  }
  get heartbeatSeconds(): number {
    return this.#source.keepAliveSeconds
  }
  get clientProperties(): readonly Header[] {
    const { client } = this.#source
    return [
      { name: 'client_id', value: client.agreed.clientId },
      { name: 'in_flight', value: BigInt(client.inFlightCount) },
    ]
  }
  get givenName(): string {
    return this.#source.client.agreed.clientId
  }
  get receivedBytes(): number {
    return this.#source.traffic.receivedBytes
  }
  get sentBytes(): number {
    return this.#source.traffic.sentBytes
  }
  get receivedPackets(): number {
    return this.#source.traffic.receivedPackets
  }
  get sentPackets(): number {
    return this.#source.traffic.sentPackets
  }
  get queuedBytes(): number {
    return this.#source.outbox.queuedBytes
  }

  channels(): readonly ChannelInfo[] {
    return []
  }

  close(reason: string): void {
    this.#source.close(reason)
  }
}
