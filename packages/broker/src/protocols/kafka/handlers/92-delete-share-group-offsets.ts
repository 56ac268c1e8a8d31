import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded, type Outcome } from '../outcome.ts'
import { emptyShareGroupNamed } from '../share-group-words.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteShareGroupOffsets.request>
type Answer = Write<typeof apis.deleteShareGroupOffsets.response>

/** DeleteShareGroupOffsets 0: a group without members forgets topics, and begins anew when it comes back to them. */
export const handler = defineHandler(apis.deleteShareGroupOffsets, handle)

async function handle(exchange: Exchange<Answer>, { groupId, topics }: Request): Promise<Answer> {
  const { broker } = exchange
  if (!exchange.may('delete', 'group', groupId)) return { errorCode: codes.groupAuthorizationFailed }
  const group = emptyShareGroupNamed(broker, groupId)
  if ('errorCode' in group) return group
  const responses = await inSlices(exchange.connection, topics, async ({ topicName }) => {
    if (!exchange.may('read', 'topic', topicName)) {
      return { topicName, ...refused(codes.topicAuthorizationFailed, 'Topic authorization failed.') }
    }
    const topicId = broker.topics.get(homeNamespace, topicName)?.id
    const outcome = await forget(broker, groupId, topicId)
    return { topicName, ...(topicId !== undefined && { topicId }), ...outcome }
  })
  return { ...succeeded, responses }
}

async function forget(broker: Broker, group: string, topicId: string | undefined): Promise<Outcome> {
  const name = { namespace: homeNamespace, group }
  if (topicId === undefined || !broker.shareGroups.knows(name, topicId)) {
    return refused(codes.unknownTopicOrPartition, 'There is no offset information to delete.')
  }
  try {
    await broker.shareGroups.forget(name, topicId)
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}
