import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { inTime, tooLate } from '../in-time.ts'
import { apis } from '../messages/index.ts'
import { countMutations } from '../mutations.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { assignmentRefusal } from './19-create-topics.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.createPartitions.request>
type Growth = Request['topics'][number]
type Answer = Write<typeof apis.createPartitions.response>

/** CreatePartitions 0-3: raises the number of partitions, optionally with an assignment to this broker, or checks that it could. */
export const handler = defineHandler(apis.createPartitions, handle)

function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const late = (): Answer => ({ results: request.topics.map(({ name }) => ({ name, ...tooLate })) })
  return inTime(exchange, request.timeoutMs, growAll(exchange, request), late)
}

async function growAll(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { connection } = exchange
  const repeats = repeated(request.topics, topic => topic.name)
  const unique = new Map(request.topics.map(topic => [topic.name, topic]))
  const results = await inSlices(connection, [...unique.values()], async topic => {
    const outcome = repeats.has(topic.name)
      ? refused(codes.invalidRequest, 'The request names this topic more than once.')
      : exchange.may('alter', 'topic', topic.name)
        ? await grow(exchange, topic, request.validateOnly)
        : refused(codes.topicAuthorizationFailed, 'The topic authorization is failed.')
    return { name: topic.name, ...outcome }
  })
  return { results }
}

/** From this version on, too many new partitions are refused until later. */
const strictQuotaSince = 3

async function grow(exchange: Exchange<Answer>, wanted: Growth, validateOnly: boolean): Promise<Outcome> {
  const { broker, version } = exchange
  try {
    const refusal = refusalOf(broker, wanted)
    if (refusal !== undefined) return refusal
    const present = broker.topics.get(homeNamespace, wanted.name)?.partitions.length ?? wanted.count
    if (!validateOnly && wanted.count > present) {
      const later = countMutations(exchange, wanted.count - present, version >= strictQuotaSince)
      if (later !== undefined) return later
    }
    await broker.topics.addPartitions(homeNamespace, wanted.name, wanted.count, { validateOnly })
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}

/** What the core cannot know: the places of the new partitions. */
function refusalOf(broker: Broker, { name, count, assignments }: Growth): Outcome | undefined {
  const topic = broker.topics.get(homeNamespace, name)
  if (assignments === null || topic === undefined) return undefined
  const added = count - topic.partitions.length
  if (added > 0 && assignments.length !== added) {
    const text = `There are ${added} new partitions, but ${assignments.length} are assigned.`
    return refused(codes.invalidReplicaAssignment, text)
  }
  return assignmentRefusal(
    broker,
    assignments.map(({ brokerIds }) => brokerIds),
  )
}
