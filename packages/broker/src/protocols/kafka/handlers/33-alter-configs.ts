import type { Infer, Write } from '@dragoman/wire'
import { BrokerError } from '../../../core/errors.ts'
import { alterResources } from '../alter-configs.ts'
import type { ConfigTarget } from '../config-targets.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.alterConfigs.request>
type Answer = Write<typeof apis.alterConfigs.response>

/** AlterConfigs 0-2: replaces the whole configuration of resources; what is not named has its default again. */
export const handler = defineHandler(apis.alterConfigs, handle)

async function handle(exchange: Exchange<Answer>, { resources, validateOnly }: Request): Promise<Answer> {
  return { responses: await alterResources(exchange, resources, validateOnly, replace) }
}

function replace(target: ConfigTarget, { configs }: Request['resources'][number]): Map<string, string> {
  const config = new Map<string, string>()
  for (const { name, value } of configs) {
    if (value === null) throw new BrokerError('request-invalid', `${name} needs a value`)
    config.set(target.storedKey(name), target.toStored(name, value))
  }
  return config
}
