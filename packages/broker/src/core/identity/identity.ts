import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import type { Codec, Random } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import { atomically, durably } from '../refusals.ts'
import { NamePattern } from '../name-pattern.ts'
import { Authorizer, type Access, type Policy, type Standing } from './authorizer.ts'
import { factOf, identityFacts, ruleSet, storeRule, userRemoved, userSet } from './facts.ts'
import { Attempts } from './attempts.ts'
import { administratorTag, Governance } from './governance.ts'
import { Guesses } from './guesses.ts'
import { IdentityMachine, storeUser, type User } from './machine.ts'
import { Passwords } from './passwords.ts'
import { NamespaceAccess, type NamespacePermission, type NamespacePolicy } from './namespace-access.ts'
import { anonymous, anyone, ruleKey, type Effect, type Rule } from './permissions.ts'
import { BearerExchange } from './sasl/bearer.ts'
import type { SaslExchange, SaslMechanism } from './sasl/mechanism.ts'
import { PlainExchange } from './sasl/plain.ts'
import { ScramExchange } from './sasl/scram.ts'
import {
  iterationsDefault,
  keyBytes,
  makeCredential,
  saltBytes,
  scramMechanisms,
  type Credential,
  type ScramMechanism,
} from './scram.ts'
import type { Tokens } from './tokens.ts'

export interface IdentityOptions {
  ledger: Ledger
  random: Random
  limits: { usersMax: number; rulesMax: number }
  settings: IdentitySettings
  tokens?: Tokens | undefined
  log(level: 'debug' | 'info' | 'warn', message: string, fields?: Record<string, unknown>): void
}

export interface IdentitySettings {
  /** Users of the configuration: they cannot be changed while the broker runs. */
  users: readonly { name: string; password: string }[]
  /** Undefined: the users of the configuration, and the first one that was ever made. */
  superUsers: readonly string[] | undefined
  mechanisms: readonly SaslMechanism[]
  /** Clients must say who they are before they may do anything. */
  isRequired: boolean
  /** `auto`: when clients must say who they are, and there is anybody who may give rights to others. */
  authorization: 'auto' | 'on' | 'off'
  withoutRule: Effect
  /** Name of who has shown a certificate: its whole subject, or the common name in it. */
  certificateName: 'subject' | 'cn'
  /** A proof lasts at most so long; 0: as long as the connection. */
  sessionMs: number
  /** Who must say who they are has so long for it. */
  authenticationMs: number
}

/** How it is known who somebody is. */
export type Proof = 'none' | 'password' | 'token' | 'certificate'

/** One change of one user's credentials. */
export type UserChange =
  | { readonly kind: 'set'; readonly name: string; readonly credential: Credential }
  | { readonly kind: 'remove'; readonly name: string; readonly mechanism: ScramMechanism }

const accessesMax = 4096
const nameLengthMax = 256
const patternsMax = 10_000
const rulesPerFact = 1000
const ruleTextMax = 1024

/**
 * The front door of users and rules: who there is, how they prove it, what they may do. Every protocol shares it.
 *
 * Decisions are taken before the first wait, hence in the order of the calls. What is shown may not be durable yet.
 */
export class Identity {
  readonly guesses: Guesses
  readonly attempts = new Attempts()
  readonly settings: IdentitySettings
  /** Tags of users, and what they may do in namespaces. */
  readonly governance: Governance
  readonly #options: IdentityOptions
  readonly #machine: IdentityMachine
  readonly #configured = new Map<string, User>()
  readonly #superUsers: ReadonlySet<string> | undefined
  readonly #passwords: Passwords
  readonly #secret: Buffer
  readonly #authorizers = new Map<Proof, Authorizer>()
  readonly #accesses = new Map<string, Access>()
  readonly #inNamespaces = new WeakMap<Access, Map<string, NamespaceAccess>>()
  readonly #namespacePolicy: NamespacePolicy
  #changedSeq = 0

  constructor(options: IdentityOptions) {
    const machine = options.ledger.machine(machineKinds.identity)
    assert(machine instanceof IdentityMachine)
    const { random, settings, ledger } = options
    this.#options = options
    this.#machine = machine
    this.settings = settings
    this.guesses = new Guesses(ledger.clock)
    this.#secret = random.bytes(32)
    this.#passwords = new Passwords(this.#secret, this.#decoy('SCRAM-SHA-256', ''))
    this.#superUsers = settings.superUsers && new Set(settings.superUsers)
    this.#namespacePolicy = namespacePolicyOf(machine)
    this.governance = new Governance({
      ledger,
      random,
      machine,
      limits: options.limits,
      isConfigured: name => this.#configured.has(name),
      checkName: checkUserName,
      checkRemoval: changed => this.#checkUserCount(changed),
      changed: seq => (this.#changedSeq = seq),
    })
    for (const { name, password } of settings.users) this.#configured.set(name, this.#configure(name, password))
  }

  /** Whether clients must say who they are before they may do anything. */
  get isRequired(): boolean {
    return this.settings.isRequired
  }

  /** Whether rights are asked for at all. */
  get isEnforced(): boolean {
    const { authorization, isRequired } = this.settings
    if (authorization !== 'auto') return authorization === 'on'
    return isRequired && (this.hasUsers || this.#superUsers !== undefined)
  }

  get hasUsers(): boolean {
    return this.#configured.size > 0 || this.#machine.users.size > 0
  }

  user(name: string): User | undefined {
    return this.#configured.get(name) ?? this.#machine.users.get(name)
  }

  /** All users, those of the configuration first. */
  get users(): User[] {
    const stored = [...this.#machine.users.values()].filter(({ name }) => !this.#configured.has(name))
    return [...this.#configured.values(), ...stored]
  }

  get rules(): Iterable<Rule> {
    return this.#machine.rules.values()
  }

  /** Mechanisms by which clients can say who they are; none when nobody could. */
  get mechanisms(): readonly SaslMechanism[] {
    return this.settings.mechanisms.filter(mechanism => {
      return mechanism === 'OAUTHBEARER' ? this.#options.tokens !== undefined : this.hasUsers
    })
  }

  /** Whom a certificate is for. `subject` is written as RFC 2253 says. */
  certificateName(subject: string): string {
    if (this.settings.certificateName === 'subject') return subject
    const common = /(?:^|,)CN=((?:\\.|[^\\,+])+)/.exec(subject)?.[1]
    return common === undefined ? subject : common.replaceAll(/\\(.)/g, '$1')
  }

  /** Who may do everything: the broker itself. */
  get everything(): Access {
    const all = { ...this.#policy('none'), isEnforced: false, standingInNamespaces: (): Standing => 'all' }
    return new Authorizer(all).access(anonymous, '')
  }

  /** Whether the user is there and has this password. Takes milliseconds, of another thread. */
  checkPassword(name: string, password: string): Promise<boolean> {
    return this.#passwords.check(this.user(name), password)
  }

  /** What the user is, for those who look after the broker. Who may do everything is an administrator. */
  tagsOf(name: string): readonly string[] {
    const { isSuper, tags = [] } = this.user(name) ?? { isSuper: false }
    const isAdministrator = this.#superUsers ? this.#superUsers.has(name) : isSuper
    return isAdministrator && !tags.includes(administratorTag) ? [administratorTag, ...tags] : tags
  }

  /** Begins an attempt. `mechanism` is one of `mechanisms`. */
  exchange(mechanism: SaslMechanism, host: string): SaslExchange {
    switch (mechanism) {
      case 'PLAIN':
        return new PlainExchange((user, password) => this.#passwords.check(this.user(user), password))
      case 'OAUTHBEARER': {
        const { tokens, log } = this.#options
        assert(tokens !== undefined)
        const refused = (problem: string): void => log('info', 'Token refused', { problem, host })
        return new BearerExchange(token => tokens.check(token), refused)
      }
      default:
        return new ScramExchange({
          credentialFor: name => this.#credentialFor(name, mechanism),
          nonce: () => this.#options.random.bytes(18).toString('base64'),
        })
    }
  }

  /** Grows whenever somebody may do something else than before. */
  get version(): number {
    return this.#machine.version
  }

  /** What somebody may do, from this host. Shared by all connections of the same. */
  access(principal: string, proof: Proof, host: string): Access {
    const key = `${proof} ${host} ${principal}`
    const known = this.#accesses.get(key)
    if (known !== undefined) return known
    const access = this.#authorizerFor(proof).access(principal, host)
    if (this.#accesses.size >= accessesMax) this.#accesses.clear()
    this.#accesses.set(key, access)
    return access
  }

  /** What somebody may do in a namespace, going by permissions. Kept for a connection, or asked for anew each time. */
  inNamespace(access: Access, namespace: string): NamespaceAccess {
    let known = this.#inNamespaces.get(access)
    if (!known) this.#inNamespaces.set(access, (known = new Map()))
    let found = known.get(namespace)
    if (found) return found
    if (known.size >= accessesMax) known.clear()
    known.set(namespace, (found = new NamespaceAccess(this.#namespacePolicy, access, namespace)))
    return found
  }

  /** Whether permissions let somebody do this to what has this name. */
  mayInNamespace(access: Access, namespace: string, permission: NamespacePermission, name: string): boolean {
    return this.inNamespace(access, namespace).may(permission, name)
  }

  /** Removes all permissions in a namespace that is gone. */
  forgetNamespace(namespace: string): Promise<void> {
    return this.governance.forgetNamespace(namespace)
  }

  /**
   * Changes credentials, all in one block. A user is there as long as they have a credential. The first user of all is a
   * super user, because nobody else could give rights to others.
   */
  async changeUsers(changes: readonly UserChange[]): Promise<void> {
    const changed = new Map<string, User | undefined>()
    for (const change of changes) {
      const before = changed.has(change.name) ? changed.get(change.name) : this.user(change.name)
      changed.set(change.name, this.#changeOne(change, before))
    }
    this.#checkUserCount(changed)
    const isFirst = !this.hasUsers && this.#superUsers === undefined
    const seq = atomically(this.#options.ledger, () => {
      let first = isFirst
      for (const [name, user] of changed) {
        if (user === undefined) this.#write(identityFacts.userRemoved, userRemoved, { name })
        else this.#write(identityFacts.userSet, userSet, storeUser({ ...user, isSuper: user.isSuper || first }))
        first &&= user === undefined
      }
    })
    if (isFirst && !this.isRequired) {
      this.#options.log('warn', 'There are users now, but nobody must log in: give --authentication on')
    }
    await durably(this.#options.ledger, seq)
  }

  /** Throws `BrokerError` when the change cannot be made. */
  checkChange(change: UserChange): void {
    this.#changeOne(change, this.user(change.name))
  }

  /** Adds rules; those that are there already stay. */
  async addRules(rules: readonly Rule[]): Promise<void> {
    if (rules.some(({ name, principal, host }) => Math.max(name.length, principal.length, host.length) > ruleTextMax)) {
      throw new BrokerError('request-invalid', `a name in a rule has at most ${ruleTextMax} characters`)
    }
    const added = new Map(rules.map(rule => [ruleKey(rule), rule]))
    for (const key of added.keys()) if (this.#machine.rules.has(key)) added.delete(key)
    if (this.#machine.rules.size + added.size > this.#options.limits.rulesMax) {
      throw new BrokerError('limit-reached', `there are at most ${this.#options.limits.rulesMax} rules`)
    }
    await this.#writeRules(identityFacts.rulesAdded, [...added.values()])
  }

  /** Removes rules; those that are not there are passed over. */
  removeRules(rules: readonly Rule[]): Promise<void> {
    return this.#writeRules(
      identityFacts.rulesRemoved,
      rules.filter(rule => this.#machine.rules.has(ruleKey(rule))),
    )
  }

  /** Resolves when all that is shown now is durable. */
  settle(): Promise<void> {
    return this.#changedSeq === 0 ? Promise.resolve() : durably(this.#options.ledger, this.#changedSeq)
  }

  #configure(name: string, password: string): User {
    const { random } = this.#options
    const credentials = scramMechanisms.map(mechanism => makeCredential(mechanism, password, random.bytes(saltBytes)))
    const byMechanism = new Map(credentials.map(credential => [credential.mechanism, credential]))
    return { name, isSuper: true, credentials: byMechanism }
  }

  #changeOne(change: UserChange, before: User | undefined): User | undefined {
    const { name } = change
    checkUserName(name)
    if (this.#configured.has(name)) {
      throw new BrokerError('credential-invalid', `${quote(name)} is set by the configuration of the broker`)
    }
    const credentials = new Map(before?.credentials)
    if (change.kind === 'set') credentials.set(change.credential.mechanism, change.credential)
    else if (!credentials.delete(change.mechanism)) {
      throw new BrokerError('user-not-found', `${quote(name)} has no password for ${change.mechanism}`)
    }
    // A new password takes the place of one that was taken over from elsewhere.
    const hash = change.kind === 'set' ? undefined : before?.hash
    if (credentials.size === 0 && !hash) return undefined
    return { ...before, name, isSuper: before?.isSuper ?? false, credentials, hash }
  }

  #checkUserCount(changed: ReadonlyMap<string, User | undefined>): void {
    const { usersMax } = this.#options.limits
    const left = new Map(this.#machine.users)
    for (const [name, user] of changed) {
      if (user === undefined) left.delete(name)
      else left.set(name, user)
    }
    if (left.size > usersMax && left.size > this.#machine.users.size) {
      throw new BrokerError('limit-reached', `there are at most ${usersMax} users`)
    }
    if (this.#superUsers !== undefined || this.#configured.size > 0 || !this.isRequired) return
    const wasSafe = [...this.#machine.users.values()].some(isAdministrator)
    const isSafe = [...left.values()].some(isAdministrator)
    if (wasSafe && !isSafe) {
      const detail = 'the last super user cannot be removed: nobody could give rights to others any more'
      throw new BrokerError('credential-invalid', detail)
    }
  }

  #credentialFor(name: string, mechanism: ScramMechanism): { credential: Credential; isKnown: boolean } {
    const credential = this.user(name)?.credentials.get(mechanism)
    if (credential !== undefined) return { credential, isKnown: true }
    return { credential: this.#decoy(mechanism, name), isKnown: false }
  }

  /** Always the same for the same name, so that a stranger looks like a user. */
  #decoy(mechanism: ScramMechanism, name: string): Credential {
    const bytes = (what: string, length: number): Buffer =>
      createHmac('sha512', this.#secret).update(`${what} ${mechanism} ${name}`).digest().subarray(0, length)
    const storedKey = bytes('stored', keyBytes(mechanism))
    const serverKey = bytes('server', keyBytes(mechanism))
    return { mechanism, iterations: iterationsDefault, salt: bytes('salt', saltBytes), storedKey, serverKey }
  }

  #authorizerFor(proof: Proof): Authorizer {
    let authorizer = this.#authorizers.get(proof)
    if (authorizer === undefined) this.#authorizers.set(proof, (authorizer = new Authorizer(this.#policy(proof))))
    return authorizer
  }

  #policy(proof: Proof): Policy {
    const machine = this.#machine
    const isEnforced = (): boolean => this.isEnforced
    return {
      withoutRule: this.settings.withoutRule,
      rules: { [Symbol.iterator]: () => machine.rules.values() },
      isSuper: principal => this.#isSuper(principal, proof),
      standingInNamespaces: principal => this.#standingInNamespaces(principal, proof),
      isPresent: principal => proof !== 'password' || this.user(principal) !== undefined,
      denied: (principal, host, operation, kind, name) => {
        this.#options.log('debug', 'Access denied', { principal, host, operation, kind, name })
      },
      get version() {
        return machine.version
      },
      get isEnforced() {
        return isEnforced()
      },
    }
  }

  #isSuper(principal: string, proof: Proof): boolean {
    if (this.#superUsers !== undefined) return this.#superUsers.has(principal)
    // A token or a certificate of the same name is somebody else until the configuration says otherwise.
    const user = proof === 'password' ? this.user(principal) : undefined
    return user !== undefined && isAdministrator(user)
  }

  /** Administrators have no more than they were given, but may give themselves more. */
  #standingInNamespaces(principal: string, proof: Proof): Standing {
    const user = proof === 'password' ? this.user(principal) : undefined
    if (proof === 'password' && !user) return 'none'
    if (!this.isEnforced && !user?.isGoverned) return 'all'
    const isSuper = this.#superUsers ? this.#superUsers.has(principal) : user?.isSuper
    return isSuper ? 'all' : 'asked'
  }

  async #writeRules(type: number, rules: readonly Rule[]): Promise<void> {
    if (rules.length === 0) return
    const seq = atomically(this.#options.ledger, () => {
      for (let at = 0; at < rules.length; at += rulesPerFact) {
        this.#write(type, ruleSet, { rules: rules.slice(at, at + rulesPerFact).map(storeRule) })
      }
    })
    await durably(this.#options.ledger, seq)
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    this.#changedSeq = this.#options.ledger.fact(machineKinds.identity, type, factOf(codec, value))
  }
}

/** Whether the user may do everything, or give themselves every right. */
function isAdministrator({ isSuper, tags }: User): boolean {
  return isSuper || tags?.includes(administratorTag) === true
}

function namespacePolicyOf({ grants }: IdentityMachine): NamespacePolicy {
  const patterns = new Map<string, NamePattern>()
  return {
    grants,
    patternOf: text => {
      let pattern = patterns.get(text)
      if (pattern) return pattern
      if (patterns.size >= patternsMax) patterns.clear()
      patterns.set(text, (pattern = new NamePattern(text)))
      return pattern
    },
  }
}

function checkUserName(name: string): void {
  const problem = userNameProblem(name)
  if (problem !== undefined) throw new BrokerError('credential-invalid', problem)
}

/** What is wrong with the name of a user, or undefined. */
export function userNameProblem(name: string): string | undefined {
  if (name === '') return 'a user needs a name'
  if (name.length > nameLengthMax) return `the name of a user has at most ${nameLengthMax} characters`
  if (name === anyone || name === anonymous) return `${quote(name)} cannot be the name of a user`
  return /\p{Cc}/u.test(name) ? `${quote(name)} has control characters` : undefined
}
