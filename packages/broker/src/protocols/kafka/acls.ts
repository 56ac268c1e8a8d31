import type { Infer } from '@dragoman/wire'
import { homeNamespace } from '../../core/broker.ts'
import {
  anyone,
  clusterName,
  operations,
  type Operation,
  type ResourceKind,
  type Rule,
} from '../../core/identity/permissions.ts'
import { operationsNotAsked } from './cluster.ts'
import type { Exchange } from './handlers/handler.ts'
import type { apis } from './messages/index.ts'

/** Kafka's numbers and names for the words of rules. */

const kindNumbers = { topic: 2, group: 3, cluster: 4, 'transactional-id': 5, token: 6, user: 7 } as const
type KafkaKind = keyof typeof kindNumbers
const kinds = new Map<number, KafkaKind>(
  Object.entries(kindNumbers).map(([kind, number]) => [number, kind as KafkaKind]),
)

const anything = 1
const allOperations = 2
/** The first of `operations`; the others follow in the same order. */
const firstOperation = 3

const patternNumbers = { literal: 3, prefix: 4 } as const
const matching = 2
const effectNumbers = { deny: 2, allow: 3 } as const

/** Name of the cluster's one resource. */
const kafkaCluster = 'kafka-cluster'
const userType = 'User:'

type Creation = Infer<typeof apis.createAcls.request>['creations'][number]
type Filter = Infer<typeof apis.describeAcls.request>

/** What Kafka shows of a rule. */
export interface Acl {
  readonly resourceType: number
  readonly resourceName: string
  readonly patternType: number
  readonly principal: string
  readonly host: string
  readonly operation: number
  readonly permissionType: number
}

/** Undefined for rules that Kafka has no words for. */
export function aclOf(rule: Rule): Acl | undefined {
  const { namespace, kind, name, principal, host, operation } = rule
  if (namespace !== homeNamespace || !(kind in kindNumbers)) return undefined
  return {
    resourceType: kindNumbers[kind as KafkaKind],
    resourceName: kind === 'cluster' ? kafkaCluster : name,
    patternType: patternNumbers[rule.pattern],
    principal: userType + principal,
    host,
    operation: operation === 'all' ? allOperations : operations.indexOf(operation) + firstOperation,
    permissionType: effectNumbers[rule.effect],
  }
}

/** A rule, or what is wrong with it. */
export function readCreation(creation: Creation): Rule | string {
  const { resourceType, resourceName, resourcePatternType, principal, host, operation, permissionType } = creation
  const kind = kinds.get(resourceType)
  if (kind === undefined) return `Invalid resourceType ${resourceType}.`
  const pattern = wordOf(patternNumbers, resourcePatternType)
  if (pattern === undefined) return `Invalid patternType ${resourcePatternType}.`
  const action = operationOf(operation)
  if (action === undefined) return `Invalid operation ${operation}.`
  const effect = wordOf(effectNumbers, permissionType)
  if (effect === undefined) return `Invalid permissionType ${permissionType}.`
  if (resourceName === '') return 'Resource name should not be empty.'
  if (kind === 'cluster' && resourceName !== kafkaCluster) {
    return `The only valid name for the CLUSTER resource is ${kafkaCluster}.`
  }
  if (!principal.startsWith(userType) || principal === userType) {
    return `Could not parse principal: it must be ${userType} and a name.`
  }
  if (host === '') return 'Host should not be empty.'
  const name = kind === 'cluster' ? clusterName : resourceName
  const user = principal.slice(userType.length)
  return { namespace: homeNamespace, kind, pattern, name, principal: user, host, operation: action, effect }
}

/** Whether the filter can be understood; `matches` is for one that can. */
export function filterProblem(filter: Filter): string | undefined {
  const { resourceTypeFilter, patternTypeFilter, operation, permissionType } = filter
  const isKnown =
    (resourceTypeFilter === anything || kinds.has(resourceTypeFilter)) &&
    patternTypeFilter >= anything &&
    patternTypeFilter <= patternNumbers.prefix &&
    (operation === anything || operationOf(operation) !== undefined) &&
    (permissionType === anything || wordOf(effectNumbers, permissionType) !== undefined)
  return isKnown ? undefined : 'The filter has a value that is not known.'
}

export function matches(filter: Filter, acl: Acl): boolean {
  const { resourceTypeFilter, principalFilter, hostFilter, operation, permissionType } = filter
  return (
    (resourceTypeFilter === anything || resourceTypeFilter === acl.resourceType) &&
    matchesName(filter, acl) &&
    (principalFilter === null || principalFilter === acl.principal) &&
    (hostFilter === null || hostFilter === acl.host) &&
    (operation === anything || operation === acl.operation) &&
    (permissionType === anything || permissionType === acl.permissionType)
  )
}

function matchesName({ patternTypeFilter, resourceNameFilter: name }: Filter, acl: Acl): boolean {
  const { patternType, resourceName } = acl
  if (patternTypeFilter !== anything && patternTypeFilter !== matching && patternTypeFilter !== patternType)
    return false
  if (name === null) return true
  if (patternTypeFilter !== matching) return name === resourceName
  if (patternType === patternNumbers.prefix) return name.startsWith(resourceName)
  return name === resourceName || resourceName === anyone
}

function operationOf(number: number): Operation | 'all' | undefined {
  return number === allOperations ? 'all' : operations[number - firstOperation]
}

function wordOf<W extends string>(numbers: Readonly<Record<W, number>>, number: number): W | undefined {
  return (Object.keys(numbers) as W[]).find(word => numbers[word] === number)
}

/** Operations that exist for a kind of resource. */
const operationsOf = {
  topic: ['read', 'write', 'create', 'delete', 'alter', 'describe', 'describe-configs', 'alter-configs'],
  group: ['read', 'delete', 'describe', 'describe-configs', 'alter-configs'],
  cluster: ['create', 'alter', 'describe', 'cluster-action', 'describe-configs', 'alter-configs', 'idempotent-write'],
} as const satisfies Partial<Record<ResourceKind, readonly Operation[]>>

type Asker = Pick<Exchange<never>, 'may'>

/** The same for the cluster, when it was asked for. Who may not look at the cluster is told of nothing. */
export function clusterOperationsOf(asker: Asker, isAsked: boolean): number {
  if (!isAsked) return operationsNotAsked
  return asker.may('describe', 'cluster', clusterName) ? authorizedOperations(asker, 'cluster', clusterName) : 0
}

/** What whoever asks may do to the resource, as bits of Kafka's numbers of operations. */
export function authorizedOperations(asker: Asker, kind: keyof typeof operationsOf, name: string): number {
  let bits = 0
  for (const operation of operationsOf[kind]) {
    if (asker.may(operation, kind, name)) bits |= 1 << (operations.indexOf(operation) + firstOperation)
  }
  return bits
}
