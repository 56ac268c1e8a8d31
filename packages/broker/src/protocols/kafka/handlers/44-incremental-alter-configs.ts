import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { BrokerError } from '../../../core/errors.ts'
import { quote } from '../../../core/names.ts'
import { alterResources } from '../alter-configs.ts'
import { listOf, storedKey, topicConfigKey, topicConfigValue, toStored } from '../configs.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.incrementalAlterConfigs.request>
type Change = Request['resources'][number]['configs'][number]
type Answer = Write<typeof apis.incrementalAlterConfigs.response>
type Config = ReadonlyMap<string, string>

const operations = { set: 0, delete: 1, append: 2, subtract: 3 } as const

/** IncrementalAlterConfigs 0-1: changes single keys of topics; appends to and subtracts from lists. All keys of a topic or none. */
export const handler = defineHandler(apis.incrementalAlterConfigs, handle)

async function handle(exchange: Exchange<Answer>, { resources, validateOnly }: Request): Promise<Answer> {
  const { broker } = exchange
  const change = ({ resourceName, configs }: Request['resources'][number]) => {
    const topic = broker.topics.get(homeNamespace, resourceName)
    if (topic === undefined) throw new BrokerError('topic-not-found', quote(resourceName))
    const changed = configs.reduce(changeOne, topic.config)
    return broker.topics.configure(homeNamespace, resourceName, changed, { validateOnly })
  }
  return { responses: await alterResources(exchange, resources, change) }
}

function changeOne(config: Config, { name, configOperation, value }: Change): Config {
  const changed = new Map(config)
  if (configOperation === operations.delete) {
    changed.delete(storedKey(name))
    return changed
  }
  if (value === null) throw new BrokerError('request-invalid', `${name} needs a value`)
  return changed.set(...toStored(name, valueAfter(config, name, configOperation, value)))
}

/** The new value of the key as a whole. */
function valueAfter(config: Config, name: string, operation: number, value: string): string {
  if (operation === operations.set) return value
  if (operation !== operations.append && operation !== operations.subtract) {
    throw new BrokerError('request-invalid', `${name}: there is no operation ${operation}`)
  }
  if (topicConfigKey(name).type !== 'list') throw new BrokerError('config-invalid', `${name} is not a list`)
  const present = listOf(topicConfigValue({ config }, name).value)
  const given = listOf(value)
  const entries =
    operation === operations.append ? [...present, ...given] : present.filter(entry => !given.includes(entry))
  return entries.join(',')
}
