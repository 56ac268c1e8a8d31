import type { ErrorCode } from '../../errors.ts'
import type { GroupName, Offer } from '../requests.ts'
import type { AssignedKind, Membership } from './machine.ts'
import type { PartitionMap } from './partitions.ts'

/** In the place of an epoch: the member leaves. */
export const leaves = -1
/** In the place of an epoch: the member leaves and will come back under its instance id. */
export const leavesForAWhile = -2

/** A sign of life of a member of an assigned group. What is null has not changed since the last one. */
export interface HeartbeatRequest extends GroupName {
  readonly kind: AssignedKind
  /** Empty when the peer leaves it to the broker to choose one. */
  readonly memberId: string
  /** 0 joins, or joins again; `leaves`; `leavesForAWhile`; else the epoch that the member was last told. */
  readonly epoch: number
  /** Not null in each request of a member that has one. */
  readonly instanceId: string | null
  readonly rackId: string | null
  /** How long it may take to give up partitions. */
  readonly rebalanceTimeoutMs: number | null
  readonly topics: readonly string[] | null
  /** A regular expression over topic names; empty: none any more. */
  readonly pattern: string | null
  readonly assignor: string | null
  /** What the member has. */
  readonly owned: PartitionMap | null
  readonly clientId: string
  readonly clientHost: string
  /** Who asks, and from where: expressions match only topics that it may know of. */
  readonly principal: string
  readonly host: string
}

export interface HeartbeatResult {
  readonly error: ErrorCode | undefined
  /** For people, when there is an error. */
  readonly detail: string | null
  readonly memberId: string
  readonly epoch: number
  readonly heartbeatIntervalMs: number
  /** What the member may read from now on; null: as before. */
  readonly assigned: PartitionMap | null
}

export const heartbeatRefused = (error: ErrorCode, detail: string): HeartbeatResult => ({
  error,
  detail,
  memberId: '',
  epoch: 0,
  heartbeatIntervalMs: 0,
  assigned: null,
})

export const departed = (memberId: string, epoch: number): HeartbeatResult => ({
  error: undefined,
  detail: null,
  memberId,
  epoch,
  heartbeatIntervalMs: 0,
  assigned: null,
})

export type AssignedState = 'empty' | 'assigning' | 'reconciling' | 'stable'

/** For administrators. */
export interface AssignedDescription {
  readonly id: string
  readonly kind: AssignedKind
  readonly state: AssignedState
  readonly epoch: number
  readonly assignmentEpoch: number
  readonly assignor: string
  readonly members: readonly Membership[]
}

/** What members that assign among themselves say and are told, in the form that they use for it. */
export interface GroupBridge {
  readonly protocolType: string
  /** What a member says of itself in an offer; undefined when the bytes are something else. */
  readSubscription(subscription: Buffer): BridgedSubscription | undefined
  /** What a leader gave a member; undefined when the bytes are something else. No bytes are no partitions. */
  readAssignment(assignment: Buffer): readonly NamedPartitions[] | undefined
  /** The same the other way round, for the member that said `subscription`. */
  writeAssignment(topics: readonly NamedPartitions[], subscription: Buffer): Buffer
}

export interface BridgedSubscription {
  readonly topics: readonly string[]
  readonly rackId: string | null
  /** What the member had when it said this. Empty: it gave up everything before. */
  readonly owned: readonly NamedPartitions[]
}

export interface NamedPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/** A member that assigns among its like, as it is taken over into an assigned group. */
export interface ClassicMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly offers: readonly Offer[]
  readonly subscription: Buffer
  readonly assignment: Buffer
}
