import type { Infer, Write } from '@dragoman/wire'
import { clusterName } from '../../../core/identity/permissions.ts'
import { aclOf, filterProblem, matches, type Acl } from '../acls.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeAcls.request>
type Answer = Write<typeof apis.describeAcls.response>
type Resource = NonNullable<Answer['resources']>[number]

/** DescribeAcls 1-3: rules that are durable, by resource. */
export const handler = defineHandler(apis.describeAcls, handle, { bulky: true })

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { identity } = exchange.broker
  if (!exchange.may('describe', 'cluster', clusterName)) {
    return refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
  }
  if (identity.settings.authorization === 'off') return refused(codes.securityDisabled, 'Authorization is off.')
  const problem = filterProblem(request)
  if (problem !== undefined) return refused(codes.invalidRequest, problem)
  const acls = [...identity.rules].map(aclOf).filter(acl => acl !== undefined && matches(request, acl))
  await identity.settle()
  return { ...succeeded, resources: byResource(acls as Acl[]) }
}

function byResource(acls: readonly Acl[]): Resource[] {
  const resources = new Map<string, Resource & { acls: Omit<Acl, 'resourceType' | 'resourceName' | 'patternType'>[] }>()
  for (const { resourceType, resourceName, patternType, ...acl } of acls) {
    const key = `${resourceType} ${patternType} ${resourceName}`
    const resource = resources.get(key)
    if (resource === undefined) resources.set(key, { resourceType, resourceName, patternType, acls: [acl] })
    else resource.acls.push(acl)
  }
  return [...resources.values()]
}
