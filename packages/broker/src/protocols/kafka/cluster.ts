import type { Broker } from '../../core/broker.ts'
import type { SessionContext } from '../protocol.ts'
import { codes } from './errors.ts'

/** The cluster id as Kafka writes ids: base64url without padding. */
export function clusterIdText(broker: Broker): string {
  return broker.clusterId.toString('base64url')
}

/** Where clients are told to go: what the operator advertises, else the address that they came to. */
export function advertisedAddress(broker: Broker, connection: SessionContext): { host: string; port: number } {
  return broker.addresses.get(connection.tls === undefined ? 'kafka' : 'kafka-tls') ?? connection.local
}

/** The epoch of every partition's leader: it grows with each start of the broker. */
export function leaderEpochOf(broker: Broker): number {
  return broker.cell.epoch & 0x7fff_ffff
}

/** What is answered when operations were not asked for. */
export const operationsNotAsked = -0x8000_0000

/** What is wrong with the epoch that a client believes current; it asks for metadata again then. -1 leaves the check out. */
export function epochProblem(broker: Broker, currentLeaderEpoch: number): number | undefined {
  if (currentLeaderEpoch < 0) return undefined
  const epoch = leaderEpochOf(broker)
  if (currentLeaderEpoch === epoch) return undefined
  return currentLeaderEpoch < epoch ? codes.fencedLeaderEpoch : codes.unknownLeaderEpoch
}
