import { CommandError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { keyArg, word } from './args.ts'
import type { Args, Client, CommandSpec } from './command.ts'

const oneKey = [1, 1, 1] as const

const expire = (name: string, unitMs: number, isAbsolute: boolean, since: string): CommandSpec => ({
  name,
  arity: -3,
  flags: ['write', 'fast'],
  keys: oneKey,
  rights: ['configure'],
  since,
  group: 'generic',
  summary: isAbsolute ? 'Says when a key ends.' : 'Says how long a key lasts.',
  run: (client, args) => setEnd(client, args, unitMs, isAbsolute),
})

const left = (name: string, unitMs: number, isAbsolute: boolean, since: string): CommandSpec => ({
  name,
  arity: 2,
  flags: ['readonly', 'fast'],
  keys: oneKey,
  since,
  group: 'generic',
  summary: isAbsolute ? 'Tells when a key ends.' : 'Tells how long a key lasts.',
  run({ keys, reply, broker, nowMs }, args) {
    const key = keyArg(args, 1)
    if (!keys.typeOf(key)) return reply.integer(-2)
    const expiresMs = broker.values.expiryOf(keys.namespace, key)
    if (expiresMs === undefined) return reply.integer(-1)
    const ms = isAbsolute ? expiresMs : Math.max(0, expiresMs - nowMs)
    reply.integer(unitMs === 1 ? ms : Math.floor((ms + 500) / 1000))
  },
})

/** Commands about how long keys last. */
export const expiryCommands: readonly CommandSpec[] = [
  expire('expire', 1000, false, '1.0.0'),
  expire('pexpire', 1, false, '2.6.0'),
  expire('expireat', 1000, true, '1.2.0'),
  expire('pexpireat', 1, true, '2.6.0'),
  left('ttl', 1000, false, '1.0.0'),
  left('pttl', 1, false, '2.6.0'),
  left('expiretime', 1000, true, '7.0.0'),
  left('pexpiretime', 1, true, '7.0.0'),
  {
    name: 'persist',
    arity: 2,
    flags: ['write', 'fast'],
    keys: oneKey,
    rights: ['configure'],
    since: '2.2.0',
    group: 'generic',
    summary: 'Makes a key last for ever.',
    run({ keys, reply, broker }, args) {
      const key = keyArg(args, 1)
      if (!keys.typeOf(key) || broker.values.expiryOf(keys.namespace, key) === undefined) return reply.integer(0)
      broker.values.expire(keys.namespace, key, undefined)
      keys.changed(key, 'g', 'persist')
      reply.integer(1)
    },
  },
]

type Condition = 'nx' | 'xx' | 'gt' | 'lt'

function conditionsOf(args: Args): Set<Condition> {
  const found = new Set<Condition>()
  for (let at = 3; at < args.length; at++) {
    const name = word(args, at)
    if (name !== 'nx' && name !== 'xx' && name !== 'gt' && name !== 'lt') {
      throw new CommandError(`ERR Unsupported option ${args[at]!.toString('latin1', 0, 64)}`)
    }
    found.add(name)
  }
  if (found.has('nx') && found.size > 1) {
    throw new CommandError('ERR NX and XX, GT or LT options at the same time are not compatible')
  }
  if (found.has('gt') && found.has('lt')) {
    throw new CommandError('ERR GT and LT options at the same time are not compatible')
  }
  return found
}

function setEnd(client: Client, args: Args, unitMs: number, isAbsolute: boolean): void {
  const { keys, reply, broker, nowMs } = client
  const conditions = conditionsOf(args)
  const value = integerArg(args[2])
  const key = keyArg(args, 1)
  const expiresMs = value * unitMs + (isAbsolute ? 0 : nowMs)
  if (Math.abs(value * unitMs) >= 2 ** 63 || Math.abs(expiresMs) >= 2 ** 63)
    throw new CommandError(`ERR invalid expire time in '${word(args, 0)}' command`)
  if (!keys.typeOf(key)) return reply.integer(0)
  const before = broker.values.expiryOf(keys.namespace, key)
  const isRefused =
    (conditions.has('nx') && before !== undefined) ||
    (conditions.has('xx') && before === undefined) ||
    (conditions.has('gt') && expiresMs <= (before ?? Infinity)) ||
    (conditions.has('lt') && expiresMs >= (before ?? Infinity))
  if (isRefused) return reply.integer(0)
  if (expiresMs <= nowMs) {
    keys.remove(key)
    keys.changed(key, 'g', 'del')
  } else {
    broker.values.expire(keys.namespace, key, Math.min(expiresMs, Number.MAX_SAFE_INTEGER))
    keys.changed(key, 'g', 'expire')
  }
  reply.integer(1)
}
