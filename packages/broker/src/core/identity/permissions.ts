/**
 * What can be done, to what, and who may: the words in which every protocol asks and every rule is written.
 *
 * Names are within a namespace, as everywhere. The cluster has one resource, `clusterName`.
 */

/** Written to disk as their index: only ever append. There are at most 15. */
export const operations = [
  'read',
  'write',
  'create',
  'delete',
  'alter',
  'describe',
  /** What brokers ask of one another. */
  'cluster-action',
  'describe-configs',
  'alter-configs',
  /** Granted to a producer that numbers its records. */
  'idempotent-write',
  'create-tokens',
  'describe-tokens',
  /** A transaction whose outcome another system decides. */
  'two-phase-commit',
] as const
export type Operation = (typeof operations)[number]

/** Written to disk as their index: only ever append. */
export const resourceKinds = [
  'topic',
  'group',
  'cluster',
  'transactional-id',
  'user',
  'token',
  'queue',
  'exchange',
  'namespace',
] as const
export type ResourceKind = (typeof resourceKinds)[number]

/** How the name of a rule is compared with that of a resource. Written to disk as their index: only ever append. */
export const patterns = ['literal', 'prefix'] as const
export type Pattern = (typeof patterns)[number]

/** Written to disk as their index. */
export const effects = ['deny', 'allow'] as const
export type Effect = (typeof effects)[number]

/** The one resource of kind `cluster`. */
export const clusterName = 'cluster'

/** In the place of a user: everybody, known or not. In that of a host: from anywhere. As a literal name: every name. */
export const anyone = '*'

/** Who has not said who they are. */
export const anonymous = 'ANONYMOUS'

/** Lets or forbids one principal, or all, to do one thing, or everything, to the resources that match. A value: two that are equal are one. */
export interface Rule {
  readonly namespace: string
  readonly kind: ResourceKind
  readonly pattern: Pattern
  readonly name: string
  readonly principal: string
  readonly host: string
  readonly operation: Operation | 'all'
  readonly effect: Effect
}

/** Equal exactly for equal rules. */
export function ruleKey(rule: Rule): string {
  const { namespace, kind, pattern, name, principal, host, operation, effect } = rule
  return JSON.stringify([namespace, kind, pattern, name, principal, host, operation, effect])
}
