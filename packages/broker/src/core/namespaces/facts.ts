import { list, string16, string32, struct, u8, uvarint } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What namespaces and parameters write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const namespaceFacts = {
  /** A namespace is there, or is now like this. */
  namespaceSet: 1,
  /** It is gone for everybody, but not all that was in it is removed yet. */
  namespaceEnded: 2,
  namespaceRemoved: 3,
  parameterSet: 4,
  parameterRemoved: 5,
} as const

export const namespaceSet = struct({
  name: string16,
  description: string16,
  tags: list(string16),
  /** Empty: there is none. */
  defaultQueueType: string16,
  /** `kind` is the index in `namespaceLimits`. */
  limits: list(struct({ kind: u8, max: uvarint })),
})
export const namespaceNamed = struct({ name: string16 })

/** `namespace` is empty for those of the whole broker. */
export const parameterSet = struct({ namespace: string16, component: string16, name: string16, value: string32 })
export const parameterRemoved = struct({ namespace: string16, component: string16, name: string16 })

export const { factOf, readFact, checkVersion } = versioned('Namespaces', factVersion)
