import { compareIds, idAfter, idMin, partMax, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { Claim, EntryGroup } from '../../../core/entry-streams/entry-group.ts'
import type { EntryReader } from '../../../core/entry-streams/entry-reader.ts'
import type { EntryStream, Located } from '../../../core/entry-streams/entry-stream.ts'
import type { ConsumerState } from '../../../core/entry-streams/machine.ts'
import type { PendingRow } from '../../../core/entry-streams/pending.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { toldEntry, writeEntry, type ToldEntry } from './fields.ts'
import { boundArg, idArg, idBefore, idText, maybeId } from './ids.ts'
import { afterOwn, consumerOf, groupAt, worked } from './stream-client.ts'

/** Commands about what consumers hold. */
export const pendingCommands: readonly CommandSpec[] = [
  {
    name: 'xpending',
    arity: -3,
    flags: ['readonly'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells what the consumers of a group hold.',
    run: tell,
  },
  {
    name: 'xclaim',
    arity: -6,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '5.0.0',
    group: 'stream',
    summary: 'Lets a consumer take over entries that others have held for some time.',
    run: claim,
    prepare: afterOwn,
  },
  {
    name: 'xautoclaim',
    arity: -6,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '6.2.0',
    group: 'stream',
    summary: 'The same for whatever has been held for some time, from an id on.',
    run: claimAll,
  },
]

function tell(client: Client, args: Args): void {
  const key = keyArg(args, 1)
  const name = keyArg(args, 2)
  if (args.length === 3) return summary(client, groupAt(client, key, name).group)
  let from = 3
  let idleMs = 0
  if (word(args, 3) === 'idle') {
    if (args.length < 8) throw syntaxError()
    idleMs = integerArg(args[4])
    from = 5
  }
  if (args.length < from + 3 || args.length > from + 4) throw syntaxError()
  const countMax = Math.max(0, integerArg(args[from + 2]))
  const low = boundArg(args[from]!, 0)
  const high = boundArg(args[from + 1]!, partMax)
  const start = low.isOpen ? idAfter(low.id) : low.id
  if (!start) throw new CommandError('ERR invalid start ID for the interval')
  const end = high.isOpen ? idBefore(high.id) : high.id
  if (!end) throw new CommandError('ERR invalid end ID for the interval')
  const { group } = groupAt(client, key, name)
  const consumerName = args.length > from + 3 ? keyArg(args, from + 3) : undefined
  const consumer = consumerName === undefined ? undefined : group.consumer(consumerName)
  if (consumerName !== undefined && !consumer) return client.reply.array(0)
  listed(client, group, { start, end, countMax, idleMs, consumer })
}

/** How many there are, the first and the last, and how many each consumer holds. */
function summary({ reply }: Client, { state: { pending, consumers } }: EntryGroup): void {
  reply.array(4)
  reply.integer(pending.size)
  const { first, last } = pending
  if (!first || !last) {
    reply.nil()
    reply.nil()
    return reply.nilArray()
  }
  reply.word(idText(first))
  reply.word(idText(last))
  const holders = [...consumers.values()].filter(({ pendingCount }) => pendingCount > 0)
  reply.array(holders.length)
  for (const { name, pendingCount } of holders.sort(byName)) {
    reply.array(2)
    reply.binary(name)
    reply.text(String(pendingCount))
  }
}

export const byName = (a: ConsumerState, b: ConsumerState): number => (a.name < b.name ? -1 : 1)

interface Listing {
  readonly start: EntryId
  readonly end: EntryId
  readonly countMax: number
  readonly idleMs: number
  readonly consumer: ConsumerState | undefined
}

function listed({ reply, nowMs }: Client, { state }: EntryGroup, listing: Listing): void {
  const { start, end, countMax, idleMs, consumer } = listing
  const rows: PendingRow[] = []
  for (const row of state.pending.from(start, consumer?.id)) {
    if (compareIds(row, end) > 0 || rows.length >= countMax) break
    if (idleMsOf(row, nowMs) >= idleMs) rows.push(row)
  }
  reply.array(rows.length)
  for (const row of rows) {
    reply.array(4)
    reply.word(idText(row))
    reply.binary(state.consumers.get(row.holder)?.name ?? '')
    reply.integer(idleMsOf(row, nowMs))
    reply.integer(row.count)
  }
}

/** The clock may have been set back since. */
const idleMsOf = ({ timeMs }: PendingRow, nowMs: number): number => Math.max(0, nowMs - timeMs)

interface ClaimRequest {
  readonly ids: EntryId[]
  readonly idleMs: number
  readonly deliveredMs: number
  /** -1: it is counted up. */
  readonly count: number
  readonly isForced: boolean
  readonly onlyIds: boolean
  readonly lastId: EntryId | undefined
}

function idleArg(text: Buffer | undefined, command: string): number {
  const ms = integerArg(text, () => new CommandError(`ERR Invalid min-idle-time argument for ${command}`))
  return Math.max(0, ms)
}

function claimRequest(args: Args, nowMs: number): ClaimRequest {
  const idleMs = idleArg(args[4], 'XCLAIM')
  const ids: EntryId[] = []
  let at = 5
  for (; at < args.length; at++) {
    const id = maybeId(args[at]!, 0)
    if (!id) break
    ids.push(id)
  }
  let deliveredMs = nowMs
  let count = -1
  let isForced = false
  let onlyIds = false
  let lastId: EntryId | undefined
  for (; at < args.length; at++) {
    const hasMore = at + 1 < args.length
    const name = word(args, at)
    if (name === 'force') isForced = true
    else if (name === 'justid') onlyIds = true
    else if (name === 'idle' && hasMore) deliveredMs = nowMs - optionArg(args[++at], 'IDLE')
    else if (name === 'time' && hasMore) deliveredMs = optionArg(args[++at], 'TIME')
    else if (name === 'retrycount' && hasMore) count = Math.max(0, optionArg(args[++at], 'RETRYCOUNT'))
    else if (name === 'lastid' && hasMore) lastId = idArg(args[++at])
    else throw new CommandError(`ERR Unrecognized XCLAIM option '${args[at]!.toString('utf8', 0, 128)}'`)
  }
  // What is not to be believed is now. [t_stream.c, xclaimCommand]
  if (deliveredMs < 0 || deliveredMs > nowMs) deliveredMs = nowMs
  return { ids, idleMs, deliveredMs, count, isForced, onlyIds, lastId }
}

const optionArg = (text: Buffer | undefined, option: string): number =>
  integerArg(text, () => new CommandError(`ERR Invalid ${option} option argument for XCLAIM`))

function claim(client: Client, args: Args): void {
  const key = keyArg(args, 1)
  const { stream, group } = groupAt(client, key, keyArg(args, 2))
  const request = claimRequest(args, client.nowMs)
  afterOwn(client)
  // Which of those are there that nobody holds.
  const others = request.isForced ? request.ids.filter(id => !group.state.pending.findId(id)) : []
  const found = worked(client, () => {
    if (others.length === 0) return readClaimed(client, stream, chosen(stream, group, request, []), request.onlyIds)
    const located = stream.locate(others)
    const read = (some: readonly Located[]): Claimed | Promise<Claimed> =>
      readClaimed(client, stream, chosen(stream, group, request, some), request.onlyIds)
    return located instanceof Promise ? located.then(read) : read(located)
  })
  const claimed = stillDue(stream, group, found, request)
  if (request.lastId && compareIds(request.lastId, group.state.lastId) > 0)
    stream.setGroup(group, request.lastId, group.state.entriesRead)
  release(group, claimed.gone)
  take(client, args, group, keyArg(args, 3), claimed, request.deliveredMs)
  writeClaimed(client, claimed, request.onlyIds)
}

/** What a consumer is to have, and what there is not any more and nobody is to hold. */
interface Claimed {
  readonly claims: readonly Claim[]
  readonly entries: readonly (ToldEntry | undefined)[]
  readonly gone: readonly PendingRow[]
  /** What the bytes of the entries are of. */
  readonly reader: EntryReader
}

type Chosen = Pick<Claimed, 'claims' | 'gone'>

function chosen(
  stream: EntryStream,
  { state: { pending } }: EntryGroup,
  { ids, idleMs, count, isForced, onlyIds }: ClaimRequest,
  others: readonly { offset: number; id: EntryId }[],
): Chosen {
  const claims = new Map<number, Claim>()
  const gone: PendingRow[] = []
  for (const id of ids) {
    if (pending.findId(id)) {
      const { row } = pending
      if (!stream.holds(row.offset)) gone.push(row)
      else if (idleMsOf(row, stream.nowMs) >= idleMs)
        claims.set(row.offset, { offset: row.offset, id, count: count >= 0 ? count : row.count + (onlyIds ? 0 : 1) })
    } else if (isForced) {
      const other = others.find(each => compareIds(each.id, id) === 0)
      if (other) claims.set(other.offset, { ...other, count: count >= 0 ? count : onlyIds ? 1 : 2 })
    }
  }
  return { claims: [...claims.values()].sort((a, b) => a.offset - b.offset), gone }
}

/** The same with the entries themselves, unless only their ids are wanted. */
function readClaimed(
  client: Client,
  stream: EntryStream,
  { claims, gone }: Chosen,
  onlyIds: boolean,
): Claimed | Promise<Claimed> {
  const entries: ToldEntry[] = []
  const { origins } = client.broker
  const reader = stream.reader()
  const later = onlyIds
    ? undefined
    : reader.readAt(
        claims.map(({ offset }) => offset),
        (entry, index) => {
          if (entry) entries[index] = toldEntry(idText(claims[index]!.id), entry.record, origins)
        },
      )
  return later ? later.then(() => ({ claims, entries, gone, reader })) : { claims, entries, gone, reader }
}

/** While they were read, others may have acknowledged some, or claimed them. */
function stillDue(
  stream: EntryStream,
  { state: { pending } }: EntryGroup,
  claimed: Claimed,
  { idleMs, isForced }: Pick<ClaimRequest, 'idleMs' | 'isForced'>,
): Claimed {
  const isDue = ({ offset }: Claim): boolean =>
    pending.find(offset) ? idleMsOf(pending.row, stream.nowMs) >= idleMs : isForced && stream.holds(offset)
  const { claims, entries } = claimed
  if (claims.every(isDue)) return claimed
  const kept = claims.map((claim, index) => ({ claim, entry: entries[index] })).filter(({ claim }) => isDue(claim))
  return { ...claimed, claims: kept.map(({ claim }) => claim), entries: kept.map(({ entry }) => entry) }
}

function release(group: EntryGroup, rows: readonly PendingRow[]): void {
  if (rows.length > 0) group.release(rows.map(({ offset }) => offset).sort((a, b) => a - b))
}

function take(client: Client, args: Args, group: EntryGroup, name: string, { claims }: Claimed, timeMs: number): void {
  const consumer = consumerOf(client, keyArg(args, 1), group, name)
  if (consumer) group.claim(consumer, claims, timeMs)
}

function writeClaimed({ reply }: Client, { claims, entries, reader }: Claimed, onlyIds: boolean): void {
  const told = onlyIds ? claims : claims.filter((_, index) => entries[index])
  reply.array(told.length)
  for (const [index, { id }] of claims.entries()) {
    const entry = entries[index]
    if (onlyIds) reply.word(idText(id))
    else if (entry) writeEntry(reply, entry)
  }
  reader.clear()
}

/** So many are looked at for each that is wanted. */
const attemptsEach = 10

function claimAll(client: Client, args: Args): void {
  const idleMs = idleArg(args[4], 'XAUTOCLAIM')
  const low = boundArg(args[5]!, 0)
  const start = low.isOpen ? idAfter(low.id) : low.id
  if (!start) throw new CommandError('ERR invalid start ID for the interval')
  let countMax = 100
  let onlyIds = false
  for (let at = 6; at < args.length; at++) {
    const name = word(args, at)
    if (name === 'justid') onlyIds = true
    else if (name === 'count' && at + 1 < args.length) {
      countMax = integerArg(args[++at], () => new CommandError('ERR COUNT must be > 0'))
      if (countMax < 1 || countMax > 2 ** 60) throw new CommandError('ERR COUNT must be > 0')
    } else throw syntaxError()
  }
  const key = keyArg(args, 1)
  const { stream, group } = groupAt(client, key, keyArg(args, 2))
  const { found, next } = worked(client, () => {
    const { next: cursor, ...some } = oldest(stream, group, { start, idleMs, countMax, onlyIds })
    const read = readClaimed(client, stream, some, onlyIds)
    return read instanceof Promise ? read.then(of => ({ found: of, next: cursor })) : { found: read, next: cursor }
  })
  const claimed = stillDue(stream, group, found, { idleMs, isForced: false })
  release(group, claimed.gone)
  take(client, args, group, keyArg(args, 3), claimed, client.nowMs)
  const { reply } = client
  reply.array(3)
  reply.word(idText(next))
  writeClaimed(client, claimed, onlyIds)
  reply.array(claimed.gone.length)
  for (const row of claimed.gone) reply.word(idText(row))
}

interface Search {
  readonly start: EntryId
  readonly idleMs: number
  readonly countMax: number
  readonly onlyIds: boolean
}

/** What was held for long enough, from an id on; and where to go on, which is 0-0 at the end. */
function oldest(stream: EntryStream, { state }: EntryGroup, search: Search): Chosen & { next: EntryId } {
  const claims: Claim[] = []
  const gone: PendingRow[] = []
  let attempts = attemptsEach * search.countMax
  for (const row of state.pending.from(search.start)) {
    if (attempts-- === 0 || claims.length + gone.length === search.countMax)
      return { claims, gone, next: { ms: row.ms, seq: row.seq } }
    const id = { ms: row.ms, seq: row.seq }
    if (!stream.holds(row.offset)) gone.push(row)
    else if (idleMsOf(row, stream.nowMs) >= search.idleMs)
      claims.push({ offset: row.offset, id, count: row.count + (search.onlyIds ? 0 : 1) })
  }
  return { claims, gone, next: idMin }
}
