import { storageFull } from '../../../core/refusals.ts'
import { Glob } from '../../../core/routing/glob.ts'
import { CommandError, noSuchKey, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { putStream, streamCopyOf } from '../streams/copying.ts'
import { keyArg, word } from './args.ts'
import type { Args, Client, CommandSpec, Flag } from './command.ts'
import { expiryCommands } from './expiries.ts'

const oneKey = [1, 1, 1] as const
const allKeys = [1, -1, 1] as const
const reads: readonly Flag[] = ['readonly', 'fast']

const generic = (
  name: string,
  arity: number,
  flags: readonly Flag[],
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
  more: Partial<CommandSpec> = {},
): CommandSpec => ({ name, arity, flags, since, group: 'generic', summary, run, ...more })

/** Commands of keys, whatever they name. */
export const genericCommands: readonly CommandSpec[] = [
  generic('del', -2, ['write'], '1.0.0', 'Removes keys.', remove, { keys: allKeys, rights: ['configure'] }),
  generic('unlink', -2, ['write', 'fast'], '4.0.0', 'Removes keys.', remove, { keys: allKeys, rights: ['configure'] }),
  generic('exists', -2, reads, '1.0.0', 'Tells how many of the keys there are.', countPresent, { keys: allKeys }),
  generic('touch', -2, reads, '3.2.1', 'Tells how many of the keys there are.', countPresent, { keys: allKeys }),
  generic(
    'type',
    2,
    reads,
    '1.0.0',
    'Tells what a key names.',
    ({ keys, reply }, args) => reply.simple(keys.typeOf(keyArg(args, 1))?.name ?? 'none'),
    { keys: oneKey },
  ),
  generic('keys', 2, ['readonly'], '1.0.0', 'Tells the keys that match a pattern.', matching),
  generic('scan', -2, ['readonly'], '2.8.0', 'Tells keys, some at a time.', scan),
  generic('randomkey', 1, ['readonly'], '1.0.0', 'Tells some key.', randomKey),
  generic('dbsize', 1, reads, '1.0.0', 'Tells how many keys there are.', ({ keys, reply }) => {
    let count = 0
    for (const _key of keys.keys()) count++
    reply.integer(count)
  }),
  generic(
    'rename',
    3,
    ['write'],
    '1.0.0',
    'Gives a value another key.',
    (client, args) => rename(client, args, false),
    {
      keys: [1, 2, 1],
      rights: ['configure'],
      prepare: prepareRename,
    },
  ),
  generic('renamenx', 3, ['write', 'fast'], '1.0.0', 'The same, if there is no such key.', renameIfNew, {
    keys: [1, 2, 1],
    rights: ['configure'],
    prepare: prepareRename,
  }),
  generic('copy', -3, ['write', 'denyoom'], '6.2.0', 'Gives another key the same value.', copy, {
    keys: [1, 2, 1],
    rights: ['read', 'configure'],
    prepare: prepareRename,
  }),
  ...expiryCommands,
  {
    ...generic('object', -2, [], '2.2.3', 'Tells how a value is kept.', () => {}),
    subcommands: [
      generic('encoding', 3, ['readonly'], '2.2.3', 'Tells how a value is kept.', encoding, { keys: [2, 2, 1] }),
      generic('refcount', 3, ['readonly'], '2.2.3', 'Always 1.', (client, args) => ofPresent(client, args, 1), {
        keys: [2, 2, 1],
      }),
      generic('idletime', 3, ['readonly'], '2.2.3', 'Always 0.', (client, args) => ofPresent(client, args, 0), {
        keys: [2, 2, 1],
      }),
    ],
  },
  generic('flushdb', -1, ['write'], '1.0.0', 'Removes all keys.', flush, { group: 'server' }),
  generic('flushall', -1, ['write'], '1.0.0', 'Removes all keys.', flush, { group: 'server' }),
]

function remove({ keys, reply, broker }: Client, args: Args): void {
  let count = 0
  broker.ledger.atomic(() => {
    for (let at = 1; at < args.length; at++) {
      const key = keyArg(args, at)
      if (!keys.remove(key)) continue
      count++
      keys.changed(key, 'g', 'del')
      keys.grown(key)
    }
  })
  reply.integer(count)
}

function countPresent({ keys, reply }: Client, args: Args): void {
  let count = 0
  for (let at = 1; at < args.length; at++) if (keys.typeOf(keyArg(args, at))) count++
  reply.integer(count)
}

/** Those keys that may be told to this client. */
function seen(client: Client, pattern: Buffer | undefined, type?: string): string[] {
  const text = pattern?.toString('latin1') ?? '*'
  const glob = text === '*' ? undefined : new Glob(text)
  const found = new Set<string>()
  for (const kind of client.keys.types) {
    if (type !== undefined && kind.name !== type) continue
    for (const key of kind.keys()) if (!glob || glob.matches(key)) found.add(key)
  }
  return [...found].filter(key => client.keys.typeOf(key) !== undefined && mayLook(client, key))
}

function mayLook(client: Client, key: string): boolean {
  const { broker, profile, namespace } = client
  const rights = profile.access && broker.identity.inNamespace(profile.access, namespace)
  return rights !== undefined && (rights.may('read', key) || rights.may('write', key) || rights.may('configure', key))
}

function matching(client: Client, args: Args): void {
  const found = seen(client, args[1])
  client.reply.array(found.length)
  for (const key of found) client.reply.binary(key)
}

function randomKey(client: Client): void {
  const found = seen(client, undefined)
  if (found.length === 0) client.reply.nil()
  else client.reply.binary(client.context.random.pick(found))
}

/** Where a key is in the order in which `SCAN` goes through all: what is there all the time is told, whatever comes and goes. */
function placeOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193) >>> 0
  return hash
}

function scan(client: Client, args: Args): void {
  const cursor = Number(args[1]!.toString('latin1', 0, 32))
  if (!/^\d{1,20}$/.test(args[1]!.toString('latin1', 0, 32))) throw new CommandError('ERR invalid cursor')
  let count = 10
  let pattern: Buffer | undefined
  let type: string | undefined
  for (let at = 2; at < args.length; at += 2) {
    const name = word(args, at)
    const value = args[at + 1]
    if (!value) throw syntaxError()
    if (name === 'count') {
      count = integerArg(value)
      if (count < 1) throw syntaxError()
    } else if (name === 'match') pattern = value
    else if (name === 'type') type = value.toString('latin1', 0, 32).toLowerCase()
    else throw syntaxError()
  }
  const all = seen(client, undefined, type)
    .map(key => ({ key, place: placeOf(key) }))
    .filter(({ place }) => place >= cursor)
    .sort((a, b) => a.place - b.place)
  // All keys of one place are told together.
  let end = Math.min(count, all.length)
  while (end > 0 && end < all.length && all[end]!.place === all[end - 1]!.place) end++
  const glob = pattern && new Glob(pattern.toString('latin1'))
  const found = all.slice(0, end).filter(({ key }) => !glob || glob.matches(key))
  client.reply.array(2)
  client.reply.text(String(end < all.length ? all[end]!.place : 0))
  client.reply.array(found.length)
  for (const { key } of found) client.reply.binary(key)
}

function rename({ keys, reply, broker }: Client, args: Args, isNew: boolean): void {
  const from = keyArg(args, 1)
  const to = keyArg(args, 2)
  const type = keys.typeOf(from)
  if (!type) throw noSuchKey()
  if (!type.rename) throw new CommandError(`ERR a ${type.name} cannot be renamed`)
  const expiresMs = broker.values.expiryOf(keys.namespace, from)
  prepareRename({ keys }, args)
  if (broker.cell.isFull) throw storageFull()
  if (from !== to) {
    type.demand?.(to)
    broker.ledger.atomic(() => {
      keys.remove(to)
      type.rename?.(from, to)
      broker.values.remove(keys.namespace, from)
      if (expiresMs !== undefined) broker.values.expire(keys.namespace, to, expiresMs)
    })
    keys.appeared(to)
    keys.changed(from, 'g', 'rename_from')
    keys.changed(to, 'g', 'rename_to')
    keys.grown(to)
  }
  if (isNew) reply.integer(1)
  else reply.ok()
}

function renameIfNew(client: Client, args: Args): void {
  const { keys, reply } = client
  if (!keys.typeOf(keyArg(args, 1))) throw noSuchKey()
  if (keys.typeOf(keyArg(args, 2))) return reply.integer(0)
  rename(client, args, true)
}

/** All elements of a list have to be in memory. */
function prepareRename({ keys }: Pick<Client, 'keys'>, args: Args): void {
  const key = keyArg(args, 1)
  if (keys.typeOf(key)?.name !== 'list') return
  const list = keys.list(key)
  list?.valuesOf(list.offsets('left', list.length))
}

function copy(client: Client, args: Args): void {
  const { keys, reply, broker } = client
  let replaces = false
  for (let at = 3; at < args.length; at++) {
    const name = word(args, at)
    if (name === 'replace') replaces = true
    else if (name === 'db' && at + 1 < args.length) {
      if (integerArg(args[++at]) !== 0) throw new CommandError('ERR DB index is out of range')
    } else throw syntaxError()
  }
  const from = keyArg(args, 1)
  const to = keyArg(args, 2)
  if (from === to) throw new CommandError('ERR source and destination objects are the same')
  const type = keys.typeOf(from)
  if (!type) return reply.integer(0)
  if (keys.typeOf(to) && !replaces) return reply.integer(0)
  prepareRename(client, args)
  const stream = streamCopyOf(client, from)
  const expiresMs = broker.values.expiryOf(keys.namespace, from)
  type.demand?.(to)
  broker.ledger.atomic(() => {
    keys.remove(to)
    if (stream) putStream(client, stream, to)
    else type.copy?.(from, to)
    if (expiresMs !== undefined) broker.values.expire(keys.namespace, to, expiresMs)
  })
  if (!stream) keys.appeared(to)
  keys.changed(to, 'g', 'copy_to')
  keys.grown(to)
  reply.integer(1)
}

function encoding({ keys, reply }: Client, args: Args): void {
  const key = keyArg(args, 2)
  const type = keys.typeOf(key)
  if (type) reply.text(type.encodingOf(key))
  else reply.nil()
}

function ofPresent({ keys, reply }: Client, args: Args, value: number): void {
  if (keys.typeOf(keyArg(args, 2))) reply.integer(value)
  else reply.nil()
}

function flush(client: Client, args: Args): void {
  const { keys, reply, broker } = client
  const how = args.length > 1 ? word(args, 1) : 'sync'
  if (args.length > 2 || (how !== 'sync' && how !== 'async')) throw syntaxError()
  // What others have declared is theirs.
  const all = [...keys.keys()].filter(key => keys.typeOf(key)?.isOwn?.(key) !== false)
  for (const key of all) client.demand('configure', key)
  broker.ledger.atomic(() => {
    for (const key of all) if (keys.remove(key)) keys.changed(key, 'g', 'del')
  })
  for (const key of all) keys.grown(key)
  reply.ok()
}
