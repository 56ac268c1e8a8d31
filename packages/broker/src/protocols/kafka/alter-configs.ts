import { quote } from '../../core/names.ts'
import { accessProblem, targetOf, type ConfigTarget } from './config-targets.ts'
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
 * What both requests that alter configurations have in common: each resource and each of its keys once, and an outcome for
 * each resource. `change` makes of what is set what shall be set, all of it or none, and throws `BrokerError`.
 */
export async function alterResources<R extends Resource>(
  exchange: Exchange<never>,
  resources: readonly R[],
  validateOnly: boolean,
  change: (target: ConfigTarget, resource: R) => ReadonlyMap<string, string>,
): Promise<ResourceOutcome[]> {
  const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType}:${resourceName}`
  const repeats = repeated(resources, keyOf)
  return inSlices(exchange.connection, resources, async (resource): Promise<ResourceOutcome> => {
    const { resourceType, resourceName } = resource
    const refusal = repeats.has(keyOf(resource))
      ? refused(codes.invalidRequest, 'The request names this resource more than once.')
      : (accessProblem(exchange, 'alter-configs', resource) ?? repeatedKey(resource))
    const outcome = refusal ?? (await alter(exchange, resource, validateOnly, change))
    return { ...outcome, resourceType, resourceName }
  })
}

function repeatedKey({ configs }: Resource): Outcome | undefined {
  const [key] = repeated(configs, ({ name }) => name)
  return key === undefined ? undefined : refused(codes.invalidRequest, `The request sets ${quote(key)} more than once.`)
}

async function alter<R extends Resource>(
  exchange: Exchange<never>,
  resource: R,
  validateOnly: boolean,
  change: (target: ConfigTarget, resource: R) => ReadonlyMap<string, string>,
): Promise<Outcome> {
  try {
    const target = targetOf(exchange, resource)
    await target.save(change(target, resource), validateOnly)
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}
