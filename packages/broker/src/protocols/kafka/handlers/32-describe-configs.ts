import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { quote } from '../../../core/names.ts'
import { configRefusal } from '../alter-configs.ts'
import { advertisedAddress } from '../cluster.ts'
import { brokerConfigEntries, configTypes, resourceTypes, topicConfigEntries, type ConfigEntry } from '../configs.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded, type Outcome } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeConfigs.request>
type Resource = Request['resources'][number]
type Answer = Write<typeof apis.describeConfigs.response>
type AnswerConfig = NonNullable<NonNullable<Answer['results']>[number]['configs']>[number]

/** DescribeConfigs 1-4: of topics, and of this broker, whose configuration is read-only. Groups and loggers have none here. */
export const handler = defineHandler(apis.describeConfigs, handle, { bulky: true })

/** Resources in one answer, each of them some kilobytes: those beyond are refused. */
const resourcesMax = 10_000

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const unique = new Map(request.resources.map(one => [`${one.resourceType}:${one.resourceName}`, one]))
  let left = resourcesMax
  const results = await inSlices(exchange.connection, [...unique.values()], async resource => {
    const { resourceType, resourceName, configurationKeys: keys } = resource
    const { outcome, entries } = left-- > 0 ? describe(exchange, resource) : tooMany
    const wanted = keys === null || keys.length === 0 ? undefined : new Set(keys)
    const chosen = wanted === undefined ? entries : entries.filter(({ name }) => wanted.has(name))
    return { ...outcome, resourceType, resourceName, configs: chosen.map(entry => answerConfig(entry, request)) }
  })
  await exchange.broker.topics.settle()
  return { results }
}

interface Description {
  outcome: Outcome
  entries: ConfigEntry[]
}

const tooMany: Description = {
  outcome: refused(codes.policyViolation, `A request can ask for ${resourcesMax} resources.`),
  entries: [],
}

function describe(exchange: Exchange<Answer>, resource: Resource): Description {
  const { broker, connection } = exchange
  const refuse = (code: number, text: string) => ({ outcome: refused(code, text), entries: [] })
  const { resourceType, resourceName } = resource
  const denied = configRefusal(exchange, 'describe-configs', resource)
  if (denied !== undefined) return { outcome: denied, entries: [] }
  switch (resourceType) {
    case resourceTypes.topic: {
      const topic = broker.topics.get(homeNamespace, resourceName)
      if (topic === undefined) return refuse(codes.unknownTopicOrPartition, `There is no topic ${quote(resourceName)}.`)
      return { outcome: succeeded, entries: topicConfigEntries(topic) }
    }
    case resourceTypes.broker:
      // The empty name asks for what was changed for all brokers at run time: nothing ever is.
      if (resourceName === '') return { outcome: succeeded, entries: [] }
      if (resourceName !== String(broker.brokerId)) {
        return refuse(codes.invalidRequest, `There is only broker ${broker.brokerId}, not ${quote(resourceName)}.`)
      }
      return { outcome: succeeded, entries: brokerConfigEntries(broker, advertisedAddress(broker, connection)) }
    default:
      return refuse(
        codes.invalidRequest,
        `Only topics (2) and brokers (4) have a configuration here, not resources of type ${resourceType}.`,
      )
  }
}

function answerConfig(entry: ConfigEntry, { includeSynonyms, includeDocumentation }: Request): AnswerConfig {
  const { name, value, source, readOnly, synonyms, type, doc } = entry
  return {
    name,
    value,
    readOnly,
    configSource: source,
    isSensitive: false,
    synonyms: includeSynonyms ? synonyms : [],
    configType: configTypes[type],
    documentation: includeDocumentation ? doc : null,
  }
}
