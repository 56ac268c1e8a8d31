import type { Infer, Write } from '@dragoman/wire'
import { accessProblem, configsSettled, describeTarget } from '../config-targets.ts'
import { configTypes, type ConfigEntry } from '../configs.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded, type Outcome } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeConfigs.request>
type Resource = Request['resources'][number]
type Answer = Write<typeof apis.describeConfigs.response>
type AnswerConfig = NonNullable<NonNullable<Answer['results']>[number]['configs']>[number]

/** DescribeConfigs 1-4: of topics, groups, this broker, and what is set for all brokers. Nothing that is secret is among it. */
export const handler = defineHandler(apis.describeConfigs, handle, { bulky: true })

/** Resources in one answer, each of them some kilobytes: those beyond are refused. */
const resourcesMax = 10_000

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  let left = resourcesMax
  const results = await inSlices(exchange.connection, request.resources, async resource => {
    const { resourceType, resourceName, configurationKeys: keys } = resource
    const { outcome, entries } = left-- > 0 ? describe(exchange, resource) : tooMany
    const wanted = keys === null || keys.length === 0 ? undefined : new Set(keys)
    const chosen = wanted === undefined ? entries : entries.filter(({ name }) => wanted.has(name))
    return { ...outcome, resourceType, resourceName, configs: chosen.map(entry => answerConfig(entry, request)) }
  })
  await configsSettled(exchange.broker)
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
  const problem = accessProblem(exchange, 'describe-configs', resource)
  if (problem !== undefined) return { outcome: problem, entries: [] }
  try {
    return { outcome: succeeded, entries: describeTarget(exchange, resource) }
  } catch (error) {
    return { outcome: outcomeOf(error), entries: [] }
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
