import { list, string16, struct, u32, uuid, uvarint } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What share groups write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
const factVersion = 1

export const shareFacts = {
  /** Partitions of a topic have cursors from now on. */
  cursorsMade: 1,
  /** The group has forgotten a topic. */
  topicDropped: 2,
  /** A topic is gone: so are its cursors in all groups. */
  topicForgotten: 3,
  /** The group is gone, with all its cursors. */
  groupRemoved: 4,
} as const

const partitionCursor = struct({ partition: uvarint, cursor: u32 })

export const cursorsMade = struct({
  namespace: string16,
  group: string16,
  topicId: uuid,
  cursors: list(partitionCursor),
})
export const topicDropped = struct({ namespace: string16, group: string16, topicId: uuid })
export const topicForgotten = struct({ topicId: uuid })
export const groupRemoved = struct({ namespace: string16, group: string16 })

/** One group in a checkpoint. */
export const storedShareGroup = struct({
  namespace: string16,
  group: string16,
  topics: list(struct({ topicId: uuid, cursors: list(partitionCursor) })),
})

export const { factOf, readFact, checkVersion } = versioned('The share groups', factVersion)
