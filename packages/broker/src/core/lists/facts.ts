import { bool, i64, struct, u32 } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What lists write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const listFacts = {
  /** The messages of a stream are a list, which was made by its first element. */
  made: 1,
  /** What is appended from an offset on is at one end of the list. */
  turned: 2,
  /** The message that is appended next is beside another one. */
  placed: 3,
  /** The stream's messages are no list any more. */
  forgotten: 4,
} as const

export const made = struct({ stream: u32 })
export const turned = struct({ stream: u32, offset: i64, isLeft: bool })
export const placed = struct({ stream: u32, offset: i64, anchor: i64, isLeft: bool })
export const forgotten = struct({ stream: u32 })

export const { factOf, readFact, checkVersion } = versioned('Lists', factVersion)
