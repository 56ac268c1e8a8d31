import { bool, bytes32, list, since, string16, struct, u8, uvarint, type Infer } from '@dragoman/wire'
import { versioned } from '../versioned.ts'
import { effects, operations, patterns, resourceKinds, type Rule } from './permissions.ts'

/**
 * What users and rules write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 2

export const identityFacts = {
  /** A user is there, or is now like this. */
  userSet: 1,
  userRemoved: 2,
  rulesAdded: 3,
  rulesRemoved: 4,
  /** What a user may do in a namespace. With a user that is removed, all of theirs go. */
  permissionSet: 5,
  permissionRemoved: 6,
  /** What a user may do by an exchange with which keys. */
  keyPermissionSet: 7,
  keyPermissionRemoved: 8,
  /** A namespace is gone: so are all permissions in it. */
  namespaceForgotten: 9,
} as const

const storedCredential = struct({
  /** Index in `scramMechanisms`. */
  mechanism: u8,
  iterations: uvarint,
  salt: bytes32,
  storedKey: bytes32,
  serverKey: bytes32,
})

/** `algorithm` is the index in `hashAlgorithms`. */
const storedHash = struct({ algorithm: u8, salt: bytes32, digest: bytes32 })

export const userSet = struct({
  name: string16,
  isSuper: bool,
  credentials: list(storedCredential),
  /** At most one. */
  hashes: since(2, list(storedHash)),
  isGoverned: since(2, bool),
  tags: since(2, list(string16)),
  /** `kind` is the index in `userLimits`. */
  limits: since(2, list(struct({ kind: u8, max: uvarint }))),
})
export const userRemoved = struct({ name: string16 })

/** `operation` is 0 for all of them, else 1 more than the index in `operations`; the others are indexes. */
const storedRule = struct({
  namespace: string16,
  kind: u8,
  pattern: u8,
  name: string16,
  principal: string16,
  host: string16,
  operation: u8,
  effect: u8,
})

/** For both, added and removed. */
export const ruleSet = struct({ rules: list(storedRule) })

export const permissionSet = struct({
  user: string16,
  namespace: string16,
  configure: string16,
  write: string16,
  read: string16,
})
export const permissionRemoved = struct({ user: string16, namespace: string16 })
export const keyPermissionSet = struct({
  user: string16,
  namespace: string16,
  exchange: string16,
  write: string16,
  read: string16,
})
export const keyPermissionRemoved = struct({ user: string16, namespace: string16, exchange: string16 })
export const namespaceForgotten = struct({ namespace: string16 })

export const { factOf, readFact, checkVersion } = versioned('Users and rules', factVersion)

export type StoredRule = Infer<typeof storedRule>

export function storeRule(rule: Rule): StoredRule {
  const { namespace, name, principal, host, operation } = rule
  return {
    namespace,
    kind: resourceKinds.indexOf(rule.kind),
    pattern: patterns.indexOf(rule.pattern),
    name,
    principal,
    host,
    operation: operation === 'all' ? 0 : operations.indexOf(operation) + 1,
    effect: effects.indexOf(rule.effect),
  }
}

export function restoreRule(stored: StoredRule): Rule {
  const { namespace, name, principal, host } = stored
  const operation = stored.operation === 0 ? 'all' : known(operations, stored.operation - 1)
  return {
    namespace,
    kind: known(resourceKinds, stored.kind),
    pattern: known(patterns, stored.pattern),
    name,
    principal,
    host,
    operation,
    effect: known(effects, stored.effect),
  }
}

export function known<T>(words: readonly T[], index: number): T {
  const word = words[index]
  if (word === undefined) throw new Error('A rule or user was written by a newer broker')
  return word
}
