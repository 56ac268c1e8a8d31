import { f64, list, nullableString16, struct, u8, type Infer } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What the quotas write into the journal and into checkpoints: a version byte, then the declared struct. On-disk format: to
 * change it, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the older versions.
 */
export const factVersion = 1

export const quotaFacts = { configured: 1 } as const

/** The complete set of an entity's quotas: none removes it. `part` is an index of `entityParts`, `key` an id of `quotaKeys`. */
export const configured = struct({
  entity: list(struct({ part: u8, name: nullableString16 })),
  values: list(struct({ key: u8, value: f64 })),
})
export type Configured = Infer<typeof configured>

export const { factOf, readFact, checkVersion } = versioned('The quotas', factVersion)
