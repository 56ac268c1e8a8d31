import { compareIds, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { idArg } from './ids.ts'
import { isNaming, namingAt, type Naming } from './naming.ts'
import { afterOwn, streamAt, worked } from './stream-client.ts'

export const trimmingCommands: readonly CommandSpec[] = [
  {
    name: 'xtrim',
    arity: -4,
    flags: ['write'],
    keys: [1, 1, 1],
    rights: ['read'],
    since: '5.0.0',
    group: 'stream',
    summary: 'Removes entries from the beginning, down to a number of them or up to an id.',
    run: trim,
  },
]

/** Which entries are to stay. */
export type Trim = { readonly isAbout: boolean; readonly limit: number } & (
  | { readonly kind: 'length'; readonly max: number }
  | { readonly kind: 'id'; readonly min: EntryId }
)

export interface TrimOptions {
  readonly trim: Trim | undefined
  /** Nothing is made when there is no such stream. */
  readonly mustExist: boolean
  /** How the producer calls the entry, if it wants it to be added once. */
  readonly producer?: Naming | undefined
  /** Where what is no option begins. */
  readonly end: number
}

/** So many entries are removed together when it need not be exact, unless the setting of that name says otherwise. */
const togetherSetting = 'stream-node-max-entries'
const togetherDefault = 100

/** What is written before the id of a new entry, or what `XTRIM` is told. [t_stream.c, streamParseAddOrTrimArgsOrReply] */
export function trimOptions(client: Client, args: Args, from: number, isAdd: boolean): TrimOptions {
  if (isAdd && args[from]!.length === 1 && args[from]![0] === star) return plain
  let kind: 'length' | 'id' | undefined
  let max = 0
  let min: EntryId | undefined
  let isAbout = false
  let limit: number | undefined
  let mustExist = false
  let producer: Naming | undefined
  let at = from
  for (; at < args.length; at++) {
    const left = args.length - at - 1
    const name = args[at]!.length < 16 ? word(args, at) : ''
    if (isAdd && name === '*') break
    if ((name === 'maxlen' || name === 'minid') && left > 0) {
      const wanted = name === 'maxlen' ? 'length' : 'id'
      if (kind !== undefined && kind !== wanted)
        throw new CommandError('ERR syntax error, MAXLEN and MINID options at the same time are not compatible')
      kind = wanted
      isAbout = false
      const sign = word(args, at + 1)
      if (left >= 2 && (sign === '~' || sign === '=')) {
        isAbout = sign === '~'
        at++
      }
      at++
      if (wanted === 'id') min = idArg(args[at])
      else {
        max = integerArg(args[at])
        if (max < 0) throw new CommandError('ERR The MAXLEN argument must be >= 0.')
      }
    } else if (name === 'limit' && left > 0) {
      limit = integerArg(args[++at])
      if (limit < 0) throw new CommandError('ERR The LIMIT argument must be >= 0.')
    } else if (isAdd && name === 'nomkstream') mustExist = true
    else if (isAdd && isNaming(name, left)) {
      if (producer) throw new CommandError('ERR IDMP/IDMPAUTO specified multiple times')
      producer = namingAt(args, at, name)
      at += producer.name ? 2 : 1
    }
    // What is to become of references is for those who have them; see XDELEX.
    else if (name === 'keepref') continue
    else if (isAdd) break
    else throw syntaxError()
  }
  checkLimit(limit, kind, isAbout, isAdd)
  const bound = limit ?? (isAbout ? 100 * togetherOf(client) : 0)
  const common = { isAbout, limit: bound === 0 ? Infinity : bound }
  const trim: Trim | undefined =
    kind === 'length' ? { kind, max, ...common } : kind === 'id' && min ? { kind, min, ...common } : undefined
  return { trim, mustExist, producer, end: at }
}

const star = 42
/** `XADD key * …` */
const plain: TrimOptions = { trim: undefined, mustExist: false, end: 2 }

function checkLimit(limit: number | undefined, kind: Trim['kind'] | undefined, isAbout: boolean, isAdd: boolean): void {
  if (limit !== undefined && kind === undefined)
    throw new CommandError('ERR syntax error, LIMIT cannot be used without specifying a trimming strategy')
  if (!isAdd && kind === undefined)
    throw new CommandError('ERR syntax error, XTRIM must be called with a trimming strategy')
  if (limit !== undefined && !isAbout)
    throw new CommandError('ERR syntax error, LIMIT cannot be used without the special ~ option')
}

function togetherOf({ server }: Client): number {
  const setting = Number(server.settings.get(togetherSetting) ?? togetherDefault)
  return Number.isInteger(setting) && setting > 0 ? setting : togetherDefault
}

/** The offset below which entries go. May throw `NotLoaded`. */
export function cutOf(client: Client, stream: EntryStream, trim: Trim): number {
  const { state } = stream
  const exact = trim.kind === 'length' ? lengthCut(stream, trim.max) : idCut(client, stream, trim.min)
  if (!trim.isAbout) return exact
  const together = togetherOf(client)
  const most = trim.limit >= state.length ? exact : Math.min(exact, state.removed.after(state.first, trim.limit))
  return Math.floor(most / together) * together
}

function lengthCut({ state }: EntryStream, max: number): number {
  const surplus = state.length - max
  return surplus <= 0 ? 0 : state.removed.after(state.first, surplus)
}

function idCut(client: Client, stream: EntryStream, min: EntryId): number {
  const { state } = stream
  if (compareIds(min, state.lastId) > 0) return state.end
  afterOwn(client)
  return worked(client, () => stream.offsetOf(min))
}

function trim(client: Client, args: Args): void {
  const { trim: wanted } = trimOptions(client, args, 2, false)
  const key = keyArg(args, 1)
  const stream = streamAt(client, key)
  if (!stream || !wanted) return client.reply.integer(0)
  const count = stream.trimTo(cutOf(client, stream, wanted))
  if (count > 0) client.keys.changed(key, 't', 'xtrim')
  client.reply.integer(count)
}
