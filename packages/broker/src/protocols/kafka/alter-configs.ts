import { clusterName } from '../../core/identity/permissions.ts'
import { quote } from '../../core/names.ts'
import { resourceTypes } from './configs.ts'
import { codes } from './errors.ts'
import type { Exchange } from './handlers/handler.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from './outcome.ts'
import { inSlices } from './slices.ts'

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
  readonly configs: readonly { readonly name: string }[]
}

type ResourceOutcome = Outcome & { resourceType: number; resourceName: string }

/**
 * What both requests that alter configurations have in common: each resource and each of its keys once, topics only, and
 * an outcome for each resource. `change` decides before it first waits, and throws or rejects with `BrokerError`.
 */
export async function alterResources<R extends Resource>(
  exchange: Exchange<never>,
  resources: readonly R[],
  change: (resource: R) => Promise<unknown>,
): Promise<ResourceOutcome[]> {
  const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType}:${resourceName}`
  const repeats = repeated(resources, keyOf)
  return inSlices(exchange.connection, resources, async (resource): Promise<ResourceOutcome> => {
    const { resourceType, resourceName } = resource
    const refusal = repeats.has(keyOf(resource))
      ? refused(codes.invalidRequest, 'The request names this resource more than once.')
      : (configRefusal(exchange, 'alter-configs', resource) ?? refusalOf(resource))
    const outcome = refusal ?? (await outcomeOfChange(() => change(resource)))
    return { ...outcome, resourceType, resourceName }
  })
}

/** Why the client may not see or change the configuration of the resource; undefined when it may. */
export function configRefusal(
  exchange: Pick<Exchange<never>, 'may'>,
  operation: 'alter-configs' | 'describe-configs',
  { resourceType, resourceName }: Pick<Resource, 'resourceType' | 'resourceName'>,
): Outcome | undefined {
  if (resourceType === resourceTypes.topic) {
    if (exchange.may(operation, 'topic', resourceName)) return undefined
    return refused(codes.topicAuthorizationFailed, 'Topic authorization failed.')
  }
  if (resourceType === resourceTypes.group) {
    if (exchange.may(operation, 'group', resourceName)) return undefined
    return refused(codes.groupAuthorizationFailed, 'Group authorization failed.')
  }
  if (exchange.may(operation, 'cluster', clusterName)) return undefined
  return refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
}

function refusalOf({ resourceType, configs }: Resource): Outcome | undefined {
  if (resourceType === resourceTypes.broker) {
    const text = 'The configuration of the broker is given when it starts and cannot be changed while it runs.'
    return refused(codes.invalidRequest, text)
  }
  if (resourceType !== resourceTypes.topic) {
    return refused(codes.invalidRequest, `Only topics (2) can be configured, not resources of type ${resourceType}.`)
  }
  const [key] = repeated(configs, ({ name }) => name)
  return key === undefined ? undefined : refused(codes.invalidRequest, `The request sets ${quote(key)} more than once.`)
}

async function outcomeOfChange(change: () => Promise<unknown>): Promise<Outcome> {
  try {
    await change()
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}
