import { bytes32, i64, string32, struct } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What values write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const valueFacts = {
  /** A value, and until when it lasts. */
  set: 1,
  removed: 2,
  /** Until when a key lasts, whatever it names. */
  expires: 3,
  /** All of a namespace. */
  cleared: 4,
} as const

/** Milliseconds since 1970; 0: for ever. */
export const set = struct({ namespace: string32, key: bytes32, value: bytes32, expiresMs: i64 })
export const removed = struct({ namespace: string32, key: bytes32 })
export const expires = struct({ namespace: string32, key: bytes32, expiresMs: i64 })
export const cleared = struct({ namespace: string32 })

export const { factOf, readFact, checkVersion } = versioned('Values', factVersion)
