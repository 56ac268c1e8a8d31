import {
  bool,
  bytes32,
  i32,
  i64,
  list,
  nullableString16,
  since,
  string16,
  string32,
  struct,
  uuid,
  uvarint,
  type Infer,
} from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What the groups write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
const factVersion = 1

/** Of what the machine writes into checkpoints. Version 1 had no offsets in open transactions. */
export const stateVersion = 2

export const groupFacts = {
  offsetsCommitted: 1,
  offsetsRemoved: 2,
  /** A topic is gone: so are its offsets in all groups. */
  topicForgotten: 3,
  /** The members of a generation and their assignments are known. */
  stabilised: 4,
  /** The last member is gone. */
  emptied: 5,
  /** The group is gone, with all its offsets. */
  removed: 6,
  /** Offsets that count once the producer's transaction is committed. */
  offsetsPending: 7,
  /** The producer's transaction has ended: what is pending of it is committed or forgotten. */
  transactionEnded: 8,
} as const

const committedPartition = struct({ partition: uvarint, offset: i64, leaderEpoch: i32, metadata: string32 })

export const offsetsCommitted = struct({
  namespace: string16,
  group: string16,
  /** Wall clock at which these offsets may go whatever the group does; -1 leaves it to the retention of the group. */
  expiresMs: i64,
  topics: list(struct({ topicId: uuid, partitions: list(committedPartition) })),
})

export const offsetsRemoved = struct({
  namespace: string16,
  group: string16,
  topics: list(struct({ topicId: uuid, partitions: list(uvarint) })),
})

export const offsetsPending = struct({
  namespace: string16,
  group: string16,
  producerId: i64,
  topics: list(struct({ topicId: uuid, partitions: list(committedPartition) })),
})

export const transactionEnded = struct({
  namespace: string16,
  group: string16,
  producerId: i64,
  isCommitted: bool,
})

export const topicForgotten = struct({ topicId: uuid })

export const storedMember = struct({
  memberId: string16,
  instanceId: nullableString16,
  clientId: string16,
  clientHost: string16,
  sessionTimeoutMs: i32,
  rebalanceTimeoutMs: i32,
  /** What the member said for the chosen protocol. */
  subscription: bytes32,
  assignment: bytes32,
})
export type StoredMember = Infer<typeof storedMember>

export const stabilised = struct({
  namespace: string16,
  group: string16,
  generation: i32,
  protocolType: string16,
  protocol: string16,
  leader: string16,
  members: list(storedMember),
})

export const emptied = struct({
  namespace: string16,
  group: string16,
  generation: i32,
  protocolType: nullableString16,
})

export const removed = struct({ namespace: string16, group: string16 })

const storedOffset = struct({
  partition: uvarint,
  offset: i64,
  leaderEpoch: i32,
  metadata: string32,
  committedMs: i64,
  expiresMs: i64,
})

const storedTopic = struct({ topicId: uuid, partitions: list(storedOffset) })
export type StoredTopic = Infer<typeof storedTopic>

/** One group in a checkpoint. */
export const storedGroup = struct({
  namespace: string16,
  group: string16,
  generation: i32,
  protocolType: nullableString16,
  protocol: nullableString16,
  leader: nullableString16,
  emptiedMs: i64,
  members: list(storedMember),
  topics: list(storedTopic),
  pending: since(2, list(struct({ producerId: i64, topics: list(storedTopic) }))),
})

export const { factOf, readFact, checkVersion } = versioned('The groups', factVersion)
