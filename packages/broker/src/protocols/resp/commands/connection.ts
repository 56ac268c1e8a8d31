import type { Args, Client, CommandSpec } from './command.ts'
import { hello, auth } from './login.ts'
import { clientCommand } from './clients.ts'
import { CommandError } from '../errors.ts'

export const connectionCommands: readonly CommandSpec[] = [
  {
    name: 'ping',
    arity: -1,
    flags: ['fast', 'loading', 'stale'],
    since: '1.0.0',
    group: 'connection',
    summary: 'Answers PONG, or what it is given.',
    isVolatile: true,
    run: ping,
  },
  {
    name: 'echo',
    arity: 2,
    flags: ['fast', 'loading', 'stale'],
    since: '1.0.0',
    group: 'connection',
    summary: 'Answers what it is given.',
    isVolatile: true,
    run: ({ reply }, args) => reply.bulk(Buffer.from(args[1]!)),
  },
  hello,
  auth,
  {
    name: 'select',
    arity: 2,
    flags: ['fast', 'loading', 'stale'],
    since: '1.0.0',
    group: 'connection',
    summary: 'Chooses a database. There is one, with the number 0.',
    isVolatile: true,
    run: select,
  },
  {
    name: 'quit',
    arity: -1,
    flags: ['fast', 'loading', 'stale', 'no_auth', 'no_multi'],
    since: '1.0.0',
    group: 'connection',
    summary: 'Closes the connection.',
    isVolatile: true,
    run: client => {
      client.reply.ok()
      client.end()
    },
  },
  {
    name: 'reset',
    arity: 1,
    flags: ['fast', 'loading', 'stale', 'no_auth', 'no_multi', 'noscript'],
    since: '6.2.0',
    group: 'connection',
    summary: 'Makes the connection as it was at its beginning.',
    isVolatile: true,
    run: reset,
  },
  clientCommand,
]

function ping({ reply, subscriptions }: Client, args: Args): void {
  if (args.length > 2) throw new CommandError("ERR wrong number of arguments for 'ping' command")
  const [, text] = args
  if (reply.version === 2 && subscriptions.count > 0) {
    reply.array(2)
    reply.text('pong')
    return reply.bulk(text ? Buffer.from(text) : Buffer.alloc(0))
  }
  if (text) reply.bulk(Buffer.from(text))
  else reply.simple('PONG')
}

function select({ reply }: Client, args: Args): void {
  const number = args[1]!.toString('latin1', 0, 32)
  if (!/^-?\d+$/.test(number)) throw new CommandError('ERR value is not an integer or out of range')
  if (Number(number) !== 0) throw new CommandError('ERR DB index is out of range')
  reply.ok()
}

function reset(client: Client): void {
  const { broker, profile, transaction, subscriptions, context, reply } = client
  transaction.end()
  subscriptions.clear()
  client.replyMode = 'on'
  reply.isOn = true
  reply.version = 2
  profile.name = ''
  if (broker.identity.isRequired) client.loggedOut()
  context.log('debug', 'Connection reset')
  reply.simple('RESET')
}
