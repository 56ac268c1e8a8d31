import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { BrokerError } from '../../../core/errors.ts'
import { codes } from '../errors.ts'
import { groupCodeOf } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteGroups.request>
type Answer = Write<typeof apis.deleteGroups.response>

/** DeleteGroups 0-2: answered when it is durable. A group that is named twice is answered once. */
export const handler = defineHandler(apis.deleteGroups, handle)

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const groups = [...new Set(request.groupsNames)]
  const removals = groups.map(async groupId => {
    const isAllowed = exchange.may('delete', 'group', groupId)
    return { groupId, errorCode: isAllowed ? await remove(exchange.broker, groupId) : codes.groupAuthorizationFailed }
  })
  return { results: await Promise.all(removals) }
}

async function remove(broker: Broker, group: string): Promise<number> {
  try {
    await broker.groups.remove({ namespace: homeNamespace, group })
    return codes.none
  } catch (error) {
    if (error instanceof BrokerError) return groupCodeOf(error.code)
    throw error
  }
}
