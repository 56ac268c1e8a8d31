import type { ErrorCode } from '../errors.ts'
import type { AssignedKind } from './assigned/machine.ts'

/**
 * What members ask of a group and what they are told. Protocols, subscriptions and assignments are the members' own
 * affair: names and bytes that the group only compares, counts and hands on.
 *
 * Answers come through callbacks, each exactly once: at once when nothing has to be waited for, else when the other
 * members have come or the journal is durable. No callback is called before the group is in its next state.
 */

/** One way of sharing out the work that a member understands, with what it says about itself in that way's own form. */
export interface Offer {
  readonly name: string
  readonly metadata: Buffer
}

export interface GroupName {
  readonly namespace: string
  readonly group: string
}

export interface MemberName {
  /** Empty: a newcomer, or whoever holds `instanceId`. */
  readonly memberId: string
  /** A name that outlives the member's process, or null. */
  readonly instanceId: string | null
}

/** The buffers of `offers` are copied if they are kept. */
export interface JoinRequest extends GroupName, MemberName {
  readonly clientId: string
  readonly clientHost: string
  readonly principal: string
  readonly host: string
  /** Without a sign of life for this long, the member is removed. */
  readonly sessionTimeoutMs: number
  /** How long the others wait for it in a rebalance. */
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  /** In the member's order of preference. */
  readonly offers: readonly Offer[]
  /** The peer understands `member-id-required`: it is given its id first and joins with it then. */
  readonly takesIdFirst: boolean
  /** The peer understands `skipAssignment`. */
  readonly maySkipAssignment: boolean
}

export interface JoinResult {
  readonly error: ErrorCode | undefined
  readonly memberId: string
  readonly generation: number
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly leader: string
  /** The leader must not assign anew: the assignments of this generation stand. */
  readonly skipAssignment: boolean
  /** For the leader all members; for the others none. */
  readonly members: readonly JoinedMember[]
}

export interface JoinedMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly subscription: Buffer
}

/** The buffers of `assignments` are copied if they are kept. */
export interface SyncRequest extends GroupName, MemberName {
  readonly generation: number
  /** Null: the peer does not say. */
  readonly protocolType: string | null
  readonly protocol: string | null
  /** From the leader one for each member; from the others none. */
  readonly assignments: readonly Assignment[]
}

export interface Assignment {
  readonly memberId: string
  readonly assignment: Buffer
}

export interface SyncResult {
  readonly error: ErrorCode | undefined
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly assignment: Buffer
}

export type JoinDone = (result: JoinResult) => void
export type SyncDone = (result: SyncResult) => void

const noBytes = Buffer.alloc(0)

export const joinRefused = (error: ErrorCode, memberId: string): JoinResult => ({
  error,
  memberId,
  generation: -1,
  protocolType: null,
  protocol: null,
  leader: '',
  skipAssignment: false,
  members: [],
})

export const syncRefused = (error: ErrorCode): SyncResult => ({
  error,
  protocolType: null,
  protocol: null,
  assignment: noBytes,
})

/** The last two: of groups to which the broker assigns. */
export type GroupState =
  | 'empty'
  | 'preparing-rebalance'
  | 'completing-rebalance'
  | 'stable'
  | 'dead'
  | 'assigning'
  | 'reconciling'

/** `classic`: the members assign among themselves, or there never were any. Else the broker assigns to them. */
export type GroupKind = 'classic' | AssignedKind

/** For administrators. */
export interface GroupDescription {
  readonly id: string
  readonly state: GroupState
  readonly generation: number
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly members: readonly MemberDescription[]
}

export interface MemberDescription extends MemberName {
  readonly clientId: string
  readonly clientHost: string
  /** Empty unless the group is stable, like `assignment`. */
  readonly subscription: Buffer
  readonly assignment: Buffer
}

export interface ListedGroup {
  readonly id: string
  readonly kind: GroupKind
  readonly protocolType: string | null
  readonly state: GroupState
}

export interface CommitRequest extends GroupName, MemberName {
  /** The generation, or the member's epoch. -1: from somebody outside the group. */
  readonly generation: number
  /** False: the peer knows nothing of epochs of members. */
  readonly knowsEpochs?: boolean
  /** Wall clock until which the offsets are kept whatever the group does, or -1. */
  readonly expiresMs: number
  readonly topics: readonly TopicCommits[]
}

export interface TopicCommits {
  readonly topicId: string
  readonly partitions: readonly PartitionCommit[]
}

export interface PartitionCommit {
  readonly partition: number
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface TopicPartitions {
  readonly topicId: string
  readonly partitions: readonly number[]
}
