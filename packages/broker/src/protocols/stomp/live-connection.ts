import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import type { SessionContext } from '../protocol.ts'
import { StompError } from './errors.ts'
import type { Version } from './headers.ts'

interface LiveSource {
  readonly context: SessionContext
  readonly version: Version
  readonly namespace: string
  readonly user: string
  readonly mechanism: string
  readonly clientId: string | undefined
  readonly connectedMs: number
  readonly heartbeatMs: number
  readonly queuedBytes: number
  readonly state: ConnectionInfo['state']
  readonly channel: ChannelInfo
  readonly traffic: {
    readonly sentPackets: number
    readonly receivedPackets: number
    readonly sentBytes: number
    readonly receivedBytes: number
  }
  fail(error: unknown): void
}

/** An open connection as it is shown to who looks after the broker. */
export function liveConnection(source: LiveSource): ConnectionInfo {
  const { context, version, namespace, user, mechanism, clientId, connectedMs, traffic } = source
  const { remote, local, tls, limits } = context
  return {
    name: `${remote.host}:${remote.port} -> ${local.host}:${local.port}`,
    protocol: `STOMP ${version}`,
    namespace,
    user,
    mechanism,
    remote,
    local,
    isSecure: tls !== undefined,
    connectedMs,
    channelMax: 1,
    frameMax: limits.frameBytesMax,
    clientProperties: [],
    givenName: clientId,
    get heartbeatSeconds() {
      return Math.ceil(source.heartbeatMs / 1000)
    },
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
    channels: () => [source.channel],
    close: reason => source.fail(new StompError('connection_forced', reason)),
  }
}
