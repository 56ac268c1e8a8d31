import { compareIds, idMin, sameId, type EntryId } from './entry-id.ts'
import type { EntryStreamState, GroupState } from './machine.ts'

/**
 * How many entries a group has read, and how many it has yet to read. Both count entries that were ever added, so they can be told only where nothing was
 * taken out of the middle: -1 says that they cannot.
 */

/** Whether anything behind the id was taken out of the middle. `firstId`: of the first entry that is left. */
function hasGaps({ length, maxRemoved }: EntryStreamState, id: EntryId, firstId: EntryId): boolean {
  if (length === 0 || sameId(maxRemoved, idMin)) return false
  return compareIds(firstId, maxRemoved) <= 0 && compareIds(id, maxRemoved) <= 0
}

/** How many entries were added up to the id. */
function countTo(state: EntryStreamState, id: EntryId, firstId: EntryId): number {
  const { added, length, lastId, maxRemoved } = state
  if (added === 0) return 0
  const toLast = compareIds(id, lastId)
  if (toLast === 0 || (length === 0 && toLast < 0)) return added
  if (toLast > 0) return -1
  if (!sameId(maxRemoved, idMin) && compareIds(maxRemoved, firstId) >= 0) return -1
  const toFirst = compareIds(id, firstId)
  return toFirst < 0 ? added - length : toFirst === 0 ? added - length + 1 : -1
}

/** How many were read when this entry is, of which `before` says how many came before it. */
export function readWith(
  state: EntryStreamState,
  { offset, id }: { offset: number; id: EntryId },
  before: number,
): number {
  // Of the first entry it is only of interest whether it is this one.
  const firstId = offset === state.first ? id : idMin
  if (before >= 0 && !hasGaps(state, id, firstId)) return before + 1
  return state.added > 0 ? countTo(state, id, firstId) : before
}

/** How many are yet to be read; below 0 when a count that was set is too great. Undefined when it cannot be told. */
export function lagOf(state: EntryStreamState, group: GroupState, firstId: EntryId): number | undefined {
  if (state.added === 0) return 0
  if (group.entriesRead >= 0 && !hasGaps(state, group.lastId, firstId)) return state.added - group.entriesRead
  const read = countTo(state, group.lastId, firstId)
  return read < 0 ? undefined : state.added - read
}
