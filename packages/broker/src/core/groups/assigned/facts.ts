import {
  bytes32,
  i32,
  i64,
  list,
  nullableString16,
  nullableStruct,
  string16,
  struct,
  u8,
  uuid,
  type Infer,
} from '@dragoman/wire'
import { versioned } from '../../versioned.ts'
import { storedPartitions } from './partitions.ts'

/**
 * What the assigned groups write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const membershipFacts = {
  /** A member came, or said something new of itself. The first one makes the group. */
  memberSet: 1,
  memberRemoved: 2,
  /** Something has changed that the assignment depends on. */
  epochRaised: 3,
  /** What members should have, as computed for an epoch of the group. Members that are not named keep their targets. */
  targetsSet: 4,
  /** What a member has and what it must give up. */
  memberMoved: 5,
  /** The group is gone, with its members. Its committed offsets are another machine's. */
  groupRemoved: 6,
  /** The settings of a group, whole; none removes them. */
  groupConfigured: 7,
} as const

/** Written to disk: never renumber. */
export const kindNumbers = { exclusive: 1, shared: 2 } as const

export const memberStateNumbers = { stable: 0, revoking: 1, waiting: 2 } as const

const offer = struct({ name: string16, metadata: bytes32 })

/** What a member says of itself. */
const memberFields = {
  memberId: string16,
  instanceId: nullableString16,
  rackId: nullableString16,
  clientId: string16,
  clientHost: string16,
  /** Who it is and from where it comes: what an expression may match depends on it. */
  principal: string16,
  host: string16,
  rebalanceTimeoutMs: i32,
  topics: list(string16),
  pattern: nullableString16,
  assignor: nullableString16,
  classic: nullableStruct(struct({ sessionTimeoutMs: i32, offers: list(offer) })),
} as const

/** What a member has. */
const positionFields = {
  epoch: i32,
  previousEpoch: i32,
  state: u8,
  assigned: storedPartitions,
  revoking: storedPartitions,
} as const

export const memberSet = struct({ namespace: string16, group: string16, kind: u8, ...memberFields })
export const memberRemoved = struct({ namespace: string16, group: string16, memberId: string16 })
export const epochRaised = struct({ namespace: string16, group: string16, epoch: i32, topicsHash: uuid })
export const targetsSet = struct({
  namespace: string16,
  group: string16,
  epoch: i32,
  targets: list(struct({ memberId: string16, target: storedPartitions })),
})
export const memberMoved = struct({ namespace: string16, group: string16, memberId: string16, ...positionFields })
export const groupRemoved = struct({ namespace: string16, group: string16 })

const settings = list(struct({ name: string16, value: string16 }))
export const groupConfigured = struct({ namespace: string16, group: string16, config: settings })

export type MemberFields = Pick<Infer<typeof memberSet>, keyof typeof memberFields>

/** One group in a checkpoint. */
export const storedGroup = struct({
  namespace: string16,
  group: string16,
  kind: u8,
  epoch: i32,
  assignmentEpoch: i32,
  topicsHash: uuid,
  emptiedMs: i64,
  members: list(struct({ ...memberFields, ...positionFields, target: storedPartitions })),
})

export const { factOf, readFact, checkVersion } = versioned('The memberships', factVersion)
