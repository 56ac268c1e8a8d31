import { homeNamespace, type Broker } from '../../core/broker.ts'
import type { AssignedDescription } from '../../core/groups/assigned/requests.ts'
import { codes } from './errors.ts'
import { refused, type Outcome } from './outcome.ts'

/** The share group of that name, or why there is none to work on. */
export function shareGroupNamed(broker: Broker, groupId: string): AssignedDescription | Outcome {
  const found = broker.groups.describeAssigned(homeNamespace, groupId)
  if (found?.kind === 'shared') return found
  const why = isFreeGroupName(broker, groupId) ? 'not found.' : 'is not a share group.'
  return refused(codes.groupIdNotFound, `Group ${groupId} ${why}`)
}

/** Whether the name is free: no group has it. */
export function isFreeGroupName({ groups }: Broker, groupId: string): boolean {
  const isAssigned = groups.describeAssigned(homeNamespace, groupId) !== undefined
  return !isAssigned && groups.describe(homeNamespace, groupId) === undefined
}

/** The same for changes that members would not expect. */
export function emptyShareGroupNamed(broker: Broker, groupId: string): AssignedDescription | Outcome {
  const group = shareGroupNamed(broker, groupId)
  if ('errorCode' in group || group.members.length === 0) return group
  return refused(codes.nonEmptyGroup, `Group ${groupId} still has members.`)
}
