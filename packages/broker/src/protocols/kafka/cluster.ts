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

/**
 * Operations that are allowed, as bits of `AclOperation`'s numbers. Without access control these are all that exist for the
 * resource: read, write, create, delete, alter, describe, describe configs, alter configs for a topic; create, alter,
 * describe, cluster action, describe configs, alter configs, idempotent write for the cluster.
 */
export const topicOperations = bits(3, 4, 5, 6, 7, 8, 10, 11)
export const clusterOperations = bits(5, 7, 8, 9, 10, 11, 12)
/** Read, delete, describe. */
export const groupOperations = bits(3, 6, 8)
/** What is answered when operations were not asked for. */
export const operationsNotAsked = -0x8000_0000

function bits(...positions: number[]): number {
  return positions.reduce((sum, position) => sum | (1 << position), 0)
}

/** What is wrong with the epoch that a client believes current; it asks for metadata again then. -1 leaves the check out. */
export function epochProblem(broker: Broker, currentLeaderEpoch: number): number | undefined {
  if (currentLeaderEpoch < 0) return undefined
  const epoch = leaderEpochOf(broker)
  if (currentLeaderEpoch === epoch) return undefined
  return currentLeaderEpoch < epoch ? codes.fencedLeaderEpoch : codes.unknownLeaderEpoch
}
