import type { Infer, Write } from '@dragoman/wire'
import { BrokerError } from '../../../core/errors.ts'
import { alterResources } from '../alter-configs.ts'
import type { ConfigTarget } from '../config-targets.ts'
import { listOf } from '../configs.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.incrementalAlterConfigs.request>
type Change = Request['resources'][number]['configs'][number]
type Answer = Write<typeof apis.incrementalAlterConfigs.response>
type Config = ReadonlyMap<string, string>

const operations = { set: 0, delete: 1, append: 2, subtract: 3 } as const

/**
 * IncrementalAlterConfigs 0-1: changes single keys of topics, groups and brokers; appends to and subtracts from lists. All keys
 * of a resource or none.
 */
export const handler = defineHandler(apis.incrementalAlterConfigs, handle)

async function handle(exchange: Exchange<Answer>, { resources, validateOnly }: Request): Promise<Answer> {
  const change = (target: ConfigTarget, { configs }: Request['resources'][number]) => {
    return configs.reduce((config: Config, one) => changeOne(target, config, one), target.present)
  }
  return { responses: await alterResources(exchange, resources, validateOnly, change) }
}

function changeOne(target: ConfigTarget, config: Config, { name, configOperation, value }: Change): Config {
  const changed = new Map(config)
  const stored = target.storedKey(name)
  if (configOperation === operations.delete) {
    changed.delete(stored)
    return changed
  }
  if (value === null) throw new BrokerError('request-invalid', `${name} needs a value`)
  return changed.set(stored, target.toStored(name, valueAfter(target, config, name, configOperation, value)))
}

/** The new value of the key as a whole. */
function valueAfter(target: ConfigTarget, config: Config, name: string, operation: number, value: string): string {
  if (operation === operations.set) return value
  if (operation !== operations.append && operation !== operations.subtract) {
    throw new BrokerError('request-invalid', `${name}: there is no operation ${operation}`)
  }
  if (!target.isList(name)) throw new BrokerError('config-invalid', `${name} is not a list`)
  const present = listOf(target.valueOf(config, name))
  const given = listOf(value)
  const entries =
    operation === operations.append ? [...present, ...given] : present.filter(entry => !given.includes(entry))
  return entries.join(',')
}
