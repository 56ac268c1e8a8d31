import type { ConnectionInfo } from '../../core/connections.ts'
import type { Outbox, SessionContext } from '../protocol.ts'
import type { Client } from './client.ts'
import type { Known } from './login.ts'
import { versions, type Connect } from './messages.ts'
import type { Opened } from './opening.ts'

export interface Traffic {
  receivedBytes: number
  sentBytes: number
  receivedPackets: number
  sentPackets: number
}

const titles: Readonly<Record<number, string>> = {
  [versions.mqtt31]: '3.1',
  [versions.mqtt311]: '3.1.1',
  [versions.mqtt5]: '5.0',
}

/** An open connection as it is shown to who looks after the broker. */
export function liveConnection(
  context: SessionContext,
  traffic: Traffic,
  outbox: Outbox,
  { agreed, keepAliveSeconds }: Opened,
  { user, proof }: Known,
  { version, cleanStart }: Connect,
  client: Client,
  close: (reason: string) => void,
): ConnectionInfo {
  const { remote, local, tls, clock } = context
  return {
    name: `${remote.host}:${remote.port} -> ${local.host}:${local.port}`,
    protocol: `MQTT ${titles[version] ?? version}`,
    namespace: agreed.namespace,
    user,
    mechanism: proof,
    remote,
    local,
    isSecure: tls !== undefined,
    connectedMs: clock.nowMs(),
    state: 'running',
    channelMax: 0,
    frameMax: agreed.packetBytesMax,
    heartbeatSeconds: keepAliveSeconds,
    clientProperties: [
      { name: 'client_id', value: agreed.clientId },
      { name: 'clean_start', value: cleanStart },
      { name: 'in_flight', value: BigInt(client.inFlightCount) },
    ],
    givenName: agreed.clientId,
    get receivedBytes() {
      return traffic.receivedBytes
    },
    get sentBytes() {
      return traffic.sentBytes
    },
    get receivedPackets() {
      return traffic.receivedPackets
    },
    get sentPackets() {
      return traffic.sentPackets
    },
    get queuedBytes() {
      return outbox.queuedBytes
    },
    channels: () => [],
    close,
  }
}
