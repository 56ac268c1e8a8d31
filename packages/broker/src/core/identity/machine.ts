import type { Reader, Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import {
  checkVersion,
  factVersion,
  identityFacts,
  known,
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
}

/**
 * Users and rules.
 *
 * Users are immutable values, replaced as a whole. `version` grows with every fact, so that what was derived from the state can
 * tell that it is old.
 */
export class IdentityMachine implements Machine {
  readonly users = new Map<string, User>()
  /** By `ruleKey`, in the order in which they were added. */
  readonly rules = new Map<string, Rule>()
  version = 0

  apply(type: number, payload: Buffer): void {
    this.version++
    switch (type) {
      case identityFacts.userSet:
        return this.#setUser(readFact(userSet, payload))
      case identityFacts.userRemoved:
        this.users.delete(readFact(userRemoved, payload).name)
        return
      case identityFacts.rulesAdded:
        return this.#addRules(readFact(ruleSet, payload).rules.map(restoreRule))
      case identityFacts.rulesRemoved:
        for (const rule of readFact(ruleSet, payload).rules) this.rules.delete(ruleKey(restoreRule(rule)))
        return
      default:
        throw new Error(`Users and rules have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.users.size)
    for (const user of this.users.values()) userSet.write(out, storeUser(user), factVersion)
    ruleSet.write(out, { rules: Array.from(this.rules.values(), storeRule) }, factVersion)
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) this.#setUser(userSet.read(from, version))
    this.#addRules(ruleSet.read(from, version).rules.map(restoreRule))
    this.version++
  }

  #setUser({ name, isSuper, credentials }: ReturnType<typeof storeUser>): void {
    const restored = credentials.map(({ mechanism, iterations, salt, storedKey, serverKey }): Credential => {
      // The bytes of a fact are only lent.
      const keys = { salt: Buffer.from(salt), storedKey: Buffer.from(storedKey), serverKey: Buffer.from(serverKey) }
      return { mechanism: known(scramMechanisms, mechanism), iterations, ...keys }
    })
    const byMechanism = new Map(restored.map(credential => [credential.mechanism, credential]))
    this.users.set(name, { name, isSuper, credentials: byMechanism })
  }

  #addRules(rules: readonly Rule[]): void {
    for (const rule of rules) this.rules.set(ruleKey(rule), rule)
  }
}

/** A user as `userSet` declares it. */
export function storeUser({ name, isSuper, credentials }: User): {
  name: string
  isSuper: boolean
  credentials: { mechanism: number; iterations: number; salt: Buffer; storedKey: Buffer; serverKey: Buffer }[]
} {
  const stored = Array.from(credentials.values(), ({ mechanism, iterations, salt, storedKey, serverKey }) => {
    return { mechanism: scramMechanisms.indexOf(mechanism), iterations, salt, storedKey, serverKey }
  })
  return { name, isSuper, credentials: stored }
}
