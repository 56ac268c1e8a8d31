import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import { hashAlgorithms, type PasswordHash } from './hashes.ts'
import { Grants } from './grants.ts'
import {
  checkVersion,
  factVersion,
  identityFacts,
  keyPermissionRemoved,
  keyPermissionSet,
  known,
  namespaceForgotten,
  permissionRemoved,
  permissionSet,
  readFact,
  restoreRule,
  ruleSet,
  storeRule,
  userRemoved,
  userSet,
} from './facts.ts'
import { ruleKey, type Rule } from './permissions.ts'
import { scramMechanisms, type Credential, type ScramMechanism } from './scram.ts'

/** Somebody who can prove who they are with a password. */
export interface User {
  readonly name: string
  /** May do everything, whatever the rules say. */
  readonly isSuper: boolean
  readonly credentials: ReadonlyMap<ScramMechanism, Credential>
  /** Of a password that was taken over from elsewhere. */
  readonly hash?: PasswordHash | undefined
  /** What they may do in namespaces is what permissions say, also while clients need not say who they are. */
  readonly isGoverned?: boolean
  /** What they are, for those who look after the broker: `administrator` and the like. */
  readonly tags?: readonly string[]
  readonly limits?: ReadonlyMap<UserLimit, number>
}

/** Written to disk as their index: only ever append. */
export const userLimits = ['connections', 'channels'] as const
export type UserLimit = (typeof userLimits)[number]

/**
 * Users, rules and permissions.
 *
 * Users are immutable values, replaced as a whole. `version` grows with every fact, so that what was derived from the state can
 * tell that it is old.
 */
export class IdentityMachine implements Machine {
  readonly users = new Map<string, User>()
  /** By `ruleKey`, in the order in which they were added. */
  readonly rules = new Map<string, Rule>()
  readonly grants = new Grants()
  version = 0

  apply(type: number, payload: Buffer): void {
    this.version++
    switch (type) {
      case identityFacts.userSet:
        return this.#setUser(readFact(userSet, payload))
      case identityFacts.userRemoved:
        return this.#removeUser(readFact(userRemoved, payload).name)
      case identityFacts.rulesAdded:
        return this.#addRules(readFact(ruleSet, payload).rules.map(restoreRule))
      case identityFacts.rulesRemoved:
        for (const rule of readFact(ruleSet, payload).rules) this.rules.delete(ruleKey(restoreRule(rule)))
        return
      case identityFacts.permissionSet:
        return this.grants.set(readFact(permissionSet, payload))
      case identityFacts.permissionRemoved:
        return this.grants.remove(readFact(permissionRemoved, payload))
      case identityFacts.keyPermissionSet:
        return this.grants.setKeys(readFact(keyPermissionSet, payload))
      case identityFacts.keyPermissionRemoved:
        return this.grants.removeKeys(readFact(keyPermissionRemoved, payload))
      case identityFacts.namespaceForgotten:
        return this.grants.removeNamespace(readFact(namespaceForgotten, payload).namespace)
      default:
        throw new Error(`Users and rules have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.users.size)
    for (const user of this.users.values()) userSet.write(out, storeUser(user), factVersion)
    ruleSet.write(out, { rules: Array.from(this.rules.values(), storeRule) }, factVersion)
    this.grants.save(out, factVersion)
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) this.#setUser(userSet.read(from, version))
    this.#addRules(ruleSet.read(from, version).rules.map(restoreRule))
    // Version 1 had none.
    if (version >= 2) this.grants.load(from, version)
    this.version++
  }

  #removeUser(name: string): void {
    this.users.delete(name)
    this.grants.removeUser(name)
  }

  #setUser(stored: ReturnType<typeof storeUser>): void {
    const { name, isSuper, credentials, hashes, isGoverned, tags, limits } = stored
    const restored = credentials.map(({ mechanism, iterations, salt, storedKey, serverKey }): Credential => {
      // The bytes of a fact are only lent.
      const keys = { salt: keptCopy(salt), storedKey: keptCopy(storedKey), serverKey: keptCopy(serverKey) }
      return { mechanism: known(scramMechanisms, mechanism), iterations, ...keys }
    })
    const byMechanism = new Map(restored.map(credential => [credential.mechanism, credential]))
    const [hash] = hashes.map(({ algorithm, salt, digest }) => {
      return { algorithm: known(hashAlgorithms, algorithm), salt: keptCopy(salt), digest: keptCopy(digest) }
    })
    const bounds = new Map(limits.map(({ kind, max }) => [known(userLimits, kind), max]))
    this.users.set(name, { name, isSuper, credentials: byMechanism, hash, isGoverned, tags, limits: bounds })
  }

  #addRules(rules: readonly Rule[]): void {
    for (const rule of rules) this.rules.set(ruleKey(rule), rule)
  }
}

/** A user as `userSet` declares it. */
export function storeUser(user: User): Infer<typeof userSet> {
  const { name, isSuper, credentials, hash, isGoverned = false, tags = [], limits = [] } = user
  const stored = Array.from(credentials.values(), ({ mechanism, iterations, salt, storedKey, serverKey }) => {
    return { mechanism: scramMechanisms.indexOf(mechanism), iterations, salt, storedKey, serverKey }
  })
  const hashes = hash ? [{ ...hash, algorithm: hashAlgorithms.indexOf(hash.algorithm) }] : []
  const bounds = Array.from(limits, ([limit, max]) => ({ kind: userLimits.indexOf(limit), max }))
  return { name, isSuper, credentials: stored, hashes, isGoverned, tags: [...tags], limits: bounds }
}
