import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { readTopicConfig } from '../configs.ts'
import { apis } from '../messages/index.ts'
import { alterResources } from '../alter-configs.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.alterConfigs.request>
type Answer = Write<typeof apis.alterConfigs.response>

/** AlterConfigs 0-2: replaces the whole configuration of topics; what is not named has its default again. */
export const handler = defineHandler(apis.alterConfigs, handle)

async function handle(exchange: Exchange<Answer>, { resources, validateOnly }: Request): Promise<Answer> {
  const { broker } = exchange
  const replace = (given: Request['resources'][number]) => {
    return configure(broker, given.resourceName, readTopicConfig(given.configs), validateOnly)
  }
  return { responses: await alterResources(exchange, resources, replace) }
}

function configure(
  broker: Broker,
  name: string,
  config: ReadonlyMap<string, string>,
  validateOnly: boolean,
): Promise<unknown> {
  return broker.topics.configure(homeNamespace, name, config, { validateOnly })
}
