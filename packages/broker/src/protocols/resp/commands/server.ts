import { Glob } from '../../../core/routing/glob.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { countArg, floatArg, integerArg } from '../numbers.ts'
import { word } from './args.ts'
import type { Args, Client, CommandSpec } from './command.ts'
import { commandCommand } from './catalogue.ts'
import { Events } from '../events.ts'
import { describeLimits, limitsName, parseLimits } from '../output-limits.ts'
import { infoText } from './info.ts'

const sub = (
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
): CommandSpec => ({
  name,
  arity,
  flags: ['admin', 'noscript', 'loading', 'stale'],
  since,
  group: 'server',
  summary,
  run,
})

/** Commands about the server. */
export const serverCommands: readonly CommandSpec[] = [
  commandCommand,
  {
    name: 'info',
    arity: -1,
    flags: ['loading', 'stale'],
    since: '1.0.0',
    group: 'server',
    summary: 'Tells of the broker, as far as it is what Redis tells.',
    isVolatile: true,
    run: (client, args) =>
      client.reply.verbatim(
        infoText(
          client,
          args.slice(1).map(part => part.toString('latin1').toLowerCase()),
        ),
      ),
  },
  {
    name: 'time',
    arity: 1,
    flags: ['loading', 'stale', 'fast'],
    since: '2.6.0',
    group: 'server',
    summary: 'Tells the time.',
    isVolatile: true,
    run({ reply, nowMs }) {
      reply.array(2)
      reply.text(String(Math.floor(nowMs / 1000)))
      reply.text(String((nowMs % 1000) * 1000))
    },
  },
  {
    name: 'wait',
    arity: 3,
    flags: ['blocking'],
    since: '3.0.0',
    group: 'generic',
    summary: 'Answers 0: there are no replicas. What came before is durable by then.',
    run({ reply }, args) {
      integerArg(args[1])
      demandTimeout(args[2])
      reply.integer(0)
    },
  },
  {
    name: 'waitaof',
    arity: 4,
    flags: ['blocking'],
    since: '7.2.0',
    group: 'generic',
    summary: 'Answers when what came before is durable.',
    run({ reply }, args) {
      const local = integerArg(args[1])
      if (local < 0 || local > 1) throw new CommandError('ERR value is out of range, must be positive')
      countArg(args[2], 'ERR value is out of range, must be positive')
      demandTimeout(args[3])
      reply.array(2)
      reply.integer(1)
      reply.integer(0)
    },
  },
  {
    name: 'lolwut',
    arity: -1,
    flags: ['readonly', 'fast'],
    since: '5.0.0',
    group: 'server',
    summary: 'Tells the version.',
    isVolatile: true,
    run: ({ reply }) => reply.verbatim('Dragoman\n'),
  },
  {
    name: 'role',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast', 'admin'],
    since: '2.8.12',
    group: 'server',
    summary: 'Always a master without replicas.',
    isVolatile: true,
    run({ reply, broker }) {
      reply.array(3)
      reply.text('master')
      reply.integer(broker.cell.position)
      reply.array(0)
    },
  },
  {
    name: 'debug',
    arity: -2,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    since: '1.0.0',
    group: 'server',
    summary: 'For tests of clients.',
    subcommands: [sub('sleep', 3, '1.0.0', 'Answers so many seconds later.', sleep)],
  },
  {
    name: 'config',
    arity: -2,
    flags: [],
    since: '2.0.0',
    group: 'server',
    summary: 'Tells settings, and changes what may be changed.',
    subcommands: [
      sub('get', -3, '2.0.0', 'Tells settings.', configGet),
      sub('set', -4, '2.0.0', 'Changes settings.', configSet),
      sub('resetstat', 2, '2.0.0', 'Begins to count anew.', ({ server, reply }) => {
        server.resetStatistics()
        reply.ok()
      }),
    ],
  },
]

function demandTimeout(text: Buffer | undefined): void {
  const ms = integerArg(text, () => new CommandError('ERR timeout is not an integer or out of range'))
  if (ms < 0) throw new CommandError('ERR timeout is negative')
}

function sleep(client: Client, args: Args): void {
  const ms = floatArg(args[2]!) * 1000
  if (client.isExecuting || !(ms >= 0 && ms <= 60_000)) throw syntaxError()
  client.pause(done => {
    client.context.clock.after(ms, () => {
      client.reply.ok()
      done()
    })
  })
}

/** Settings of Redis that clients ask for, with what they are here. */
const fixed: Readonly<Record<string, string>> = {
  appendfsync: 'always',
  appendonly: 'yes',
  databases: '1',
  maxmemory: '0',
  'maxmemory-policy': 'noeviction',
  save: '',
  'proto-max-bulk-len': String(512 * 1024 * 1024),
  timeout: '0',
  'tcp-keepalive': '300',
}

/** Those that may be set to anything, with what they are in Redis: they are about how it stores things. */
const ofNoEffect: Readonly<Record<string, string>> = {
  'list-max-ziplist-size': '-2',
  'list-max-listpack-size': '-2',
  'list-compress-depth': '0',
  'stream-node-max-entries': '100',
  'stream-node-max-bytes': '4096',
  'lazyfree-lazy-user-del': 'no',
  'latency-tracking': 'yes',
  'slowlog-log-slower-than': '10000',
  hz: '10',
}

function settingsOf({ server, keys }: Client): Map<string, string> {
  const all = new Map(Object.entries({ ...fixed, ...ofNoEffect }))
  all.set('notify-keyspace-events', keys.events.flags)
  all.set(limitsName, describeLimits(server.outputLimit))
  for (const [name, value] of server.settings) all.set(name, value)
  return all
}

function configGet(client: Client, args: Args): void {
  const patterns = args.slice(2).map(part => new Glob(part.toString('latin1').toLowerCase()))
  const found = [...settingsOf(client)].filter(([name]) => patterns.some(pattern => pattern.matches(name)))
  client.reply.map(found.length)
  for (const [name, value] of found) {
    client.reply.text(name)
    client.reply.text(value)
  }
}

function configSet(client: Client, args: Args): void {
  if (args.length % 2 !== 0) throw syntaxError()
  const { keys, server, reply } = client
  client.demand('configure', 'notify-keyspace-events')
  const changes: (() => void)[] = []
  const names = new Set<string>()
  for (let at = 2; at < args.length; at += 2) {
    const name = word(args, at)
    const value = args[at + 1]!.toString('latin1')
    if (names.has(name)) throw notSet(name, 'duplicate parameter')
    names.add(name)
    if (name === 'notify-keyspace-events') {
      if (!Events.areFlags(value)) throw notSet(name, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
      changes.push(() => (keys.events.flags = value))
    } else if (name === limitsName) {
      const limit = parseLimits(value, server.outputLimit)
      changes.push(() => (server.outputLimit = limit))
    } else if (name in ofNoEffect) changes.push(() => server.settings.set(name, value))
    else if (name in fixed) {
      if (fixed[name] !== value) throw notSet(name, "can't set immutable config")
    } else throw new CommandError(`ERR Unknown option or number of arguments for CONFIG SET - '${name}'`)
  }
  for (const change of changes) change()
  reply.ok()
}

const notSet = (name: string, why: string): CommandError =>
  new CommandError(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${why}`)
