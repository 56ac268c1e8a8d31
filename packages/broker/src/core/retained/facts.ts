import { list, string16, struct, uvarint, varlong } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What retained messages write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const retainedFacts = {
  /** Where the messages are: written with the first of all. */
  opened: 1,
  /** The last message of a key is at this offset; the one before is needed no more. */
  kept: 2,
  removed: 3,
} as const

export const opened = struct({ stream: uvarint })
export const kept = struct({
  namespace: string16,
  key: string16,
  offset: uvarint,
  /** Milliseconds since 1970; -1: never. */
  expiresMs: varlong,
})
export const removed = struct({ namespace: string16, key: string16 })

/** In checkpoints. `stream` is 0 when there was no message yet; those that are kept by ascending offsets. */
export const saved = struct({ stream: uvarint, kept: list(kept) })

export const { factOf, readFact, checkVersion } = versioned('Retained messages', factVersion)
