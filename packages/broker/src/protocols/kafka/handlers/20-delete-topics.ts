import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { inTime, tooLate } from '../in-time.ts'
import { apis } from '../messages/index.ts'
import { countMutations } from '../mutations.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteTopics.request>
type Named = Request['topics'][number]
type Answer = Write<typeof apis.deleteTopics.response>
type AnswerTopic = NonNullable<Answer['responses']>[number]

const nilId = '0'.repeat(32)

/** DeleteTopics 1-6: by name, from version 6 by name or id. Answers when the removal is durable. */
export const handler = defineHandler(apis.deleteTopics, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): Promise<Answer> {
  const named = version >= 6 ? request.topics : request.topicNames.map(name => ({ name, topicId: nilId }))
  const late = (): Answer => ({ responses: named.map(one => ({ ...one, ...tooLate })) })
  return inTime(exchange, request.timeoutMs, removeAll(exchange, named), late)
}

async function removeAll(exchange: Exchange<Answer>, named: readonly Named[]): Promise<Answer> {
  const { broker, connection } = exchange
  const wanted = named.map(one => resolve(broker, one))
  const repeats = repeated(wanted, ({ name, topicId }) => name ?? topicId)
  const responses = await inSlices(
    connection,
    wanted,
    async ({ name, topicId, isById, refusal }): Promise<AnswerTopic> => {
      if (refusal !== undefined) return { name, topicId, ...refusal }
      if (name === null) return { name, topicId, ...refused(codes.unknownTopicId, 'No topic has this id.') }
      // Who may not look at a topic is not told its name.
      const isHidden = isById && !exchange.may('describe', 'topic', name)
      if (isHidden || !exchange.may('delete', 'topic', name)) {
        return { name: isHidden ? null : name, topicId: isById ? topicId : nilId, ...unauthorized }
      }
      if (!repeats.has(name)) return remove(exchange, name, topicId)
      return { name, topicId, ...refused(codes.invalidRequest, 'The request names this topic more than once.') }
    },
  )
  return { responses }
}

const unauthorized = refused(codes.topicAuthorizationFailed, 'Topic authorization failed.')

/** The topic that is meant: its name stays null for an id that no topic has. */
function resolve(broker: Broker, { name, topicId }: Named): Named & { isById: boolean; refusal?: Outcome } {
  const isById = name === null
  const invalid = (text: string) => ({ name, topicId, isById, refusal: refused(codes.invalidRequest, text) })
  if (!isById && topicId !== nilId) return invalid('A topic is named by its name or by its id, not by both.')
  if (!isById) return { name, topicId: broker.topics.get(homeNamespace, name)?.id ?? nilId, isById }
  if (topicId === nilId) return invalid('Neither a name nor an id was given.')
  const topic = broker.topics.byId(topicId)
  return { name: topic?.namespace === homeNamespace ? topic.name : null, topicId, isById }
}

/** From this version on, too many removed partitions are refused until later. */
const strictQuotaSince = 5

async function remove(exchange: Exchange<Answer>, name: string, topicId: string): Promise<AnswerTopic> {
  const { broker, version } = exchange
  try {
    const partitionCount = broker.topics.get(homeNamespace, name)?.partitions.length ?? 0
    const later = countMutations(exchange, partitionCount, version >= strictQuotaSince)
    if (later !== undefined) return { name, topicId, ...later }
    await broker.topics.remove(homeNamespace, name)
    return { name, topicId, ...succeeded }
  } catch (error) {
    return { name, topicId, ...outcomeOf(error) }
  }
}
