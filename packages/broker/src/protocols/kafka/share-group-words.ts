import { homeNamespace, type Broker } from '../../core/broker.ts'
import type { AssignedDescription } from '../../core/groups/assigned/requests.ts'
import { codes } from './errors.ts'
import { refused, type Outcome } from './outcome.ts'

/** The share group of that name, or why there is none to work on. */
export function shareGroupNamed(broker: Broker, groupId: string): AssignedDescription | Outcome {
  const found = broker.groups.describeAssigned(homeNamespace, groupId)
  if (found?.kind === 'shared') return found
  const isOther = found !== undefined || broker.groups.describe(homeNamespace, groupId) !== undefined
  return refused(codes.groupIdNotFound, `Group ${groupId} ${isOther ? 'is not a share group.' : 'not found.'}`)
}

/** The same for changes that members would not expect. */
export function emptyShareGroupNamed(broker: Broker, groupId: string): AssignedDescription | Outcome {
  const group = shareGroupNamed(broker, groupId)
  if ('errorCode' in group || group.members.length === 0) return group
  return refused(codes.nonEmptyGroup, `Group ${groupId} still has members.`)
}
