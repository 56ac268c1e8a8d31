import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { configsSettled } from '../config-targets.ts'
import { resourceTypes } from '../configs.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'
import { topicsOf } from '../topic-names.ts'

type Request = Infer<typeof apis.listConfigResources.request>
type Answer = Write<typeof apis.listConfigResources.response>

/** ListConfigResources 0-1: topics, this broker, and groups that have a configuration. There are no client metrics to configure. */
export const handler = defineHandler(apis.listConfigResources, handle, { bulky: true })

const allTypes = Object.values(resourceTypes) as readonly number[]

async function handle(exchange: Exchange<Answer>, request: Request, version: number): Promise<Answer> {
  const { broker } = exchange
  if (!exchange.may('describe-configs', 'cluster', clusterName)) return { errorCode: codes.clusterAuthorizationFailed }
  const types = version === 0 ? [resourceTypes.clientMetrics] : typesOf(request)
  if (types.some(type => !allTypes.includes(type))) return { errorCode: codes.unsupportedVersion }
  const configResources = types.flatMap(resourceType =>
    namesOf(broker, resourceType).map(resourceName => ({ resourceName, resourceType })),
  )
  await configsSettled(broker)
  return { errorCode: codes.none, configResources }
}

function typesOf({ resourceTypes: asked }: Request): readonly number[] {
  return asked.length === 0 ? allTypes : [...new Set(asked)]
}

function namesOf(broker: Broker, resourceType: number): string[] {
  if (resourceType === resourceTypes.topic) return topicsOf(broker).map(({ name }) => name)
  if (resourceType === resourceTypes.broker || resourceType === resourceTypes.logger) return [String(broker.brokerId)]
  if (resourceType === resourceTypes.group) return broker.groups.configured(homeNamespace)
  return []
}
