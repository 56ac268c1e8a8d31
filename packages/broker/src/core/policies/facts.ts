import { bytes32, i32, string16, struct, u8 } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What policies write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const policyFacts = { policySet: 1, policyRemoved: 2 } as const

export const policySet = struct({
  /** Index in `policyRanks`. */
  rank: u8,
  namespace: string16,
  name: string16,
  pattern: string16,
  /** Index in `policyTargets`. */
  target: u8,
  priority: i32,
  /** As `encodeArguments` writes them. */
  definition: bytes32,
})
export const policyRemoved = struct({ rank: u8, namespace: string16, name: string16 })

export const { factOf, readFact, checkVersion } = versioned('Policies', factVersion)
