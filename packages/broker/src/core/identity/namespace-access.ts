import { BrokerError } from '../errors.ts'
import type { NamePattern } from '../name-pattern.ts'
import type { Access, Standing } from './authorizer.ts'
import type { Grants } from './grants.ts'
import type { Operation, ResourceKind } from './permissions.ts'

/** `configure`: make, change and remove; `write`: put messages in; `read`: take them out. */
export type NamespacePermission = 'configure' | 'write' | 'read'

/** What decides besides the permissions. */
export interface NamespacePolicy {
  readonly grants: Grants
  /** Compiled once for all who have the same. */
  patternOf(text: string): NamePattern
}

/** Names whose answers are remembered; more, and it begins anew. */
const rememberedMax = 10_000
const rememberedNameMax = 256
const askedShift = 3
const bits: Record<NamespacePermission, number> = { configure: 1, write: 2, read: 4 }

/**
 * What one principal may do in a namespace, going by their permissions there. Answers are remembered until any user, rule or permission
 * changes: asking again takes no time.
 */
export class NamespaceAccess {
  readonly namespace: string
  readonly #access: Access
  readonly #policy: NamespacePolicy
  /** By what has the name, then by name. */
  readonly #known = new Map<ResourceKind | undefined, Map<string, number>>()
  #standing: Standing = 'none'
  #version = -1

  constructor(policy: NamespacePolicy, access: Access, namespace: string) {
    this.#policy = policy
    this.#access = access
    this.namespace = namespace
  }

  /** Whether they may connect to the namespace at all. */
  mayEnter(): boolean {
    this.#refresh()
    if (this.#standing !== 'asked') return this.#standing === 'all'
    return this.#policy.grants.get(this.#access.principal, this.namespace) !== undefined
  }

  /** Whether they may do everything here, whatever its name. */
  get mayAll(): boolean {
    this.#refresh()
    return this.#standing === 'all'
  }

  /** `kind` is what has the name, when it is something that rules are about, too: a rule that denies holds here as well. */
  may(permission: NamespacePermission, name: string, kind?: ResourceKind): boolean {
    this.#refresh()
    if (this.#standing !== 'asked') return this.#standing === 'all'
    const known = this.#knownOf(kind)
    const bit = bits[permission]
    const answers = known.get(name) ?? 0
    if ((answers >>> askedShift) & bit) return (answers & bit) !== 0
    const answer = this.#decide(permission, name, kind)
    if (name.length > rememberedNameMax) return answer
    if (known.size >= rememberedMax) known.clear()
    known.set(name, answers | (bit << askedShift) | (answer ? bit : 0))
    return answer
  }

  /**
   * Whether they may use the key of a message (`write`) or of a binding (`read`) at an exchange whose keys are patterns. Without a permission for
   * the exchange, every key is theirs. `{username}` and `{vhost}` in a permission stand for the principal and the namespace.
   */
  mayUseKey(permission: 'write' | 'read', exchange: string, key: string): boolean {
    this.#refresh()
    if (this.#standing !== 'asked') return this.#standing === 'all'
    const { principal } = this.#access
    const granted = this.#policy.grants.getKeys(principal, this.namespace, exchange)
    if (granted === undefined) return true
    const text = granted[permission]
      .replaceAll('{username}', () => escapeRegExp(principal))
      .replaceAll('{vhost}', () => escapeRegExp(this.namespace))
    return this.#matches(text, key)
  }

  #knownOf(kind: ResourceKind | undefined): Map<string, number> {
    let known = this.#known.get(kind)
    if (!known) this.#known.set(kind, (known = new Map()))
    return known
  }

  #decide(permission: NamespacePermission, name: string, kind: ResourceKind | undefined): boolean {
    if (kind !== undefined && this.#access.isDenied(operationOf[permission], kind, name)) return false
    const granted = this.#policy.grants.get(this.#access.principal, this.namespace)
    return granted !== undefined && this.#matches(granted[permission], name)
  }

  #matches(text: string, name: string): boolean {
    try {
      return this.#policy.patternOf(text === '' ? '^$' : text).matches(name)
    } catch (error) {
      // It was checked when it was granted; what is too costly for a name allows nothing.
      if (error instanceof BrokerError) return false
      throw error
    }
  }

  #refresh(): void {
    const { version } = this.#access
    if (this.#version === version) return
    this.#version = version
    this.#known.clear()
    this.#standing = this.#access.standingInNamespaces
  }
}

const operationOf = { configure: 'alter', write: 'write', read: 'read' } as const satisfies Record<
  NamespacePermission,
  Operation
>

const escapeRegExp = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
