import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import type { Peer } from '../server.ts'
import { word } from './args.ts'
import type { Args, Client, CommandSpec } from './command.ts'
import { nameArg } from './login.ts'

const sub = (
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
  flags: CommandSpec['flags'] = ['noscript', 'loading', 'stale'],
): CommandSpec => ({ name, arity, flags, since, group: 'connection', summary, isVolatile: true, run })

/** About connections. */
export const clientCommand: CommandSpec = {
  name: 'client',
  arity: -2,
  flags: [],
  since: '2.4.0',
  group: 'connection',
  summary: 'Tells of connections, and changes them.',
  subcommands: [
    sub('id', 2, '5.0.0', 'Tells the number of the connection.', ({ reply, id }) => reply.integer(id)),
    sub('getname', 2, '2.6.9', 'Tells the name that the client has given itself.', ({ reply, profile }) => {
      if (profile.name === '') reply.nil()
      else reply.binary(profile.name)
    }),
    sub('setname', 3, '2.6.9', 'Gives the connection a name.', ({ reply, profile }, args) => {
      profile.name = nameArg(args[2]!)
      reply.ok()
    }),
    sub('setinfo', 4, '7.2.0', 'Says what library the client uses.', setInfo),
    sub('info', 2, '6.2.0', 'Tells what is known of the connection.', client => {
      const self = client.server.sessions.get(client.id)
      client.reply.verbatim(self ? `${lineOf(self)}\n` : '')
    }),
    sub('list', -2, '2.4.0', 'Tells what is known of all connections.', list, [
      'admin',
      'noscript',
      'loading',
      'stale',
    ]),
    sub('kill', -3, '2.4.0', 'Closes connections.', kill, ['admin', 'noscript', 'loading', 'stale']),
    sub('unblock', -3, '5.0.0', 'Ends the waiting of a connection.', unblock, [
      'admin',
      'noscript',
      'loading',
      'stale',
    ]),
    sub('reply', 3, '3.2.0', 'Says whether answers are wanted.', replyMode),
    sub('no-evict', 3, '7.0.0', 'Of no effect.', onOrOff),
    sub('no-touch', 3, '7.2.0', 'Of no effect.', onOrOff),
    sub('getredir', 2, '6.0.0', 'Always -1: there is no tracking.', ({ reply }) => reply.integer(-1)),
    sub('tracking', -3, '6.0.0', 'Cannot be switched on.', ({ reply }, args) => {
      if (word(args, 2) !== 'off') throw new CommandError('ERR client tracking is not supported')
      reply.ok()
    }),
  ],
}

function setInfo({ reply, profile }: Client, args: Args): void {
  const name = word(args, 2)
  const value = args[3]!.toString('latin1')
  if (name !== 'lib-name' && name !== 'lib-ver') {
    throw new CommandError(`ERR Unrecognized option '${args[2]!.toString('latin1', 0, 64)}'`)
  }
  if (!/^[!-~]*$/.test(value))
    throw new CommandError(`ERR ${name} cannot contain spaces, newlines or special characters.`)
  if (name === 'lib-name') profile.libraryName = value
  else profile.libraryVersion = value
  reply.ok()
}

function onOrOff({ reply }: Client, args: Args): void {
  const value = word(args, 2)
  if (value !== 'on' && value !== 'off') throw syntaxError()
  reply.ok()
}

/** One connection, as Redis writes it. */
function lineOf(peer: Peer): string {
  const { profile, subscriptions } = peer
  const { remote, local, clock } = peer.context
  const nowMs = clock.monotonicMs()
  const flags =
    `${peer.isBlocked ? 'b' : ''}${subscriptions.count > 0 ? 'P' : ''}${peer.queuedCount >= 0 ? 'x' : ''}` || 'N'
  const fields: [string, string | number][] = [
    ['id', peer.id],
    ['addr', `${remote.host}:${remote.port}`],
    ['laddr', `${local.host}:${local.port}`],
    ['fd', peer.id],
    ['name', profile.name],
    ['age', Math.floor((nowMs - profile.connectedMs) / 1000)],
    ['idle', Math.floor((nowMs - profile.activeMs) / 1000)],
    ['flags', flags],
    ['db', 0],
    ['sub', subscriptions.sizeOf('channel')],
    ['psub', subscriptions.sizeOf('pattern')],
    ['ssub', subscriptions.sizeOf('shard')],
    ['multi', peer.queuedCount],
    ['watch', peer.watchedCount],
    ['qbuf', 0],
    ['qbuf-free', 0],
    ['argv-mem', 0],
    ['multi-mem', 0],
    ['obl', 0],
    ['oll', 0],
    ['omem', peer.queuedBytes],
    ['tot-mem', 0],
    ['events', 'r'],
    ['cmd', profile.lastCommand || 'NULL'],
    ['user', profile.user],
    ['redir', -1],
    ['resp', peer.protocolVersion],
    ['lib-name', profile.libraryName],
    ['lib-ver', profile.libraryVersion],
  ]
  return fields.map(([name, value]) => `${name}=${value}`).join(' ')
}

function typeOf(peer: Peer): string {
  return peer.subscriptions.count > 0 ? 'pubsub' : 'normal'
}

function list(client: Client, args: Args): void {
  let peers = [...client.server.sessions.values()]
  demandAdmin(client)
  const what = word(args, 2)
  if (what === 'type' && args.length === 4) {
    const type = word(args, 3)
    if (!clientTypes.includes(type)) throw unknownType(args[3]!.toString('latin1', 0, 64))
    peers = peers.filter(peer => typeOf(peer) === type)
  } else if (what === 'id' && args.length > 3) {
    const ids = new Set(args.slice(3).map(part => integerArg(part, () => new CommandError('ERR Invalid client ID'))))
    peers = peers.filter(({ id }) => ids.has(id))
  } else if (args.length > 2) throw syntaxError()
  client.reply.verbatim(peers.map(peer => `${lineOf(peer)}\n`).join(''))
}

const clientTypes = ['normal', 'pubsub', 'master', 'replica', 'slave']
const unknownType = (type: string): CommandError => new CommandError(`ERR Unknown client type '${type}'`)

function demandAdmin(client: Client): void {
  const { identity } = client.broker
  if (!identity.settings.isRequired || identity.tagsOf(client.profile.user).includes('administrator')) return
  throw new CommandError('NOPERM this user has no permissions to run this command')
}

function kill(client: Client, args: Args): void {
  demandAdmin(client)
  const { server, reply } = client
  if (args.length === 3) {
    const address = args[2]!.toString('latin1')
    const found = [...server.sessions.values()].find(peer => addressOf(peer) === address)
    if (!found) throw new CommandError('ERR No such client')
    found.end()
    return reply.ok()
  }
  const { matches, skipsMe } = filterOf(args)
  const killed = [...server.sessions.values()].filter(peer => matches(peer) && !(skipsMe && peer.id === client.id))
  reply.integer(killed.length)
  for (const peer of killed) peer.end()
}

const addressOf = ({ context }: Peer): string => `${context.remote.host}:${context.remote.port}`

function filterOf(args: Args): { matches: (peer: Peer) => boolean; skipsMe: boolean } {
  const tests: ((peer: Peer) => boolean)[] = []
  let skipsMe = true
  for (let at = 2; at < args.length; at += 2) {
    const name = word(args, at)
    const value = args[at + 1]?.toString('latin1')
    if (value === undefined) throw syntaxError()
    if (name === 'id') {
      const id = integerArg(args[at + 1], () => new CommandError('ERR client-id should be greater than 0'))
      tests.push(peer => peer.id === id)
    } else if (name === 'type' && !clientTypes.includes(value.toLowerCase())) throw unknownType(value)
    else if (name === 'addr') tests.push(peer => addressOf(peer) === value)
    else if (name === 'laddr') tests.push(({ context: { local } }) => `${local.host}:${local.port}` === value)
    else if (name === 'user') tests.push(({ profile }) => profile.user === value)
    else if (name === 'type') tests.push(peer => typeOf(peer) === value.toLowerCase())
    else if (name === 'skipme' && /^(?:yes|no)$/i.test(value)) skipsMe = value.toLowerCase() === 'yes'
    else throw syntaxError()
  }
  return { matches: peer => tests.every(test => test(peer)), skipsMe }
}

function unblock({ server, reply }: Client, args: Args): void {
  const id = integerArg(args[2])
  const how = args.length > 3 ? word(args, 3) : 'timeout'
  if (args.length > 4 || (how !== 'timeout' && how !== 'error')) {
    throw new CommandError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')
  }
  const error = how === 'error' ? 'UNBLOCKED client unblocked via CLIENT UNBLOCK' : undefined
  reply.integer(server.sessions.get(id)?.unblock(error) === true ? 1 : 0)
}

function replyMode(client: Client, args: Args): void {
  const { reply } = client
  const mode = word(args, 2)
  if (mode === 'on') {
    client.replyMode = 'on'
    reply.isOn = true
    reply.ok()
  } else if (mode === 'off') client.replyMode = 'off'
  else if (mode === 'skip') {
    if (client.replyMode !== 'off') client.replyMode = 'skip-next'
  } else throw syntaxError()
}
