import { CommandError, notAnInteger, notAFloat, syntaxError } from '../errors.ts'
import { longDoubleOf, sumOf, textOf } from '../long-double.ts'
import { bigintArg, bigintOf, integerArg } from '../numbers.ts'
import { keyArg, word } from './args.ts'
import type { Args, Client, CommandSpec, Flag } from './command.ts'
import { expiryOption, expiryMs } from './expiry.ts'

const oneKey = [1, 1, 1] as const
const writes: readonly Flag[] = ['write', 'denyoom']
const quickWrites: readonly Flag[] = ['write', 'denyoom', 'fast']
/** They add nothing. */
const takes: readonly Flag[] = ['write', 'fast']
const quickReads: readonly Flag[] = ['readonly', 'fast']
const valueBytesMax = 512 * 1024 * 1024

const string = (
  name: string,
  arity: number,
  flags: readonly Flag[],
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
  keys: readonly [number, number, number] = oneKey,
): CommandSpec => ({ name, arity, flags, keys, since, group: 'string', summary, run })

/** Commands of single values. */
export const stringCommands: readonly CommandSpec[] = [
  string('get', 2, quickReads, '1.0.0', 'Tells the value of a key.', ({ keys, reply }, args) => {
    tell(reply, keys.string(keyArg(args, 1)))
  }),
  string('set', -3, writes, '1.0.0', 'Gives a key a value.', set),
  string('setnx', 3, quickWrites, '1.0.0', 'Gives a key a value if there is no such key.', (client, args) => {
    const { keys, reply } = client
    const key = keyArg(args, 1)
    if (keys.typeOf(key)) return reply.integer(0)
    put(client, key, args[2]!)
    reply.integer(1)
  }),
  string('setex', 4, writes, '2.0.0', 'Gives a key a value for some seconds.', (client, args) => {
    putFor(client, args, 1000, 'setex')
  }),
  string('psetex', 4, writes, '2.6.0', 'Gives a key a value for some milliseconds.', (client, args) => {
    putFor(client, args, 1, 'psetex')
  }),
  string('getset', 3, quickWrites, '1.0.0', 'Gives a key another value and tells the old one.', (client, args) => {
    const key = keyArg(args, 1)
    const before = client.keys.string(key)
    if (!before) client.keys.missed(key)
    put(client, key, args[2]!)
    tell(client.reply, before)
  }),
  string('getdel', 2, takes, '6.2.0', 'Tells the value of a key and removes it.', ({ keys, reply }, args) => {
    const key = keyArg(args, 1)
    const value = keys.string(key)
    if (value) {
      keys.remove(key)
      keys.changed(key, 'g', 'del')
    }
    tell(reply, value)
  }),
  string('getex', -2, takes, '6.2.0', 'Tells the value of a key and sets until when it lasts.', getAndExpire),
  string('mget', -2, quickReads, '1.0.0', 'Tells the values of several keys.', getMany, [1, -1, 1]),
  string(
    'mset',
    -3,
    writes,
    '1.0.1',
    'Gives several keys values.',
    (client, args) => setMany(client, args),
    [1, -1, 2],
  ),
  string('msetnx', -3, writes, '1.0.1', 'Gives several keys values if there is none of them.', setManyNew, [1, -1, 2]),
  string('incr', 2, quickWrites, '1.0.0', 'Adds one.', (client, args) => add(client, args, 1n)),
  string('decr', 2, quickWrites, '1.0.0', 'Takes one away.', (client, args) => add(client, args, -1n)),
  string('incrby', 3, quickWrites, '1.0.0', 'Adds a whole number.', (client, args) => {
    add(client, args, bigintArg(args[2]!))
  }),
  string('decrby', 3, quickWrites, '1.0.0', 'Takes a whole number away.', (client, args) => {
    const by = bigintArg(args[2]!)
    if (by === -(2n ** 63n)) throw new CommandError('ERR decrement would overflow')
    add(client, args, -by)
  }),
  string('incrbyfloat', 3, quickWrites, '2.6.0', 'Adds a number.', addFloat),
  string('append', 3, quickWrites, '2.0.0', 'Adds bytes at the end of a value.', append),
  string('strlen', 2, quickReads, '2.2.0', 'Tells how many bytes a value has.', ({ keys, reply }, args) => {
    reply.integer(keys.string(keyArg(args, 1))?.length ?? 0)
  }),
  string('getrange', 4, ['readonly'], '2.4.0', 'Tells part of a value.', getRange),
  string('substr', 4, ['readonly'], '1.0.0', 'The old name of GETRANGE.', getRange),
  string('setrange', 4, writes, '2.2.0', 'Puts bytes into a value.', setRange),
]

function tell(reply: Client['reply'], value: Buffer | undefined): void {
  if (value) reply.bulk(value)
  else reply.nil()
}

function put({ keys }: Client, key: string, value: Uint8Array, expiresMs?: number, event = 'set'): void {
  keys.setString(key, value, expiresMs)
  keys.changed(key, '$', event)
}

interface SetOptions {
  condition: 'nx' | 'xx' | undefined
  tellsOld: boolean
  expiry: ReturnType<typeof expiryOption> | 'keep'
}

function setOptions(args: Args): SetOptions {
  const options: SetOptions = { condition: undefined, tellsOld: false, expiry: undefined }
  for (let at = 3; at < args.length; at++) {
    const name = word(args, at)
    if (name === 'nx' || name === 'xx') {
      if (options.condition !== undefined && options.condition !== name) throw syntaxError()
      options.condition = name
    } else if (name === 'get') options.tellsOld = true
    else {
      if (options.expiry !== undefined) throw syntaxError()
      if (name === 'keepttl') options.expiry = 'keep'
      else {
        options.expiry = expiryOption(args, at)
        if (!options.expiry) throw syntaxError()
        at++
      }
    }
  }
  return options
}

function set(client: Client, args: Args): void {
  const { keys, reply, broker, namespace } = client
  const { condition, tellsOld, expiry } = setOptions(args)
  const key = keyArg(args, 1)
  const expiresMs =
    expiry === 'keep' ? broker.values.expiryOf(namespace, key) : expiry && expiryMs(expiry, client.nowMs, 'set')
  const before = tellsOld ? keys.string(key) : undefined
  if (tellsOld && !before) keys.missed(key)
  const isThere = keys.typeOf(key) !== undefined
  const isDone = condition === undefined || (condition === 'xx') === isThere
  if (isDone) {
    put(client, key, args[2]!, expiresMs)
    if (expiry !== undefined && expiry !== 'keep') keys.changed(key, 'g', 'expire')
  }
  if (tellsOld) tell(reply, before)
  else if (isDone) reply.ok()
  else reply.nil()
}

function putFor(client: Client, args: Args, unitMs: number, command: string): void {
  const key = keyArg(args, 1)
  const expiresMs = expiryMs({ text: args[2], unitMs, isAbsolute: false }, client.nowMs, command)
  put(client, key, args[3]!, expiresMs)
  client.keys.changed(key, 'g', 'expire')
  client.reply.ok()
}

function getAndExpire(client: Client, args: Args): void {
  const { keys, reply, broker, namespace } = client
  const key = keyArg(args, 1)
  const persists = args.length === 3 && word(args, 2) === 'persist'
  const expiry = args.length === 4 ? expiryOption(args, 2) : undefined
  if (args.length > 2 && !persists && !expiry) throw syntaxError()
  const value = keys.string(key)
  if (!value) return reply.nil()
  const expiresMs = expiry && expiryMs(expiry, client.nowMs, 'getex')
  tell(reply, value)
  if (persists) {
    if (broker.values.expiryOf(namespace, key) === undefined) return
    broker.values.expire(namespace, key, undefined)
    keys.changed(key, 'g', 'persist')
  } else if (expiresMs !== undefined) {
    if (expiresMs <= client.nowMs) keys.remove(key)
    else broker.values.expire(namespace, key, expiresMs)
    keys.changed(key, 'g', expiresMs <= client.nowMs ? 'del' : 'expire')
  }
}

function getMany({ keys, reply, broker, namespace }: Client, args: Args): void {
  reply.array(args.length - 1)
  for (let at = 1; at < args.length; at++) {
    const key = keyArg(args, at)
    broker.values.touch(namespace, key)
    const value = keys.typeOf(key)?.name === 'string' ? keys.string(key) : undefined
    tell(reply, value)
  }
}

function checkPairs(args: Args): void {
  if (args.length % 2 === 0) throw new CommandError(`ERR wrong number of arguments for '${word(args, 0)}' command`)
}

function setAll(client: Client, args: Args): void {
  client.broker.ledger.atomic(() => {
    for (let at = 1; at < args.length; at += 2) put(client, keyArg(args, at), args[at + 1]!)
  })
}

function setMany(client: Client, args: Args): void {
  checkPairs(args)
  setAll(client, args)
  client.reply.ok()
}

function setManyNew(client: Client, args: Args): void {
  checkPairs(args)
  for (let at = 1; at < args.length; at += 2) if (client.keys.typeOf(keyArg(args, at))) return client.reply.integer(0)
  setAll(client, args)
  client.reply.integer(1)
}

/** The value changes, and lasts as long as before. */
function change(client: Client, key: string, value: Buffer, event: string): void {
  const { keys, broker, namespace } = client
  keys.setString(key, value, broker.values.expiryOf(namespace, key))
  keys.changed(key, '$', event)
}

function add(client: Client, args: Args, by: bigint): void {
  const key = keyArg(args, 1)
  const before = client.keys.string(key)
  const value = before ? bigintOf(before) : 0n
  if (value === undefined) throw notAnInteger()
  const sum = value + by
  if (sum >= 2n ** 63n || sum < -(2n ** 63n)) throw new CommandError('ERR increment or decrement would overflow')
  change(client, key, Buffer.from(String(sum)), 'incrby')
  client.reply.integer(sum)
}

function addFloat(client: Client, args: Args): void {
  const key = keyArg(args, 1)
  const before = client.keys.string(key)
  const values = [before ?? noNumber, args[2]!].map(part => part.toString('latin1'))
  const [value, by] = values.map(longDoubleOf)
  if (values.some(text => !longDoubleOf(text) && !infinite.test(text))) throw notAFloat()
  const sum = value && by && sumOf(value, by)
  if (!sum) throw sumTooLarge()
  const text = Buffer.from(textOf(sum))
  change(client, key, text, 'incrbyfloat')
  client.reply.bulk(text)
}

const infinite = /^[+-]?inf(?:inity)?$/i
const noNumber = Buffer.from('0')
const sumTooLarge = (): CommandError => new CommandError('ERR increment would produce NaN or Infinity')

function append(client: Client, args: Args): void {
  const key = keyArg(args, 1)
  const value = Buffer.concat([client.keys.string(key) ?? nothing, args[2]!])
  checkSize(value.length)
  change(client, key, value, 'append')
  client.reply.integer(value.length)
}

function getRange({ keys, reply }: Client, args: Args): void {
  const start = integerArg(args[2])
  const end = integerArg(args[3])
  const value = keys.string(keyArg(args, 1)) ?? nothing
  const { length } = value
  if (start < 0 && end < 0 && start > end) return reply.bulk(nothing)
  const from = start < 0 ? Math.max(0, length + start) : start
  const to = end < 0 ? Math.max(0, length + end) : Math.min(end, length - 1)
  reply.bulk(length === 0 || from > to ? nothing : value.subarray(from, to + 1))
}

function setRange(client: Client, args: Args): void {
  const offset = integerArg(args[2])
  if (offset < 0) throw new CommandError('ERR offset is out of range')
  const key = keyArg(args, 1)
  const before = client.keys.string(key) ?? nothing
  const part = args[3]!
  if (part.length === 0) return client.reply.integer(before.length)
  checkSize(offset + part.length)
  const value = Buffer.alloc(Math.max(before.length, offset + part.length))
  before.copy(value)
  part.copy(value, offset)
  change(client, key, value, 'setrange')
  client.reply.integer(value.length)
}

function checkSize(bytes: number): void {
  if (bytes > valueBytesMax) throw new CommandError('ERR string exceeds maximum allowed size (proto-max-bulk-len)')
}

const nothing = Buffer.alloc(0)
