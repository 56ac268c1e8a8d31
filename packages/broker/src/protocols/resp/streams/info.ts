import { idMax, idMin } from '../../../core/entry-streams/entry-id.ts'
import type { EntryGroup } from '../../../core/entry-streams/entry-group.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import { lagOf } from '../../../core/entry-streams/lag.ts'
import type { ConsumerState } from '../../../core/entry-streams/machine.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, noSuchKey } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { writeEntry, type ToldEntry } from './fields.ts'
import { helpOf } from './help.ts'
import { idArg, idText } from './ids.ts'
import { namesOf } from './naming.ts'
import { byName } from './pending.ts'
import { afterOwn, gather, shown, streamAt, worked, type Gathering } from './stream-client.ts'

const sub = (name: string, arity: number, summary: string, run: (client: Client, args: Args) => void): CommandSpec => ({
  name,
  arity,
  flags: ['readonly'],
  keys: [2, 2, 1],
  since: '5.0.0',
  group: 'stream',
  summary,
  run,
})

const helpLines = [
  'XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CONSUMERS <key> <groupname>',
  '    Tell about the consumers of a group.',
  'GROUPS <key>',
  '    Tell about the groups of a stream.',
  'STREAM <key> [FULL [COUNT <count>]',
  '    Tell about a stream.',
  'HELP',
  '    Print this help.',
]

/** Commands that tell about streams. */
export const infoCommands: readonly CommandSpec[] = [
  {
    name: 'xinfo',
    arity: -2,
    flags: [],
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells about a stream, its groups and their consumers.',
    subcommands: [
      sub('stream', -3, 'Tells about a stream.', aboutStream),
      sub('groups', 3, 'Tells about the groups of a stream.', aboutGroups),
      sub('consumers', 4, 'Tells about the consumers of a group.', aboutConsumers),
      helpOf(helpLines),
    ],
  },
]

/** Entries that `FULL` tells of each list, unless it is told how many. */
const fullCount = 10

function streamOf(client: Client, args: Args): EntryStream {
  const stream = streamAt(client, keyArg(args, 2))
  if (!stream) throw noSuchKey()
  return stream
}

const misused = (): CommandError =>
  new CommandError("ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.")

function aboutStream(client: Client, args: Args): void {
  const isFull = args.length > 3
  let count = fullCount
  if (isFull) {
    if (word(args, 3) !== 'full' || args.length === 5 || args.length > 6) throw misused()
    if (args.length === 6) {
      if (word(args, 4) !== 'count') throw misused()
      count = integerArg(args[5])
      if (count < 0) count = fullCount
    }
  }
  const stream = streamOf(client, args)
  afterOwn(client)
  const all = { from: idMin, to: idMax, countMax: count || Infinity }
  const { ends, some } = worked(client, () => {
    const found = endsOf(client, stream)
    const entries = isFull ? gather(client, stream, all) : undefined
    if (found instanceof Promise || entries instanceof Promise)
      return Promise.all([found, entries]).then(([one, other]) => ({ ends: one, some: other }))
    return { ends: found, some: entries }
  })
  if (some) fullOf(client, stream, ends, some, count)
  else shortOf(client, stream, ends)
}

interface Ends {
  readonly first: ToldEntry | undefined
  readonly last: ToldEntry | undefined
}

function endsOf(client: Client, stream: EntryStream): Ends | Promise<Ends> {
  const all = { from: idMin, to: idMax, countMax: 1 }
  const ends = (first: Gathering, last: Gathering): Ends => ({ first: first.only(), last: last.only() })
  const first = gather(client, stream, all)
  const last = gather(client, stream, { ...all, isBack: true })
  if (first instanceof Promise || last instanceof Promise)
    return Promise.all([first, last]).then(([one, other]) => ends(one, other))
  return ends(first, last)
}

const firstIdOf = ({ first }: Ends): string => first?.id ?? idText(idMin)

/** What both forms begin with. */
function head({ reply }: Client, { state, length }: EntryStream, ends: Ends, names: readonly [string, number][]): void {
  // There is no tree; tools want to see that there is something.
  const nodes = Math.ceil(length / 100)
  reply.text('length')
  reply.integer(length)
  reply.text('radix-tree-keys')
  reply.integer(nodes)
  reply.text('radix-tree-nodes')
  reply.integer(nodes + 1)
  reply.text('last-generated-id')
  reply.word(idText(state.lastId))
  reply.text('max-deleted-entry-id')
  reply.word(idText(state.maxRemoved))
  reply.text('entries-added')
  reply.integer(state.added)
  reply.text('recorded-first-entry-id')
  reply.text(firstIdOf(ends))
  for (const [name, count] of names) {
    reply.text(name)
    reply.integer(count)
  }
}

function shortOf(client: Client, stream: EntryStream, ends: Ends): void {
  const { reply } = client
  const names = namesOf(client, stream)
  reply.map(10 + names.length)
  head(client, stream, ends, names)
  reply.text('groups')
  reply.integer(stream.state.groups.size)
  for (const end of ['first', 'last'] as const) {
    reply.text(`${end}-entry`)
    const entry = ends[end]
    if (entry) writeEntry(reply, entry)
    else reply.nil()
  }
}

function fullOf(client: Client, stream: EntryStream, ends: Ends, some: Gathering, count: number): void {
  const { reply } = client
  const names = namesOf(client, stream)
  reply.map(9 + names.length)
  head(client, stream, ends, names)
  reply.text('entries')
  some.write()
  reply.text('groups')
  const groups = sorted(stream)
  reply.array(groups.length)
  for (const group of groups) fullGroup(client, stream, group, ends, count || Infinity)
}

const sorted = ({ groups }: EntryStream): EntryGroup[] => groups.sort((a, b) => (a.state.name < b.state.name ? -1 : 1))

/** How far a group has come. */
function position({ reply }: Client, { state: stream }: EntryStream, { state }: EntryGroup, ends: Ends): void {
  reply.text('last-delivered-id')
  reply.word(idText(state.lastId))
  reply.text('entries-read')
  if (state.entriesRead >= 0) reply.integer(state.entriesRead)
  else reply.nil()
  reply.text('lag')
  const lag = lagOf(stream, state, idArg(Buffer.from(firstIdOf(ends))))
  if (lag !== undefined) reply.integer(lag)
  else reply.nil()
}

function fullGroup(client: Client, stream: EntryStream, group: EntryGroup, ends: Ends, countMax: number): void {
  const { reply } = client
  const { pending, consumers, name } = group.state
  reply.map(7)
  reply.text('name')
  reply.binary(name)
  position(client, stream, group, ends)
  reply.text('pel-count')
  reply.integer(pending.size)
  reply.text('pending')
  const rows = firstOf(pending.from(undefined), countMax)
  reply.array(rows.length)
  for (const row of rows) {
    reply.array(4)
    reply.word(idText(row))
    reply.binary(consumers.get(row.holder)?.name ?? '')
    reply.integer(row.timeMs)
    reply.integer(row.count)
  }
  reply.text('consumers')
  reply.array(consumers.size)
  for (const consumer of [...consumers.values()].sort(byName)) fullConsumer(client, group, consumer, countMax)
}

function fullConsumer({ reply }: Client, group: EntryGroup, consumer: ConsumerState, countMax: number): void {
  const { seenMs, activeMs } = group.timesOf(consumer)
  reply.map(5)
  reply.text('name')
  reply.binary(consumer.name)
  reply.text('seen-time')
  reply.integer(seenMs)
  reply.text('active-time')
  reply.integer(activeMs)
  reply.text('pel-count')
  reply.integer(consumer.pendingCount)
  reply.text('pending')
  const wanted = Math.min(countMax, consumer.pendingCount)
  const rows = firstOf(group.state.pending.from(undefined, consumer.id), wanted)
  reply.array(rows.length)
  for (const row of rows) {
    reply.array(3)
    reply.word(idText(row))
    reply.integer(row.timeMs)
    reply.integer(row.count)
  }
}

function firstOf<T>(all: Iterable<T>, countMax: number): T[] {
  const found: T[] = []
  if (countMax === 0) return found
  for (const each of all) if (found.push(each) >= countMax) break
  return found
}

function aboutGroups(client: Client, args: Args): void {
  const { reply } = client
  const stream = streamOf(client, args)
  afterOwn(client)
  const ends = worked(client, () => endsOf(client, stream))
  const groups = sorted(stream)
  reply.array(groups.length)
  for (const group of groups) {
    reply.map(6)
    reply.text('name')
    reply.binary(group.state.name)
    reply.text('consumers')
    reply.integer(group.state.consumers.size)
    reply.text('pending')
    reply.integer(group.state.pending.size)
    position(client, stream, group, ends)
  }
}

function aboutConsumers(client: Client, args: Args): void {
  const { reply, nowMs } = client
  const group = streamOf(client, args).group(keyArg(args, 3))
  if (!group) {
    const [key, name] = [shown(keyArg(args, 2)), shown(keyArg(args, 3))]
    throw new CommandError(`NOGROUP No such consumer group '${name}' for key name '${key}'`)
  }
  const consumers = [...group.state.consumers.values()].sort(byName)
  reply.array(consumers.length)
  for (const consumer of consumers) {
    const { seenMs, activeMs } = group.timesOf(consumer)
    reply.map(4)
    reply.text('name')
    reply.binary(consumer.name)
    reply.text('pending')
    reply.integer(consumer.pendingCount)
    reply.text('idle')
    reply.integer(Math.max(0, nowMs - seenMs))
    reply.text('inactive')
    reply.integer(activeMs < 0 ? -1 : Math.max(0, nowMs - activeMs))
  }
}
