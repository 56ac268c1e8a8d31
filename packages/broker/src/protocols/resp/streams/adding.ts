import { compareIds, idMin, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { EntryStream, IdRefusal } from '../../../core/entry-streams/entry-stream.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, noSuchKey } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { recordOfFields } from './fields.ts'
import { idArg, idText, newIdArg } from './ids.ts'
import { addNamed, configCommand, demandNextId, productionOf } from './naming.ts'
import { cutOf, trimOptions, type Trim } from './trimming.ts'
import { afterOwn, gather, noteAdded, streamAt, streamFor, worked, type Gathering } from './stream-client.ts'

/** Commands that add entries, and set what the stream says of itself. */
export const addingCommands: readonly CommandSpec[] = [
  {
    name: 'xadd',
    arity: -5,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Adds an entry, and bounds the stream if it is told how; makes the stream if there is none.',
    run: add,
  },
  {
    name: 'xlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells how many entries there are.',
    run: (client, args) => client.reply.integer(streamAt(client, keyArg(args, 1))?.length ?? 0),
  },
  {
    name: 'xsetid',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Sets the newest id of a stream.',
    run: setId,
  },
  configCommand,
]

const refusals = {
  'id-zero': 'ERR The ID specified in XADD must be greater than 0-0',
  'id-not-greater': 'ERR The ID specified in XADD is equal or smaller than the target stream top item',
  'ids-exhausted': 'ERR The stream has exhausted the last possible ID, unable to add more items',
} as const satisfies Record<IdRefusal, string>

function add(client: Client, args: Args): void {
  const { keys, reply } = client
  const options = trimOptions(client, args, 2, true)
  const fieldsAt = options.end + 1
  const wanted = newIdArg(args[options.end] ?? noId)
  const count = args.length - fieldsAt
  if (count < 2 || count % 2 !== 0) throw new CommandError("ERR wrong number of arguments for 'xadd' command")
  if (typeof wanted === 'object' && !('within' in wanted) && compareIds(wanted, idMin) === 0)
    throw new CommandError(refusals['id-zero'])
  const { producer } = options
  if (producer) demandNextId(wanted)
  const key = keyArg(args, 1)
  const known = streamAt(client, key)
  if (!known && options.mustExist) return reply.nil()
  const repeated = known && producer && client.broker.produced.find(productionOf(known, producer, args, fieldsAt))
  if (repeated) return reply.word(idText(repeated))
  const cut = known && options.trim?.kind === 'id' ? cutOf(client, known, options.trim) : undefined
  const stream = known ?? streamFor(client, key)
  const production = producer && productionOf(stream, producer, args, fieldsAt)
  if (production) client.broker.produced.demandRoom(production)
  const refusal = addNamed(client, stream, production, () =>
    stream.add(recordOfFields(args, fieldsAt), wanted, client.isExecuting),
  )
  if (refusal !== undefined) throw new CommandError(refusals[refusal])
  noteAdded(client)
  reply.word(idText(stream.state.lastId))
  keys.changed(key, 't', 'xadd')
  if (!options.trim) return
  // The new entry cannot be looked for by its id before it is durable; all others have been.
  const isCounted = options.trim.kind === 'length' || isBelow(stream, options.trim)
  const end = isCounted ? cutOf(client, stream, options.trim) : (cut ?? 0)
  if (stream.trimTo(end) > 0) keys.changed(key, 't', 'xtrim')
}

const noId = Buffer.alloc(0)

/** Whether all entries are to go, the new one included. */
const isBelow = ({ state }: EntryStream, trim: Trim): boolean =>
  trim.kind === 'id' && compareIds(trim.min, state.lastId) > 0

function setId(client: Client, args: Args): void {
  const id = idArg(args[2])
  let added = -1
  let maxRemoved: EntryId | undefined
  for (let at = 3; at < args.length; at += 2) {
    const value = args[at + 1]
    const name = word(args, at)
    if (name === 'entriesadded' && value) {
      added = integerArg(value)
      if (added < 0) throw new CommandError('ERR entries_added must be positive')
    } else if (name === 'maxdeletedid' && value) {
      maxRemoved = idArg(value)
      if (compareIds(id, maxRemoved) < 0)
        throw new CommandError('ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id')
    } else throw new CommandError('ERR syntax error')
  }
  const key = keyArg(args, 1)
  const stream = streamAt(client, key)
  if (!stream) throw noSuchKey()
  if (compareIds(id, stream.state.maxRemoved) < 0)
    throw new CommandError('ERR The ID specified in XSETID is smaller than current max_deleted_entry_id')
  afterOwn(client)
  const last = worked(client, () => newestOf(client, stream))
  if (last && compareIds(id, last) < 0)
    throw new CommandError('ERR The ID specified in XSETID is smaller than the target stream top item')
  if (added >= 0 && stream.length > added)
    throw new CommandError('ERR The entries_added specified in XSETID is smaller than the target stream length')
  stream.setLastId(id, added, maxRemoved)
  client.keys.changed(key, 't', 'xsetid')
  client.reply.ok()
}

/** The id of the last entry that is left. */
function newestOf(client: Client, stream: EntryStream): EntryId | undefined | Promise<EntryId | undefined> {
  const found = gather(client, stream, { from: idMin, to: stream.state.lastId, countMax: 1, isBack: true })
  const idOf = (of: Gathering): EntryId | undefined => {
    const entry = of.only()
    return entry && idArg(Buffer.from(entry.id))
  }
  return found instanceof Promise ? found.then(idOf) : idOf(found)
}
