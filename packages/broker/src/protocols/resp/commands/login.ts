import { CommandError, syntaxError } from '../errors.ts'
import type { Args, Client, CommandSpec } from './command.ts'

const wrong = 'WRONGPASS invalid username-password pair or user is disabled.'
const noPassword =
  'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?'
const strangerHello =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time'

export const auth: CommandSpec = {
  name: 'auth',
  arity: -2,
  flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'no_multi'],
  since: '1.0.0',
  group: 'connection',
  summary: 'Says who the client is: a user and a password.',
  isVolatile: true,
  run(client, args) {
    if (args.length > 3) throw syntaxError()
    const [user, password] = args.length === 3 ? [args[1]!.toString(), args[2]!] : ['default', args[1]!]
    const { isRequired } = client.broker.identity.settings
    if (args.length === 2 && !isRequired) throw new CommandError(noPassword)
    logIn(client, user, password.toString(), () => client.reply.ok())
  },
}

export const hello: CommandSpec = {
  name: 'hello',
  arity: -1,
  flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'no_multi'],
  since: '6.0.0',
  group: 'connection',
  summary: 'Chooses RESP2 or RESP3, and may say who the client is.',
  isVolatile: true,
  run(client, args) {
    const wanted = helloArgs(args)
    const finish = (): void => {
      if (wanted.name !== undefined) client.profile.name = wanted.name
      client.subscriptions.moved(() => (client.reply.version = wanted.version ?? client.reply.version))
      tellServer(client)
    }
    if (wanted.user !== undefined) logIn(client, wanted.user, wanted.password ?? '', finish)
    else if (client.profile.access) finish()
    else throw new CommandError(strangerHello)
  },
}

interface Hello {
  version: 2 | 3 | undefined
  user?: string
  password?: string
  name?: string
}

function helloArgs(args: Args): Hello {
  const wanted: Hello = { version: undefined }
  if (args.length === 1) return wanted
  const version = args[1]!.toString('latin1', 0, 20)
  if (!/^-?\d+$/.test(version)) throw new CommandError('ERR Protocol version is not an integer or out of range')
  if (version !== '2' && version !== '3') throw new CommandError('NOPROTO unsupported protocol version')
  wanted.version = version === '2' ? 2 : 3
  for (let at = 2; at < args.length;) {
    const word = args[at]!.toString('latin1', 0, 20).toUpperCase()
    if (word === 'AUTH' && at + 2 < args.length) {
      wanted.user = args[at + 1]!.toString()
      wanted.password = args[at + 2]!.toString()
      at += 3
    } else if (word === 'SETNAME' && at + 1 < args.length) {
      wanted.name = nameArg(args[at + 1]!)
      at += 2
    } else throw new CommandError(`ERR Syntax error in HELLO option '${args[at]!.toString('latin1', 0, 64)}'`)
  }
  return wanted
}

/** A client's name for itself, without blanks and control characters. */
export function nameArg(text: Buffer): string {
  const name = text.toString('latin1')
  if (!/^[!-~]*$/.test(name)) {
    throw new CommandError('ERR Client names cannot contain spaces, newlines or special characters.')
  }
  return name
}

function logIn(client: Client, user: string, password: string, done: () => void): void {
  const { identity } = client.broker
  const { host } = client.context.remote
  const refuse = (): void => client.reply.error(wrong)
  const enter = (): void => {
    const access = identity.access(user, 'password', host)
    if (!identity.inNamespace(access, client.namespace).mayEnter()) return refuse()
    client.loggedIn(user, access)
    done()
  }
  client.pause(goOn => {
    const end = (isRight: boolean): void => {
      if (isRight) enter()
      else refuse()
      goOn()
    }
    identity.checkPassword(user, password).then(
      isRight => {
        if (isRight) return end(true)
        client.context.log('info', 'A login was refused', { user })
        // Guessing is made slow.
        client.context.clock.after(identity.guesses.wrong(host), () => end(false))
      },
      () => end(false),
    )
  })
}

/** The version of Redis whose commands these are. */
export const redisVersion = '7.4.0'

function tellServer({ reply, id }: Client): void {
  reply.map(7)
  reply.text('server')
  reply.text('redis')
  reply.text('version')
  reply.text(redisVersion)
  reply.text('proto')
  reply.integer(reply.version)
  reply.text('id')
  reply.integer(id)
  reply.text('mode')
  reply.text('standalone')
  reply.text('role')
  reply.text('master')
  reply.text('modules')
  reply.array(0)
}
