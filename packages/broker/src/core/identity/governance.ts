import type { Codec, Random } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import { NamePattern } from '../name-pattern.ts'
import { quote } from '../names.ts'
import { atomically, durably } from '../refusals.ts'
import {
  factOf,
  identityFacts,
  keyPermissionRemoved,
  keyPermissionSet,
  namespaceForgotten,
  permissionRemoved,
  permissionSet,
  userRemoved,
  userSet,
} from './facts.ts'
import type { Grants, KeyPermission, Permission } from './grants.ts'
import type { PasswordHash } from './hashes.ts'
import { storeUser, type IdentityMachine, type User, type UserLimit } from './machine.ts'
import { hashPassword, saltBytes, scramMechanisms, type Credential } from './scram.ts'

export interface GovernanceOptions {
  readonly ledger: Ledger
  readonly random: Random
  readonly limits: { readonly usersMax: number; readonly rulesMax: number }
  readonly machine: IdentityMachine
  isConfigured(name: string): boolean
  /** Throws `BrokerError` when there cannot be a user of that name. */
  checkName(name: string): void
  /** Throws `BrokerError` when nobody would be left who may look after the broker. */
  checkRemoval(changed: ReadonlyMap<string, User | undefined>): void
  changed(seq: number): void
}

/** How a user is to be. */
export interface Profile {
  readonly tags: readonly string[]
  readonly secret: Secret
}

/** What proves that somebody is the user. */
export type Secret =
  /** Nothing: nobody can log in with a password. */
  | { readonly kind: 'none' }
  | { readonly kind: 'password'; readonly password: string }
  | { readonly kind: 'hash'; readonly hash: PasswordHash }
  | { readonly kind: 'credentials'; readonly credentials: readonly Credential[] }

/** Who may look after everything. */
export const administratorTag = 'administrator'

const tagsMax = 64
const tagBytesMax = 256

/**
 * Users with tags, and what they may do in namespaces: at most one permission in each, and one by each exchange. Methods that change something
 * decide before they first wait for the disk, resolve when that is durable, and reject with `BrokerError`.
 */
export class Governance {
  readonly #options: GovernanceOptions
  readonly #grants: Grants

  constructor(options: GovernanceOptions) {
    this.#options = options
    this.#grants = options.machine.grants
  }

  get permissions(): Permission[] {
    return [...this.#grants.list()]
  }

  get keyPermissions(): KeyPermission[] {
    return [...this.#grants.listKeys()]
  }

  permission(user: string, namespace: string): Permission | undefined {
    return this.#grants.get(user, namespace)
  }

  /** Makes a user, or changes one. Resolves with whether it was made. */
  async setUser(name: string, { tags, secret }: Profile): Promise<boolean> {
    this.#checkChangeable(name)
    checkTags(tags)
    const credentials = secret.kind === 'password' ? await this.#hash(secret.password) : []
    const before = this.#options.machine.users.get(name)
    const user = { ...(before ?? nobody), ...secretsOf(secret, credentials), name, tags, isGoverned: true }
    if (!before) this.#checkCount()
    else this.#options.checkRemoval(new Map([[name, user]]))
    await this.#durably(identityFacts.userSet, userSet, storeUser(user))
    return !before
  }

  /** Removes users and all their permissions, in one block. Rejects when one of them is not there. */
  async removeUsers(names: readonly string[]): Promise<void> {
    const { machine, ledger, checkRemoval } = this.#options
    for (const name of names) {
      this.#checkChangeable(name)
      if (!machine.users.has(name)) throw new BrokerError('user-not-found', quote(name))
    }
    checkRemoval(new Map(names.map(name => [name, undefined])))
    const seq = atomically(ledger, () => {
      for (const name of new Set(names)) this.#write(identityFacts.userRemoved, userRemoved, { name })
    })
    await durably(ledger, seq)
  }

  /** `max` undefined: there is no limit any more. */
  async setLimit(name: string, limit: UserLimit, max: number | undefined): Promise<void> {
    this.#checkChangeable(name)
    const before = this.#options.machine.users.get(name)
    if (!before) throw new BrokerError('user-not-found', quote(name))
    if (max !== undefined && (!Number.isSafeInteger(max) || max < 0)) {
      throw new BrokerError('request-invalid', `a limit of a user is 0 or more, not ${max}`)
    }
    const limits = new Map(before.limits)
    if (max === undefined) limits.delete(limit)
    else limits.set(limit, max)
    await this.#durably(identityFacts.userSet, userSet, storeUser({ ...before, limits }))
  }

  async setPermission(permission: Permission): Promise<void> {
    const { user, namespace, configure, write, read } = permission
    for (const text of [configure, write, read]) checkPattern(text)
    this.#checkUser(user)
    this.#checkPermissionCount(this.#grants.get(user, namespace))
    await this.#durably(identityFacts.permissionSet, permissionSet, permission)
  }

  /** Resolves with whether it was there. */
  async removePermission(user: string, namespace: string): Promise<boolean> {
    if (!this.#grants.get(user, namespace)) return false
    await this.#durably(identityFacts.permissionRemoved, permissionRemoved, { user, namespace })
    return true
  }

  async setKeyPermission(permission: KeyPermission): Promise<void> {
    const { user, namespace, exchange, write, read } = permission
    for (const text of [write, read]) checkPattern(text)
    this.#checkUser(user)
    this.#checkPermissionCount(this.#grants.getKeys(user, namespace, exchange))
    await this.#durably(identityFacts.keyPermissionSet, keyPermissionSet, permission)
  }

  /** `exchange` undefined: those of all exchanges. Resolves with whether there was any. */
  async removeKeyPermissions(user: string, namespace: string, exchange?: string): Promise<boolean> {
    const found = this.keyPermissions.filter(of => {
      return of.user === user && of.namespace === namespace && (exchange ?? of.exchange) === of.exchange
    })
    if (found.length === 0) return false
    const seq = atomically(this.#options.ledger, () => {
      for (const permission of found) this.#write(identityFacts.keyPermissionRemoved, keyPermissionRemoved, permission)
    })
    await durably(this.#options.ledger, seq)
    return true
  }

  /** All permissions in a namespace that is gone. */
  async forgetNamespace(namespace: string): Promise<void> {
    await this.#durably(identityFacts.namespaceForgotten, namespaceForgotten, { namespace })
  }

  async #hash(password: string): Promise<Credential[]> {
    const { random } = this.#options
    return Promise.all(
      scramMechanisms.map(mechanism => hashPassword(mechanism, password, Buffer.from(random.bytes(saltBytes)))),
    )
  }

  #checkChangeable(name: string): void {
    this.#options.checkName(name)
    if (this.#options.isConfigured(name)) {
      throw new BrokerError('credential-invalid', `${quote(name)} is set by the configuration of the broker`)
    }
  }

  #checkUser(name: string): void {
    const { machine, isConfigured } = this.#options
    if (!machine.users.has(name) && !isConfigured(name)) throw new BrokerError('user-not-found', quote(name))
  }

  #checkCount(): void {
    const { machine, limits } = this.#options
    if (machine.users.size < limits.usersMax) return
    throw new BrokerError('limit-reached', `there are at most ${limits.usersMax} users`)
  }

  #checkPermissionCount(present: object | undefined): void {
    const { rulesMax } = this.#options.limits
    if (present || this.#grants.count < rulesMax) return
    throw new BrokerError('limit-reached', `there are at most ${rulesMax} permissions`)
  }

  async #durably<T, W>(type: number, codec: Codec<T, W>, value: W): Promise<void> {
    const { ledger } = this.#options
    await durably(
      ledger,
      atomically(ledger, () => this.#write(type, codec, value)),
    )
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): number {
    const seq = this.#options.ledger.fact(machineKinds.identity, type, factOf(codec, value))
    this.#options.changed(seq)
    return seq
  }
}

const nobody = { isSuper: false, credentials: new Map() }

/** `made` are the credentials of a password. */
function secretsOf(secret: Secret, made: readonly Credential[]): Pick<User, 'credentials' | 'hash'> {
  const credentials = secret.kind === 'credentials' ? secret.credentials : made
  const hash = secret.kind === 'hash' ? secret.hash : undefined
  return { credentials: new Map(credentials.map(of => [of.mechanism, of])), hash }
}

function checkTags(tags: readonly string[]): void {
  const isFine = tags.length <= tagsMax && tags.every(tag => tag !== '' && Buffer.byteLength(tag) <= tagBytesMax)
  if (isFine) return
  throw new BrokerError('request-invalid', `a user has at most ${tagsMax} tags of 1 to ${tagBytesMax} bytes`)
}

function checkPattern(text: string): void {
  // It may hold names in braces, which stand for others when it is used.
  if (text !== '') new NamePattern(text.replaceAll(/\{(?:username|vhost|client_id)\}/g, 'x'))
}
