import { idMin, type EntryId } from '../../../core/entry-streams/entry-id.ts'
import { helpOf } from './help.ts'
import type { EntryGroup } from '../../../core/entry-streams/entry-group.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { boundArg, idArg } from './ids.ts'
import { shown, streamAt, streamFor } from './stream-client.ts'

const sub = (
  name: string,
  arity: number,
  summary: string,
  run: (client: Client, args: Args) => void,
  since = '5.0.0',
): CommandSpec => ({
  name,
  arity,
  flags: ['write', 'denyoom'],
  keys: [2, 2, 1],
  rights: ['read'],
  since,
  group: 'stream',
  summary,
  run,
})

const helpLines = [
  'XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CREATE <key> <groupname> <id|$> [option]',
  '    Make a group. Options: MKSTREAM, ENTRIESREAD <entries-read>.',
  'CREATECONSUMER <key> <groupname> <consumer>',
  '    Make a consumer of a group.',
  'DELCONSUMER <key> <groupname> <consumer>',
  '    Remove a consumer of a group.',
  'DESTROY <key> <groupname>',
  '    Remove a group.',
  'SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]',
  '    Set how far a group has come.',
  'HELP',
  '    Print this help.',
]

/** Commands that make groups and their consumers, and remove them. */
export const groupCommands: readonly CommandSpec[] = [
  {
    name: 'xgroup',
    arity: -2,
    flags: [],
    since: '5.0.0',
    group: 'stream',
    summary: 'Looks after the groups of a stream.',
    subcommands: [
      sub('create', -5, 'Makes a group.', create),
      sub('setid', -5, 'Sets how far a group has come.', setId),
      sub('destroy', 4, 'Removes a group.', destroy),
      sub('createconsumer', 5, 'Makes a consumer.', createConsumer, '6.2.0'),
      sub('delconsumer', 5, 'Removes a consumer; what it holds is not delivered again.', removeConsumer),
      helpOf(helpLines),
    ],
  },
]

function streamOf(client: Client, key: string): EntryStream {
  const stream = streamAt(client, key)
  if (stream) return stream
  throw new CommandError(
    'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.',
  )
}

function groupOf(client: Client, args: Args): { stream: EntryStream; group: EntryGroup } {
  const key = keyArg(args, 2)
  const name = keyArg(args, 3)
  const stream = streamOf(client, key)
  const group = stream.group(name)
  if (!group) throw new CommandError(`NOGROUP No such consumer group '${shown(name)}' for key name '${shown(key)}'`)
  return { stream, group }
}

interface GroupOptions {
  readonly mayMake: boolean
  readonly entriesRead: number
}

function groupOptions(args: Args, from: number, isNew: boolean): GroupOptions {
  let mayMake = false
  let entriesRead = -1
  for (let at = from; at < args.length; at++) {
    const name = word(args, at)
    if (isNew && name === 'mkstream') mayMake = true
    else if (name === 'entriesread' && at + 1 < args.length) {
      entriesRead = integerArg(args[++at])
      if (entriesRead < 0 && entriesRead !== -1)
        throw new CommandError('ERR value for ENTRIESREAD must be positive or -1')
    } else {
      const name = args[1]!.toString('latin1', 0, 64)
      throw new CommandError(`ERR unknown subcommand or wrong number of arguments for '${name}'. Try XGROUP HELP.`)
    }
  }
  return { mayMake, entriesRead }
}

const isNewest = (text: Buffer): boolean => text.length === 1 && text[0] === 36

const positionOf = (stream: EntryStream | undefined, text: Buffer): EntryId =>
  isNewest(text) ? (stream?.state.lastId ?? idMin) : endOr(text)

/** An id, or `-` or `+` for the ends of all. */
function endOr(text: Buffer): EntryId {
  const { id, isOpen } = boundArg(text, 0)
  return isOpen ? idArg(text) : id
}

function create(client: Client, args: Args): void {
  const { mayMake, entriesRead } = groupOptions(args, 5, true)
  const key = keyArg(args, 2)
  const known = mayMake ? streamAt(client, key) : streamOf(client, key)
  const id = positionOf(known, args[4]!)
  const stream = known ?? streamFor(client, key)
  if (!stream.createGroup(keyArg(args, 3), id, entriesRead))
    throw new CommandError('BUSYGROUP Consumer Group name already exists')
  client.keys.changed(key, 't', 'xgroup-create')
  client.reply.ok()
}

function setId(client: Client, args: Args): void {
  const { entriesRead } = groupOptions(args, 5, false)
  const { stream, group } = groupOf(client, args)
  stream.setGroup(group, positionOf(stream, args[4]!), entriesRead)
  client.keys.changed(keyArg(args, 2), 't', 'xgroup-setid')
  client.reply.ok()
}

function destroy(client: Client, args: Args): void {
  const key = keyArg(args, 2)
  const stream = streamOf(client, key)
  const group = stream.group(keyArg(args, 3))
  if (!group) return client.reply.integer(0)
  stream.removeGroup(group)
  client.keys.changed(key, 't', 'xgroup-destroy')
  client.reply.integer(1)
  // Who waits for it hears of it.
  client.keys.grown(key)
}

function createConsumer(client: Client, args: Args): void {
  const { group } = groupOf(client, args)
  const made = group.createConsumer(keyArg(args, 4))
  if (made) client.keys.changed(keyArg(args, 2), 't', 'xgroup-createconsumer')
  client.reply.integer(made ? 1 : 0)
}

function removeConsumer(client: Client, args: Args): void {
  const { group } = groupOf(client, args)
  const consumer = group.consumer(keyArg(args, 4))
  if (!consumer) return client.reply.integer(0)
  const { pendingCount } = consumer
  group.removeConsumer(consumer)
  client.keys.changed(keyArg(args, 2), 't', 'xgroup-delconsumer')
  client.reply.integer(pendingCount)
}
