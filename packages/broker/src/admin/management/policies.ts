import type { Policies } from '../../core/policies/policies.ts'
import { policyTargets, type Policy, type PolicyRank, type PolicyTarget } from '../../core/policies/machine.ts'
import { integerOf, required, textOf, type Call, type Fields } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'
import { headersOf, jsonOfHeaders } from './values.ts'

export const policyRoutes: readonly Route[] = [
  ...routesOf('user', '/api/policies', 'policymaker'),
  ...routesOf('operator', '/api/operator-policies', 'administrator'),
]

/** Who may make operator policies keeps others from what policies could do. */
function routesOf(rank: PolicyRank, path: string, need: 'policymaker' | 'administrator'): Route[] {
  const all = (call: Call): unknown => call.pages(policyItems(call, rank))
  return [
    { path, need: 'vhost', on: { GET: all } },
    { path: `${path}/:vhost`, need: 'vhost', on: { GET: all } },
    {
      path: `${path}/:vhost/:name`,
      need,
      on: {
        GET: call => call.one(policyItem(policyOf(call, rank))),
        PUT: call => putPolicy(call, rank),
        DELETE: call => removePolicy(call, rank),
      },
    },
  ]
}

export const policyItem = ({ namespace: vhost, name, pattern, target, priority, definition }: Policy): Item => {
  return { vhost, name, pattern, 'apply-to': target, definition: jsonOfHeaders(definition), priority }
}

export function policyItems(call: Call, rank: PolicyRank): Item[] {
  return call.vhosts.flatMap(vhost => call.core.policies.list(rank, vhost)).map(policyItem)
}

/** What queues and exchanges tell of the policies that apply to them. */
export function governedBy(policies: Policies, of: Parameters<Policies['governing']>[0]): Item {
  const { policy, operatorPolicy, definition } = policies.governing(of)
  return {
    policy: policy?.name ?? null,
    operator_policy: operatorPolicy?.name ?? null,
    effective_policy_definition: jsonOfHeaders(definition),
  }
}

/** Makes or changes a policy as the fields say. Resolves with whether it was made. Throws `Refusal`. */
export async function setPolicy(
  { core }: Call,
  rank: PolicyRank,
  namespace: string,
  name: string,
  fields: Fields,
): Promise<boolean> {
  required(fields, 'pattern', 'definition')
  const isNew = !core.policies.get(rank, namespace, name)
  const target = targetOf(textOf(fields, 'apply-to', rank === 'operator' ? 'queues' : 'all'))
  const priority = integerOf(fields, 'priority', 0)
  const definition = headersOf(fields.definition, 'definition')
  await core.policies.set({
    rank,
    namespace,
    name,
    pattern: textOf(fields, 'pattern', ''),
    target,
    priority,
    definition,
  })
  return isNew
}

function targetOf(given: string): PolicyTarget {
  const target = policyTargets.find(known => known === given)
  if (!target) throw badRequest(`apply-to is one of ${policyTargets.join(', ')}, not ${JSON.stringify(given)}`)
  return target
}

function policyOf(call: Call, rank: PolicyRank): Policy {
  const found = call.core.policies.get(rank, call.vhost, call.param('name'))
  if (!found) throw notFound()
  return found
}

async function putPolicy(call: Call, rank: PolicyRank): Promise<unknown> {
  return madeOrChanged(await setPolicy(call, rank, call.vhost, call.param('name'), call.fields))
}

async function removePolicy(call: Call, rank: PolicyRank): Promise<unknown> {
  const { namespace, name } = policyOf(call, rank)
  await call.core.policies.remove(rank, namespace, name)
  return noContent
}
