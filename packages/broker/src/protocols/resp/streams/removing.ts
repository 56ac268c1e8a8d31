import { compareIds, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { idArg, idText } from './ids.ts'
import { afterOwn, streamAt, worked } from './stream-client.ts'

/** Commands that acknowledge entries and remove them. */
export const removingCommands: readonly CommandSpec[] = [
  {
    name: 'xdel',
    arity: -3,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '5.0.0',
    group: 'stream',
    summary: 'Removes entries by their ids.',
    run: remove,
    prepare: afterOwn,
  },
  {
    name: 'xack',
    arity: -4,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '5.0.0',
    group: 'stream',
    summary: 'Acknowledges entries: no consumer of the group holds them any more.',
    run: acknowledge,
  },
  {
    name: 'xdelex',
    arity: -5,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '8.2.0',
    group: 'stream',
    summary: 'Removes entries by their ids, and says what becomes of those that somebody holds.',
    run: (client, args) => removeWith(client, args, undefined),
    prepare: afterOwn,
  },
  {
    name: 'xackdel',
    arity: -6,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '8.2.0',
    group: 'stream',
    summary: 'Acknowledges entries and removes them.',
    run: (client, args) => removeWith(client, args, keyArg(args, 2)),
    prepare: afterOwn,
  },
]

function idsFrom(args: Args, from: number, to = args.length): EntryId[] {
  const ids: EntryId[] = []
  for (let at = from; at < to; at++) ids.push(idArg(args[at]))
  return ids
}

function acknowledge(client: Client, args: Args): void {
  const group = streamAt(client, keyArg(args, 1))?.group(keyArg(args, 2))
  if (!group) return client.reply.integer(0)
  client.reply.integer(group.ack(idsFrom(args, 3)))
}

function remove(client: Client, args: Args): void {
  const key = keyArg(args, 1)
  const stream = streamAt(client, key)
  if (!stream) return client.reply.integer(0)
  const ids = idsFrom(args, 2)
  afterOwn(client)
  const count = stream.remove(worked(client, () => stream.locate(ids)))
  if (count > 0) client.keys.changed(key, 't', 'xdel')
  client.reply.integer(count)
}

const references = ['keepref', 'delref', 'acked'] as const
type References = (typeof references)[number]

interface Removal {
  readonly references: References
  readonly ids: readonly EntryId[]
}

/** [KEEPREF | DELREF | ACKED] IDS count id … */
function removalOf(args: Args, from: number): Removal {
  let kind: References | undefined
  let ids: EntryId[] | undefined
  for (let at = from; at < args.length; at++) {
    const name = word(args, at)
    const found = references.find(each => each === name)
    if (found) {
      if (kind) throw syntaxError()
      kind = found
    } else if (name === 'ids' && !ids && at + 1 < args.length) {
      const count = integerArg(args[++at], () => new CommandError('ERR Number of IDs must be a positive integer'))
      if (count <= 0) throw new CommandError('ERR Number of IDs must be a positive integer')
      if (count > args.length - at - 1)
        throw new CommandError('ERR The `numids` parameter must match the number of arguments')
      ids = idsFrom(args, at + 1, at + 1 + count)
      at += count
    } else throw syntaxError()
  }
  if (!ids) throw syntaxError()
  return { references: kind ?? 'keepref', ids }
}

/** What became of one entry. */
const outcomes = { missing: -1, removed: 1, kept: 2 } as const

function removeWith(client: Client, args: Args, groupName: string | undefined): void {
  const { reply, keys } = client
  const key = keyArg(args, 1)
  const removal = removalOf(args, groupName === undefined ? 2 : 3)
  const stream = streamAt(client, key)
  const group = groupName === undefined ? undefined : stream?.group(groupName)
  if (!stream || (groupName !== undefined && !group)) {
    reply.array(removal.ids.length)
    for (let left = removal.ids.length; left > 0; left--) reply.integer(outcomes.missing)
    return
  }
  afterOwn(client)
  const found = worked(client, () => stream.locate(removal.ids))
  const places = new Map(found.map(entry => [idText(entry.id), entry]))
  const before = stream.length
  const results: number[] = []
  stream.atomic(() => {
    for (const id of removal.ids) {
      const wasHeld = !group || group.ack([id]) > 0
      const place = places.get(idText(id))
      const isThere = place !== undefined && stream.holds(place.offset)
      if (!wasHeld || (!group && !isThere)) results.push(outcomes.missing)
      else if (place && isThere) results.push(removeOne(stream, place, removal.references))
      else results.push(outcomes.removed)
    }
  })
  if (stream.length < before) keys.changed(key, 't', 'xdel')
  reply.array(results.length)
  for (const result of results) reply.integer(result)
}

function removeOne(stream: EntryStream, place: { offset: number; id: EntryId }, kind: References): number {
  if (kind === 'acked') {
    const isNeeded = stream.groups.some(
      ({ state }) => compareIds(state.lastId, place.id) < 0 || state.pending.find(place.offset),
    )
    if (isNeeded) return outcomes.kept
  }
  if (kind === 'delref') for (const group of stream.groups) group.ack([place.id])
  stream.remove([place])
  return outcomes.removed
}
