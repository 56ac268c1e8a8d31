/**
 * What can be done, to what, and who may: the words in which every protocol asks and every rule is written.
 *
 * Names are within a namespace, as everywhere. The cluster has one resource, `clusterName`.
 */

/** Written to disk as their index: only ever append. */
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

/** The one resource of kind `cluster`. */
export const clusterName = 'cluster'

/** In the place of a user: everybody, known or not. In that of a host: from anywhere. As a literal name: every name. */
export const anyone = '*'

/** Who has not said who they are. */
export const anonymous = 'ANONYMOUS'
