import { homeNamespace } from '../topic.ts'
import {
  anyone,
  operations,
  type Effect,
  type Operation,
  type Pattern,
  type ResourceKind,
  type Rule,
} from './permissions.ts'

/** Whether somebody may do everything, nothing, or what they have been given. */
export type Standing = 'all' | 'none' | 'asked'

/** What decides besides the rules. Read again for every question that is not answered from memory. */
export interface Policy {
  /** Grows whenever an answer might be another one. */
  readonly version: number
  /** False: everybody may do everything. */
  readonly isEnforced: boolean
  /** What becomes of a resource that no rule is about. */
  readonly withoutRule: Effect
  readonly rules: Iterable<Rule>
  isSuper(principal: string): boolean
  /** Whether the principal, who proved who they are earlier, still exists. */
  isPresent(principal: string): boolean
  /** The one answer to everything that permissions in namespaces are about, when there is one. */
  standingInNamespaces(principal: string): Standing
  /** Told of each refusal that is not remembered. */
  denied(principal: string, host: string, operation: Operation, kind: ResourceKind, name: string): void
}

/** Resources whose answers one principal's memory holds; more, and it begins anew. */
const rememberedMax = 10_000
/** Longer names are not remembered: whoever asks could fill the memory with them. */
const rememberedNameMax = 256

const bits = Object.fromEntries(operations.map((operation, index) => [operation, 1 << index])) as Record<
  Operation,
  number
>
/** Answers are kept in one number: which operations were asked for in the upper half, which are allowed in the lower one. */
const askedShift = 16

/** Whoever may do one of these may also look. */
const implyDescribe: ReadonlySet<string> = new Set(['all', 'describe', 'read', 'write', 'delete', 'alter'])
const implyDescribeConfigs: ReadonlySet<string> = new Set(['all', 'describe-configs', 'alter-configs'])

/**
 * Answers who may do what.
 *
 * Super users may do everything. A rule that denies wins over one that allows. Who is allowed to read, write, delete or alter is
 * allowed to describe, and who may alter configurations may describe them; a rule that denies forbids only what it names. A
 * resource that no rule at all is about is left to `Policy.withoutRule`; one that rules are about, but none that fits, is denied.
 */
export class Authorizer {
  readonly policy: Policy
  #index = new Map<string, RuleIndex>()
  #version = -1

  constructor(policy: Policy) {
    this.policy = policy
  }

  /** One principal's view of a namespace, from one host. */
  access(principal: string, host: string, namespace = homeNamespace): Access {
    return new Access(this, principal, host, namespace)
  }

  decide(access: Access, operation: Operation, kind: ResourceKind, name: string): boolean {
    const rules = this.indexOf(access.namespace, kind)?.about(name) ?? []
    let isAllowed = false
    for (const rule of rules) {
      if (!access.is(rule)) continue
      if (rule.effect === 'allow') isAllowed ||= allows(rule, operation)
      else if (rule.operation === operation || rule.operation === 'all') return false
    }
    return isAllowed || (rules.length === 0 && this.policy.withoutRule === 'allow')
  }

  /** Whether there is any resource of the kind, present or not, to which this may be done. */
  decideAny(access: Access, operation: Operation, kind: ResourceKind): boolean {
    const all = [...(this.indexOf(access.namespace, kind)?.all ?? [])].filter(rule => access.is(rule))
    const denied = all.filter(rule => {
      return rule.effect === 'deny' && (rule.operation === operation || rule.operation === 'all')
    })
    const isDenied = ({ pattern, name }: Rule): boolean => denied.some(deny => covers(deny, pattern, name))
    if (denied.some(({ pattern, name }) => pattern === 'literal' && name === anyone)) return false
    if (this.policy.withoutRule === 'allow') return true
    return all.some(rule => rule.effect === 'allow' && allows(rule, operation) && !isDenied(rule))
  }

  /** Whether a rule forbids it. */
  isDenied(access: Access, operation: Operation, kind: ResourceKind, name: string): boolean {
    const rules = this.indexOf(access.namespace, kind)?.about(name) ?? []
    return rules.some(rule => {
      return rule.effect === 'deny' && access.is(rule) && (rule.operation === operation || rule.operation === 'all')
    })
  }

  indexOf(namespace: string, kind: ResourceKind): RuleIndex | undefined {
    const { version } = this.policy
    if (this.#version !== version) {
      this.#version = version
      this.#index = new Map()
      for (const rule of this.policy.rules) {
        const key = `${rule.kind} ${rule.namespace}`
        let index = this.#index.get(key)
        if (index === undefined) this.#index.set(key, (index = new RuleIndex()))
        index.add(rule)
      }
    }
    return this.#index.get(`${kind} ${namespace}`)
  }
}

/** Remembers the answers. Kept for a connection, or shared by those of the same principal and host. */
export class Access {
  readonly principal: string
  readonly host: string
  readonly namespace: string
  readonly #authorizer: Authorizer
  readonly #known: Partial<Record<ResourceKind, Map<string, number>>> = {}
  readonly #any = new Map<string, boolean>()
  #remembered = 0
  #version = -1
  /** The answer to everything, when there is one. */
  #all: boolean | undefined

  constructor(authorizer: Authorizer, principal: string, host: string, namespace: string) {
    this.#authorizer = authorizer
    this.principal = principal
    this.host = host
    this.namespace = namespace
  }

  may(operation: Operation, kind: ResourceKind, name: string): boolean {
    if (this.#version !== this.#authorizer.policy.version) this.#forget()
    if (this.#all !== undefined) return this.#all
    const known = (this.#known[kind] ??= new Map<string, number>())
    const answers = known.get(name) ?? 0
    const bit = bits[operation]
    if ((answers >>> askedShift) & bit) return (answers & bit) !== 0
    const answer = this.#authorizer.decide(this, operation, kind, name)
    if (!answer) this.#authorizer.policy.denied(this.principal, this.host, operation, kind, name)
    if (name.length <= rememberedNameMax)
      this.#remember(known, name, answers | (bit << askedShift) | (answer ? bit : 0))
    return answer
  }

  /** Whether there is any resource of the kind to which this may be done. */
  mayAny(operation: Operation, kind: ResourceKind): boolean {
    if (this.#version !== this.#authorizer.policy.version) this.#forget()
    if (this.#all !== undefined) return this.#all
    const key = `${operation} ${kind}`
    let answer = this.#any.get(key)
    if (answer === undefined) this.#any.set(key, (answer = this.#authorizer.decideAny(this, operation, kind)))
    return answer
  }

  /** Whether a rule forbids it, whatever else allows it. Not remembered. */
  isDenied(operation: Operation, kind: ResourceKind, name: string): boolean {
    const { policy } = this.#authorizer
    if (!policy.isEnforced || policy.isSuper(this.principal)) return false
    return this.#authorizer.isDenied(this, operation, kind, name)
  }

  /** Grows whenever an answer might be another one. */
  get version(): number {
    return this.#authorizer.policy.version
  }

  get standingInNamespaces(): Standing {
    return this.#authorizer.policy.standingInNamespaces(this.principal)
  }

  is({ principal, host }: Rule): boolean {
    return (principal === this.principal || principal === anyone) && (host === this.host || host === anyone)
  }

  #remember(known: Map<string, number>, name: string, answers: number): void {
    if (this.#remembered >= rememberedMax) this.#clear()
    if (!known.has(name)) this.#remembered++
    known.set(name, answers)
  }

  #clear(): void {
    for (const known of Object.values(this.#known)) known.clear()
    this.#remembered = 0
  }

  #forget(): void {
    const { policy } = this.#authorizer
    this.#version = policy.version
    this.#clear()
    this.#any.clear()
    if (!policy.isEnforced) this.#all = true
    else if (!policy.isPresent(this.principal)) this.#all = false
    else this.#all = policy.isSuper(this.principal) ? true : undefined
  }
}

/** The rules about one kind of resource in one namespace. */
class RuleIndex {
  readonly all: Rule[] = []
  readonly #literal = new Map<string, Rule[]>()
  readonly #prefix = new Map<string, Rule[]>()
  readonly #prefixLengths = new Set<number>()

  add(rule: Rule): void {
    this.all.push(rule)
    const of = rule.pattern === 'literal' ? this.#literal : this.#prefix
    const rules = of.get(rule.name)
    if (rules === undefined) of.set(rule.name, [rule])
    else rules.push(rule)
    if (rule.pattern === 'prefix') this.#prefixLengths.add(rule.name.length)
  }

  /** All rules about the resource, whomever they concern. */
  about(name: string): readonly Rule[] {
    const rules = [...(this.#literal.get(name) ?? []), ...(name === anyone ? [] : (this.#literal.get(anyone) ?? []))]
    for (const length of this.#prefixLengths) {
      if (length <= name.length) rules.push(...(this.#prefix.get(name.slice(0, length)) ?? []))
    }
    return rules
  }
}

function allows(rule: Rule, operation: Operation): boolean {
  if (rule.operation === operation || rule.operation === 'all') return true
  if (operation === 'describe') return implyDescribe.has(rule.operation)
  return operation === 'describe-configs' && implyDescribeConfigs.has(rule.operation)
}

/** Whether everything that the pattern can mean is matched by the rule. */
function covers(rule: Rule, pattern: Pattern, name: string): boolean {
  if (rule.pattern === 'prefix') return name.startsWith(rule.name)
  return rule.name === anyone || (pattern === 'literal' && rule.name === name)
}
