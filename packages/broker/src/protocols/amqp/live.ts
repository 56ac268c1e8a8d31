import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import type { SessionContext } from '../protocol.ts'
import type { Agreed } from './handshake.ts'
import { headerOf } from './mapping.ts'
import { fieldOf } from './table.ts'
import type { Traffic } from './traffic.ts'

export interface LiveSource {
  readonly name: string
  readonly context: SessionContext
  readonly traffic: Traffic
  readonly queuedBytes: number
  readonly state: ConnectionInfo['state']
  channelInfos(): ChannelInfo[]
  /** Ends it with CONNECTION_FORCED. */
  force(reason: string): void
}

/** An open connection as it is shown to who looks after the broker. */
export function liveConnection(source: LiveSource, agreed: Agreed): ConnectionInfo {
  const { name, context, traffic } = source
  const { remote, local, tls, clock } = context
  const { namespace, user, mechanism, channelMax, frameMax, heartbeat, clientProperties } = agreed
  const given = fieldOf(clientProperties, 'connection_name')
  return {
    name,
    protocol: 'AMQP 0-9-1',
    namespace,
    user,
    mechanism,
    remote,
    local,
    isSecure: tls !== undefined,
    connectedMs: clock.nowMs(),
    channelMax,
    frameMax,
    heartbeatSeconds: heartbeat,
    clientProperties: clientProperties.map(headerOf),
    givenName: given?.type === 'S' && typeof given.value === 'string' ? given.value : undefined,
    get state() {
      return source.state
    },
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
      return source.queuedBytes
    },
    channels: () => source.channelInfos(),
    close: reason => source.force(reason),
  }
}
