import { compareIds, idAfter, idMax, idMin, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { EntryGroup } from '../../../core/entry-streams/entry-group.ts'
import type { EntryReader } from '../../../core/entry-streams/entry-reader.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import type { ConsumerState } from '../../../core/entry-streams/machine.ts'
import type { PendingRow } from '../../../core/entry-streams/pending.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { toldEntry, writeEntry, type ToldEntry } from './fields.ts'
import { idArg, idText } from './ids.ts'
import { afterOwn, consumerOf, Gathering, isAtWork, shown, someBytesMax, streamAt, worked } from './stream-client.ts'

/** Commands that read what comes. */
export const readingCommands: readonly CommandSpec[] = [
  {
    name: 'xread',
    arity: -4,
    flags: ['readonly', 'blocking', 'movablekeys'],
    keysOf: streamKeys,
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells entries of several streams that come behind an id, and waits for some.',
    run: (client, args) => read(client, requestOf(args, false)),
    prepare: afterOwn,
  },
  {
    name: 'xreadgroup',
    arity: -7,
    flags: ['write', 'blocking', 'movablekeys'],
    keysOf: streamKeys,
    rights: ['read'],
    since: '5.0.0',
    group: 'stream',
    summary:
      'Gives a consumer of a group entries of several streams that nobody of it has had, or those that it holds.',
    run: (client, args) => read(client, requestOf(args, true)),
    prepare: afterOwn,
  },
]

interface Request {
  /** Whether entries may be delivered for it: `over` when nobody waits for its answer, `delivered` when some were, and are the answer. */
  state: 'open' | 'delivered' | 'over'
  readonly isGroup: boolean
  readonly group: string
  readonly consumer: string
  /** 0: no bound. */
  readonly count: number
  /** Undefined: it does not wait. */
  readonly blockMs: number | undefined
  readonly isForgotten: boolean
  readonly keys: readonly string[]
  readonly ids: readonly Buffer[]
}

/** What is read of one stream. `after`: entries behind it; `last`: the newest one; `new`: those that the group has not had; `held`: what the consumer has. */
type Wish =
  | { readonly kind: 'after'; readonly id: EntryId }
  | { readonly kind: 'last' }
  | { readonly kind: 'new' }
  | { readonly kind: 'held'; readonly id: EntryId }

function streamsAt(args: Args): number {
  for (let at = 1; at < args.length; at++) if (args[at]!.length === 7 && word(args, at) === 'streams') return at
  return -1
}

function streamKeys(args: Args): number[] {
  const at = streamsAt(args)
  if (at < 0) return []
  return Array.from({ length: Math.floor((args.length - at - 1) / 2) }, (_, index) => at + 1 + index)
}

function requestOf(args: Args, isGroup: boolean): Request {
  let group: string | undefined
  let consumer = ''
  let count = 0
  let blockMs: number | undefined
  let isForgotten = false
  for (let at = 1; at < args.length; at++) {
    const left = args.length - at - 1
    const name = word(args, at)
    if (name === 'block' && left > 0) blockMs = blockArg(args[++at]!)
    else if (name === 'count' && left > 0) count = Math.max(0, integerArg(args[++at]))
    else if (name === 'streams' && left > 0) {
      if (isGroup && group === undefined) throw new CommandError('ERR Missing GROUP option for XREADGROUP')
      const number = left / 2
      if (!Number.isInteger(number)) throw unbalanced(isGroup)
      const keys = args.slice(at + 1, at + 1 + number).map(part => part.toString('latin1'))
      const ids = args.slice(at + 1 + number)
      return { state: 'open', isGroup, group: group ?? '', consumer, count, blockMs, isForgotten, keys, ids }
    } else if (name === 'group' && left >= 2) {
      if (!isGroup) throw onlyForGroups('GROUP')
      group = keyArg(args, at + 1)
      consumer = keyArg(args, at + 2)
      at += 2
    } else if (name === 'noack') {
      if (!isGroup) throw onlyForGroups('NOACK')
      isForgotten = true
    } else throw syntaxError()
  }
  throw syntaxError()
}

const onlyForGroups = (option: string): CommandError =>
  new CommandError(`ERR The ${option} option is only supported by XREADGROUP. You called XREAD instead.`)

const unbalanced = (isGroup: boolean): CommandError =>
  new CommandError(
    `ERR Unbalanced '${isGroup ? 'xreadgroup' : 'xread'}' list of streams: for each stream key an ID or '${isGroup ? '>' : '$'}' must be specified.`,
  )

function blockArg(text: Buffer): number {
  const ms = integerArg(text, () => new CommandError('ERR timeout is not an integer or out of range'))
  if (ms < 0) throw new CommandError('ERR timeout is negative')
  return ms
}

function read(client: Client, request: Request): void {
  const wishes = request.ids.map((id, index) => wishOf(client, request, request.keys[index]!, id))
  afterOwn(client)
  const found = worked(client, () => readAll(client, request, wishes))
  if (found.length > 0) return writeStreams(client, found)
  const { blockMs } = request
  if (blockMs === undefined || client.isExecuting) return client.reply.nilArray()
  client.block({
    keys: request.keys,
    timeoutMs: blockMs,
    needsKey: request.isGroup,
    serve: key => serve(client, request, wishes, key),
    timedOut: () => client.reply.nilArray(),
    isBusy: () => isAtWork(request),
    abandon: () => {
      if (request.state === 'delivered') return false
      request.state = 'over'
      return true
    },
  })
}

/** What is read from the disk meanwhile is delivered only to who is still there to get it. */
function mayDeliver(client: Client, request: Request): boolean {
  if (request.state === 'over' || client.isOver) return false
  request.state = 'delivered'
  return true
}

function wishOf(client: Client, { isGroup, group }: Request, key: string, text: Buffer): Wish {
  const stream = streamAt(client, key)
  if (isGroup && !stream?.group(group)) throw noSuchGroup(key, group)
  const sign = text.length === 1 ? text.toString('latin1') : ''
  if (sign === '$') {
    if (!isGroup) return { kind: 'after', id: stream?.state.lastId ?? idMin }
    throw new CommandError(
      'ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.',
    )
  }
  if (sign === '+') {
    if (!isGroup)
      return stream && stream.length > 0 ? { kind: 'last' } : { kind: 'after', id: stream?.state.lastId ?? idMin }
    throw new CommandError(
      'ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.',
    )
  }
  if (sign === '>') {
    if (isGroup) return { kind: 'new' }
    throw new CommandError(
      'ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.',
    )
  }
  return { kind: isGroup ? 'held' : 'after', id: idArg(text) }
}

const noSuchGroup = (key: string, group: string): CommandError =>
  new CommandError(
    `NOGROUP No such key '${shown(key)}' or consumer group '${shown(group)}' in XREADGROUP with GROUP option`,
  )

/** What was found of one stream. An entry that is held and not there any more is its id alone. */
interface Found {
  readonly key: string
  readonly entries: readonly (ToldEntry | string)[]
  /** What their bytes are of. */
  readonly reader: EntryReader
}

function readAll(client: Client, request: Request, wishes: readonly Wish[]): Found[] | Promise<Found[]> {
  const found: Found[] = []
  for (const [index, key] of request.keys.entries()) {
    const one = readOne(client, request, wishes[index]!, key)
    if (one instanceof Promise) return readRest(client, request, wishes, found, one, index)
    if (one) found.push(one)
  }
  return found
}

async function readRest(
  client: Client,
  request: Request,
  wishes: readonly Wish[],
  found: Found[],
  first: Promise<Found | undefined>,
  from: number,
): Promise<Found[]> {
  let one = await first
  for (let index = from; ;) {
    if (one) found.push(one)
    if (++index >= request.keys.length) return found
    one = await readOne(client, request, wishes[index]!, request.keys[index]!)
  }
}

/** Undefined when there is nothing. */
function readOne(
  client: Client,
  request: Request,
  wish: Wish,
  key: string,
): Found | undefined | Promise<Found | undefined> {
  const stream = streamAt(client, key)
  if (!stream) {
    if (request.isGroup) throw noSuchGroup(key, request.group)
    return undefined
  }
  if (!request.isGroup) return readPlain(client, request, stream, wish, key)
  const group = stream.group(request.group)
  if (!group) throw noSuchGroup(key, request.group)
  const consumer = consumerOf(client, key, group, request.consumer)
  if (!consumer) return undefined
  group.heardOf(consumer)
  return wish.kind === 'held'
    ? readHeld(client, request, stream, { group, consumer, after: wish.id }, key)
    : readNew(client, request, stream, { group, consumer }, key)
}

function readPlain(
  client: Client,
  { count }: Request,
  stream: EntryStream,
  wish: Wish,
  key: string,
): Found | undefined | Promise<Found | undefined> {
  const { state } = stream
  const isLast = wish.kind === 'last'
  const from = wish.kind === 'after' ? idAfter(wish.id) : idMin
  if (!from || stream.length === 0 || (!isLast && compareIds(state.lastId, from) < 0)) return undefined
  const gathering = new Gathering(client, stream, isLast ? 1 : count || Infinity, someBytesMax)
  const { visit, reader } = gathering
  const later = isLast ? stream.rangeBack(from, idMax, visit, reader) : stream.range(from, idMax, visit, reader)
  const told = (): Found | undefined => foundBy(gathering, key)
  return later ? later.then(told) : told()
}

function foundBy(gathering: Gathering, key: string): Found | undefined {
  const { entries, reader } = gathering
  if (entries.length > 0) return { key, entries, reader }
  gathering.done()
  return undefined
}

interface Reader {
  readonly group: EntryGroup
  readonly consumer: ConsumerState
}

function readNew(
  client: Client,
  request: Request,
  stream: EntryStream,
  { group, consumer }: Reader,
  key: string,
): Found | undefined | Promise<Found | undefined> {
  const { count, isForgotten } = request
  const gathering = new Gathering(client, stream, Infinity, someBytesMax)
  const { visit, reader } = gathering
  const options = { countMax: count || Infinity, isForgotten, mayDeliver: () => mayDeliver(client, request) }
  const later = group.readNew(consumer, options, visit, reader)
  const told = (): Found | undefined => foundBy(gathering, key)
  return later ? later.then(told) : told()
}

/** What the consumer holds already: it counts as delivered once more. */
function readHeld(
  client: Client,
  { count }: Request,
  stream: EntryStream,
  { group, consumer, after }: Reader & { after: EntryId },
  key: string,
): Found | Promise<Found> {
  const from = idAfter(after)
  const rows: PendingRow[] = []
  if (from && consumer.pendingCount > 0) {
    for (const row of group.state.pending.from(from, consumer.id)) {
      rows.push(row)
      if (rows.length === (count || Infinity) || rows.length === consumer.pendingCount) break
    }
  }
  const entries: (ToldEntry | string)[] = []
  const { origins } = client.broker
  const reader = stream.reader()
  const later = reader.readAt(
    rows.map(({ offset }) => offset),
    (entry, index) => {
      const id = idText(rows[index]!)
      entries.push(entry ? toldEntry(id, entry.record, origins) : id)
    },
  )
  const told = (): Found => {
    const there = rows.filter((_, index) => typeof entries[index] !== 'string')
    const again = there
      .filter(({ offset }) => group.state.pending.find(offset) && group.state.pending.row.holder === consumer.id)
      .map(row => ({ offset: row.offset, id: row, count: row.count + 1 }))
    if (again.length > 0) group.claim(consumer, again, client.nowMs)
    return { key, entries, reader }
  }
  return later ? later.then(told) : told()
}

/** Something has come to a key that somebody waits for. */
function serve(client: Client, request: Request, wishes: readonly Wish[], key: string): boolean {
  const index = request.keys.indexOf(key)
  const wish = wishes[index]
  if (!wish) return false
  let found: Found | undefined
  try {
    // A key that has become something else is no reason to stop waiting, but for groups.
    if (!request.isGroup && client.keys.typeOf(key)?.name !== 'stream') return false
    // The connection may go on to other commands before this is read.
    found = worked(request, () => readOne(client, request, wish, key))
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    client.reply.error(error.message)
    return true
  }
  if (!found) return false
  writeStreams(client, [found])
  return true
}

function writeStreams({ reply }: Client, found: readonly Found[]): void {
  if (reply.version === 3) reply.map(found.length)
  else reply.array(found.length)
  for (const { key, entries, reader } of found) {
    if (reply.version !== 3) reply.array(2)
    reply.binary(key)
    reply.array(entries.length)
    for (const entry of entries) {
      if (typeof entry !== 'string') writeEntry(reply, entry)
      else {
        reply.array(2)
        reply.word(entry)
        reply.nilArray()
      }
    }
    reader.clear()
  }
}
