import { apis } from '@dragoman/broker/kafka-messages'
import { choice, text, toggle } from '@dragoman/broker/options'
import type { Infer } from '@dragoman/wire'
import { brokerOptions } from './broker-options.ts'
import type { Cluster } from './cluster.ts'
import { option, repeated, UsageError } from './command.ts'
import { check } from './errors.ts'

export type Acl = Infer<typeof apis.createAcls.request>['creations'][number]
export type AclFilter = Infer<typeof apis.describeAcls.request>

const kinds = { topic: 2, group: 3, cluster: 4, 'transactional-id': 5, token: 6, user: 7 } as const
type Kind = keyof typeof kinds

const operations = {
  all: 2,
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  alter: 7,
  describe: 8,
  'cluster-action': 9,
  'describe-configs': 10,
  'alter-configs': 11,
  'idempotent-write': 12,
  'create-tokens': 13,
  'describe-tokens': 14,
  'two-phase-commit': 15,
} as const
type Operation = keyof typeof operations

/** What a program needs that does this and no more. */
const roles: Readonly<Record<string, Partial<Record<Kind, readonly Operation[]>>>> = {
  produce: { topic: ['write', 'describe', 'create'], 'transactional-id': ['write', 'describe'] },
  consume: { topic: ['read', 'describe'], group: ['read', 'describe'] },
}

export const operationWords: readonly string[] = [...Object.keys(roles), ...Object.keys(operations)]
const effects = { deny: 2, allow: 3 } as const
const patterns = { literal: 3, prefix: 4 } as const
export const anything = 1

export const ruleOptions = {
  ...brokerOptions,
  topic: repeated(text('NAME', 'a name, or * for all'), 'On this topic.'),
  group: repeated(text('NAME', 'a name, or * for all'), 'On this group.'),
  transactionalId: repeated(text('ID', 'an id, or * for all'), 'On this transactional id.'),
  cluster: option(toggle, false, 'On the broker as a whole: its settings, users and rules; and creating any topic.'),
  prefix: option(toggle, false, 'Names stand for all that begin with them.'),
  host: option(text('ADDRESS', 'an address, or * for all'), '*', 'Only for connections from this address.'),
  effect: option(choice('allow', 'deny'), 'allow', 'Whether the rule lets or forbids; what forbids wins.'),
}

interface RuleValues {
  topic: readonly string[]
  group: readonly string[]
  transactionalId: readonly string[]
  cluster: boolean
  prefix: boolean
  host: string
  effect: 'allow' | 'deny'
}

/** The rules that words and flags of a command stand for. */
export function rulesOf(user: string, words: readonly string[], values: RuleValues): Acl[] {
  const unknown = words.find(word => !operationWords.includes(word))
  if (unknown !== undefined) throw new UsageError(`There is no operation "${unknown}": ${operationWords.join(', ')}`)
  const resources: { kind: Kind; name: string }[] = [
    ...values.topic.map(name => ({ kind: 'topic' as const, name })),
    ...values.group.map(name => ({ kind: 'group' as const, name })),
    ...values.transactionalId.map(name => ({ kind: 'transactional-id' as const, name })),
    ...(values.cluster ? [{ kind: 'cluster' as const, name: 'kafka-cluster' }] : []),
  ]
  if (resources.length === 0) {
    throw new UsageError('On what? Give --topic, --group, --transactional-id or --cluster')
  }
  return resources.flatMap(({ kind, name }) => {
    const wanted = words.flatMap(word => (roles[word] ? (roles[word][kind] ?? []) : [word as Operation]))
    if (wanted.length === 0) throw new UsageError(`${words.join(', ')}: that is nothing to do with a ${kind}`)
    return wanted.map(operation => aclOf(user, operation, kind, name, values))
  })
}

function aclOf(user: string, operation: Operation, kind: Kind, name: string, values: RuleValues): Acl {
  const isPrefix = values.prefix && kind !== 'cluster'
  return {
    resourceType: kinds[kind],
    resourceName: name,
    resourcePatternType: isPrefix ? patterns.prefix : patterns.literal,
    principal: `User:${user}`,
    host: values.host,
    operation: operations[operation],
    permissionType: effects[values.effect],
  }
}

/** `allow ann read topic orders*` */
export function describeAcl({ resourcePatternType, ...acl }: Acl): string[] {
  const { resourceType, resourceName, principal, host, operation, permissionType } = acl
  const isPrefix = resourcePatternType === patterns.prefix
  return [
    nameOf(effects, permissionType),
    principal.replace(/^User:/, ''),
    host,
    nameOf(operations, operation),
    nameOf(kinds, resourceType),
    isPrefix ? `${resourceName}…` : resourceName,
  ]
}

export async function listAcls(cluster: Cluster, user: string | undefined): Promise<Acl[]> {
  const filter: AclFilter = {
    resourceTypeFilter: anything,
    resourceNameFilter: null,
    patternTypeFilter: anything,
    principalFilter: user === undefined ? null : `User:${user}`,
    hostFilter: null,
    operation: anything,
    permissionType: anything,
  }
  const { errorCode, errorMessage, resources } = await cluster.request(apis.describeAcls, filter)
  check(errorCode, 'Cannot list rules', errorMessage)
  return resources.flatMap(({ acls, patternType, ...resource }) =>
    acls.map(acl => ({ ...resource, ...acl, resourcePatternType: patternType })),
  )
}

/** Removes exactly these; returns those that were there. */
export async function removeAcls(cluster: Cluster, acls: readonly Acl[]): Promise<Acl[]> {
  const filters = acls.map(
    ({ resourceType, resourceName, resourcePatternType, principal, host, operation, permissionType }): AclFilter => ({
      resourceTypeFilter: resourceType,
      resourceNameFilter: resourceName,
      patternTypeFilter: resourcePatternType,
      principalFilter: principal,
      hostFilter: host,
      operation,
      permissionType,
    }),
  )
  const { filterResults } = await cluster.request(apis.deleteAcls, { filters })
  return filterResults.flatMap(({ errorCode, errorMessage, matchingAcls }) => {
    check(errorCode, 'Cannot remove rules', errorMessage)
    return matchingAcls.map(({ patternType, errorCode: code, errorMessage: message, ...acl }) => {
      check(code, 'Cannot remove a rule', message)
      return { ...acl, resourcePatternType: patternType }
    })
  })
}

function nameOf(numbers: Readonly<Record<string, number>>, number: number): string {
  return Object.keys(numbers).find(name => numbers[name] === number) ?? String(number)
}
