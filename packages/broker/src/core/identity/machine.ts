import assert from 'node:assert/strict'
import { Reader, Writer, type Codec } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import { factVersion, identityFacts, known, restoreRule, ruleSet, storeRule, userRemoved, userSet } from './facts.ts'
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
        return this.#setUser(read(userSet, payload))
      case identityFacts.userRemoved:
        this.users.delete(read(userRemoved, payload).name)
        return
      case identityFacts.rulesAdded:
        return this.#addRules(read(ruleSet, payload).rules.map(restoreRule))
      case identityFacts.rulesRemoved:
        for (const rule of read(ruleSet, payload).rules) this.rules.delete(ruleKey(restoreRule(rule)))
        return
      default:
        throw new Error(`Users and rules have no facts of type ${type}: this data was written by a newer version`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.users.size)
    for (const user of this.users.values()) userSet.write(out, storeUser(user), factVersion)
    ruleSet.write(out, { rules: Array.from(this.rules.values(), storeRule) }, factVersion)
  }

  load(from: Reader): void {
    const version = from.u8()
    assert(version >= 1 && version <= factVersion, `Users and rules were saved by a newer version (${version})`)
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

/** The payload of a fact. */
export function identityFact<T, W>(codec: Codec<T, W>, value: W): Buffer {
  const out = new Writer()
  out.u8(factVersion)
  codec.write(out, value, factVersion)
  return out.take()
}

function read<T, W>(codec: Codec<T, W>, payload: Buffer): T {
  const reader = new Reader(payload)
  const version = reader.u8()
  assert(version >= 1 && version <= factVersion, `A fact about users was written by a newer version (${version})`)
  const value = codec.read(reader, version)
  reader.expectEnd()
  return value
}
