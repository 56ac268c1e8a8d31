import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { groupTypes, stateNames } from '../group-words.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.listGroups.request>
type Answer = Write<typeof apis.listGroups.response>

/** ListGroups 0-5, with the filters by state and by type. Names in filters may be in any case. */
export const handler = defineHandler(apis.listGroups, handle)

function handle(exchange: Exchange<Answer>, request: Request): void {
  const { broker } = exchange
  const states = filterOf(request.statesFilter)
  const types = filterOf(request.typesFilter)
  const mayAll = exchange.may('describe', 'cluster', clusterName)
  const groups = broker.groups
    .list(homeNamespace)
    .map(({ id, kind, protocolType, state }) => ({
      groupId: id,
      protocolType: kind === 'classic' ? (protocolType ?? '') : groupTypes[kind],
      groupState: stateNames[state],
      groupType: groupTypes[kind],
    }))
    .filter(group => states(group.groupState) && types(group.groupType))
    .filter(({ groupId }) => mayAll || exchange.may('describe', 'group', groupId))
  broker.groups.allSettled(answer => exchange.reply(answer), { errorCode: codes.none, groups })
}

/** An empty filter lets everything through. */
function filterOf(names: readonly string[]): (name: string) => boolean {
  const wanted = new Set(names.map(name => name.toLowerCase()))
  return name => wanted.size === 0 || wanted.has(name.toLowerCase())
}
