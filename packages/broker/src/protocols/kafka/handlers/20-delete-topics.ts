import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteTopics.request>
type Named = Request['topics'][number]
type Answer = Write<typeof apis.deleteTopics.response>
type AnswerTopic = NonNullable<Answer['responses']>[number]

const nilId = '0'.repeat(32)

/** DeleteTopics 1-6: by name, from version 6 by name or id. Answers when the removal is durable. */
export const handler = defineHandler(apis.deleteTopics, handle)

async function handle({ broker }: Exchange<Answer>, request: Request, version: number): Promise<Answer> {
  const wanted = version >= 6 ? request.topics : request.topicNames.map(name => ({ name, topicId: nilId }))
  const named = wanted.map(one => ({ ...one, name: nameOf(broker, one) }))
  const repeats = repeated(named, ({ name, topicId }) => name ?? topicId)
  const responses = named.map(({ name, topicId }, index): AnswerTopic | Promise<AnswerTopic> => {
    const refusal = refusalOf(wanted[index]!, name)
    if (refusal !== undefined) return { name: wanted[index]!.name, topicId, ...refusal }
    if (name === null) return { name, topicId, ...refused(codes.unknownTopicId, 'No topic has this id.') }
    if (repeats.has(name))
      return { name, topicId, ...refused(codes.invalidRequest, 'The request names this topic more than once.') }
    return remove(broker, name)
  })
  return { responses: await Promise.all(responses) }
}

/** The name that is meant, or null for an id that no topic has. */
function nameOf(broker: Broker, { name, topicId }: Named): string | null {
  if (name !== null) return name
  const topic = broker.topics.byId(topicId)
  return topic?.namespace === homeNamespace ? topic.name : null
}

function refusalOf({ name, topicId }: Named, found: string | null): Outcome | undefined {
  if (name !== null && topicId !== nilId)
    return refused(codes.invalidRequest, 'A topic is named by its name or by its id, not by both.')
  if (name === null && topicId === nilId && found === null)
    return refused(codes.invalidRequest, 'Neither a name nor an id was given.')
  return undefined
}

async function remove(broker: Broker, name: string): Promise<AnswerTopic> {
  const topicId = broker.topics.get(homeNamespace, name)?.id ?? nilId
  try {
    await broker.topics.remove(homeNamespace, name)
    return { name, topicId, ...succeeded }
  } catch (error) {
    return { name, topicId, ...outcomeOf(error) }
  }
}
