import { Glob } from '../../../core/routing/glob.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { catalogue, keysOf } from './registry.ts'
import { word } from './args.ts'
import type { Args, Client, CommandSpec } from './command.ts'

const sub = (
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
): CommandSpec => ({ name, arity, flags: ['loading', 'stale'], since, group: 'server', summary, isVolatile: true, run })

/** Tells of commands. */
export const commandCommand: CommandSpec = {
  name: 'command',
  arity: -1,
  flags: ['loading', 'stale'],
  since: '2.8.13',
  group: 'server',
  summary: 'Tells of all commands.',
  isVolatile: true,
  run: ({ reply }) => tellAll(reply, [...catalogue.all()]),
  subcommands: [
    sub('count', 2, '2.8.13', 'Tells how many commands there are.', ({ reply }) =>
      reply.integer(catalogue.all().length),
    ),
    sub('info', -2, '2.8.13', 'Tells of some commands.', ({ reply }, args) => {
      if (args.length === 2) return tellAll(reply, [...catalogue.all()])
      tellAll(
        reply,
        args.slice(2).map(part => catalogue.named(part.toString('latin1', 0, 128))),
      )
    }),
    sub('list', -2, '7.0.0', 'Tells the names of commands.', list),
    sub('docs', -2, '7.0.0', 'Tells what commands do.', docs),
    sub('getkeys', -3, '2.8.13', 'Tells which arguments of a command are keys.', getKeys),
  ],
}

function tellAll(reply: Client['reply'], specs: readonly (CommandSpec | undefined)[]): void {
  reply.array(specs.length)
  for (const spec of specs) {
    if (spec) tellOne(reply, spec, '')
    else reply.nil()
  }
}

function tellOne(reply: Client['reply'], spec: CommandSpec, prefix: string): void {
  const { name, arity, keys = [0, 0, 0], subcommands = [] } = spec
  const flags = spec.flags.filter(flag => flag !== 'no_multi')
  reply.array(10)
  reply.text(prefix + name)
  reply.integer(arity)
  reply.set(flags.length)
  for (const flag of flags) reply.simple(flag)
  for (const number of keys) reply.integer(number)
  const categories = categoriesOf(spec)
  reply.set(categories.length)
  for (const category of categories) reply.simple(`@${category}`)
  reply.array(0)
  reply.array(0)
  reply.array(subcommands.length)
  for (const each of subcommands) tellOne(reply, each, `${name}|`)
}

function list({ reply }: Client, args: Args): void {
  let found = catalogue.all()
  if (args.length > 2) {
    if (args.length !== 5 || word(args, 2) !== 'filterby') throw syntaxError()
    const what = args[4]!.toString('latin1', 0, 128).toLowerCase()
    const glob = new Glob(what)
    const filter = word(args, 3)
    if (filter === 'pattern') found = found.filter(({ name }) => glob.matches(name))
    else if (filter === 'aclcat') found = found.filter(spec => categoriesOf(spec).includes(what))
    else if (filter === 'module') found = []
    else throw syntaxError()
  }
  reply.array(found.length)
  for (const { name } of found) reply.text(name)
}

function categoriesOf({ flags, group }: CommandSpec): string[] {
  const found: string[] = []
  if (flags.includes('readonly')) found.push('read')
  if (flags.includes('write')) found.push('write')
  if (flags.includes('blocking')) found.push('blocking')
  if (flags.includes('admin')) found.push('admin', 'dangerous')
  const named: Partial<Record<string, string>> = { generic: 'keyspace', transactions: 'transaction', server: '' }
  const category = named[group] ?? group
  if (category !== '') found.push(category)
  found.push(flags.includes('fast') ? 'fast' : 'slow')
  return found
}

function docs({ reply }: Client, args: Args): void {
  const names = args.slice(2).map(part => part.toString('latin1', 0, 128))
  const specs = names.length === 0 ? catalogue.all() : names.flatMap(name => catalogue.named(name) ?? [])
  reply.map(specs.length)
  for (const spec of specs) tellDocs(reply, spec, '')
}

function tellDocs(
  reply: Client['reply'],
  { name, summary, since, group, subcommands = [] }: CommandSpec,
  prefix: string,
): void {
  reply.text(prefix + name)
  reply.map(subcommands.length > 0 ? 4 : 3)
  for (const [key, value] of Object.entries({ summary, since, group })) {
    reply.text(key)
    reply.text(value)
  }
  if (subcommands.length === 0) return
  reply.text('subcommands')
  reply.map(subcommands.length)
  for (const each of subcommands) tellDocs(reply, each, `${name}|`)
}

function getKeys({ reply }: Client, args: Args): void {
  const rest = args.slice(2)
  const spec = catalogue.named(word(rest, 0))
  if (!spec) throw new CommandError('ERR Invalid command specified')
  if (spec.arity >= 0 ? rest.length !== spec.arity : rest.length < -spec.arity) {
    throw new CommandError('ERR Invalid number of arguments specified for command')
  }
  const found = keysOf(spec, rest)
  if (found.length === 0) throw new CommandError('ERR The command has no key arguments')
  reply.array(found.length)
  for (const at of found) reply.bulk(Buffer.from(rest[at] ?? ''))
}
