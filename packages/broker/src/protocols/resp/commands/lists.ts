import type { List, Side } from '../../../core/lists/list.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { countArg, integerArg } from '../numbers.ts'
import { keyArg, word } from './args.ts'
import type { Args, Client, CommandSpec, Flag } from './command.ts'

const writes: readonly Flag[] = ['write', 'denyoom', 'fast']
const takes: readonly Flag[] = ['write', 'fast']
const reads: readonly Flag[] = ['readonly']
const oneKey = [1, 1, 1] as const

const push = (name: string, side: Side, mustExist: boolean, since: string, summary: string): CommandSpec => ({
  name,
  arity: -3,
  flags: writes,
  keys: oneKey,
  since,
  group: 'list',
  summary,
  run: (client, args) => pushed(client, args, side, mustExist),
})

const pop = (name: string, side: Side, summary: string): CommandSpec => ({
  name,
  arity: -2,
  flags: takes,
  keys: oneKey,
  rights: ['read'],
  since: '1.0.0',
  group: 'list',
  summary,
  run: (client, args) => popped(client, args, side),
  prepare: ({ keys }, args) =>
    keys.list(keyArg(args, 1))?.prepare(side, (Number(args[2]?.toString()) || 1) + aheadOfTransaction),
})

/** Elements at each end that a transaction may take besides those that a command says. */
export const aheadOfTransaction = 64

/** Commands that push, pop and look. */
export const listCommands: readonly CommandSpec[] = [
  push(
    'lpush',
    'left',
    false,
    '1.0.0',
    'Adds elements at the left end, one after the other; makes the list if there is none.',
  ),
  push('rpush', 'right', false, '1.0.0', 'Adds elements at the right end; makes the list if there is none.'),
  push('lpushx', 'left', true, '2.2.0', 'Adds elements at the left end if there is such a list.'),
  push('rpushx', 'right', true, '2.2.0', 'Adds elements at the right end if there is such a list.'),
  pop('lpop', 'left', 'Takes elements from the left end.'),
  pop('rpop', 'right', 'Takes elements from the right end.'),
  {
    name: 'llen',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: oneKey,
    since: '1.0.0',
    group: 'list',
    summary: 'Tells how many elements there are.',
    run: ({ keys, reply }, args) => reply.integer(keys.list(keyArg(args, 1))?.length ?? 0),
  },
  {
    name: 'lrange',
    arity: 4,
    flags: reads,
    keys: oneKey,
    since: '1.0.0',
    group: 'list',
    summary: 'Tells elements from one place to another.',
    run: (client, args) => {
      const values = ranged(client, args)
      client.reply.array(values.length)
      for (const value of values) client.reply.bulk(value)
    },
    prepare: (client, args) => void ranged(client, args),
  },
  {
    name: 'lindex',
    arity: 3,
    flags: reads,
    keys: oneKey,
    since: '1.0.0',
    group: 'list',
    summary: 'Tells the element at a place.',
    run: (client, args) => {
      const value = elementAt(client, args)
      if (value) client.reply.bulk(value)
      else client.reply.nil()
    },
    prepare: (client, args) => void elementAt(client, args),
  },
  {
    name: 'lpos',
    arity: -3,
    flags: reads,
    keys: oneKey,
    since: '6.0.6',
    group: 'list',
    summary: 'Tells at which places an element is.',
    run: positions,
    prepare: ({ keys }, args) => void allOf(keys.list(keyArg(args, 1))),
  },
]

function pushed({ keys, reply }: Client, args: Args, side: Side, mustExist: boolean): void {
  const key = keyArg(args, 1)
  const list = mustExist ? keys.list(key) : keys.listForPush(key)
  if (!list) return reply.integer(0)
  list.push(side, args.slice(2))
  keys.changed(key, 'l', side === 'left' ? 'lpush' : 'rpush')
  // As it was before anybody who waits gets some of it.
  reply.integer(list.length)
  keys.grown(key)
}

function popped({ keys, reply }: Client, args: Args, side: Side): void {
  if (args.length > 3) throw new CommandError(`ERR wrong number of arguments for '${word(args, 0)}' command`)
  const key = keyArg(args, 1)
  const hasCount = args.length === 3
  const wanted = hasCount ? countArg(args[2], 'ERR value is out of range, must be positive') : 1
  const list = keys.list(key)
  if (!list) return hasCount ? reply.nilArray() : reply.nil()
  if (!hasCount) reply.bulk(take(list, side))
  else {
    const values = takeMany(list, side, wanted)
    reply.array(values.length)
    for (const value of values) reply.bulk(value)
    if (values.length === 0) return
  }
  keys.changed(key, 'l', side === 'left' ? 'lpop' : 'rpop')
  keys.taken(key, list)
}

/** One element of a list that has some. */
export function take(list: List, side: Side): Buffer {
  const value = list.pop(side)
  if (!value) throw new CommandError('ERR the list has changed')
  return value
}

/** Up to `count` elements, taken at once. */
export function takeMany(list: List, side: Side, count: number): Buffer[] {
  const offsets = list.offsets(side, Math.min(count, list.length))
  const values = list.valuesOf(offsets)
  list.remove(offsets)
  return values
}

/** Places from `start` to `end`, counted from the right end when they are negative, within the list. */
export function placesOf(list: List, start: number, end: number): [number, number] {
  const { length } = list
  const from = start < 0 ? Math.max(0, length + start) : start
  const to = end < 0 ? length + end : Math.min(end, length - 1)
  return [from, to]
}

function ranged({ keys }: Client, args: Args): Buffer[] {
  const start = integerArg(args[2])
  const end = integerArg(args[3])
  const list = keys.list(keyArg(args, 1))
  if (!list) return []
  const [from, to] = placesOf(list, start, end)
  return list.valuesOf(list.between(from, to))
}

/** The offset of the element at a place; undefined when there is none. */
export function offsetAt(list: List, place: number): number | undefined {
  const at = place < 0 ? list.length + place : place
  return at < 0 || at >= list.length ? undefined : list.between(at, at)[0]
}

function elementAt({ keys }: Client, args: Args): Buffer | undefined {
  const place = integerArg(args[2])
  const list = keys.list(keyArg(args, 1))
  const offset = list && offsetAt(list, place)
  return list && offset !== undefined ? list.valuesOf([offset])[0] : undefined
}

/** All elements, from the left. */
export function allOf(list: List | undefined): Buffer[] {
  return list ? list.valuesOf(list.offsets('left', list.length)) : []
}

interface PositionOptions {
  rank: number
  count: number | undefined
  maxLength: number
}

function positionOptions(args: Args): PositionOptions {
  const options: PositionOptions = { rank: 1, count: undefined, maxLength: 0 }
  for (let at = 3; at < args.length; at += 2) {
    const name = word(args, at)
    const value = args[at + 1]
    if (!value) throw syntaxError()
    if (name === 'rank') {
      const rank = integerArg(value)
      if (rank === 0) {
        throw new CommandError(
          "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
        )
      }
      if (rank <= -(2 ** 63))
        throw new CommandError(
          'ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807',
        )
      options.rank = rank
    } else if (name === 'count') options.count = countArg(value, "ERR COUNT can't be negative")
    else if (name === 'maxlen') options.maxLength = countArg(value, "ERR MAXLEN can't be negative")
    else throw syntaxError()
  }
  return options
}

function positions({ keys, reply }: Client, args: Args): void {
  const { rank, count, maxLength } = positionOptions(args)
  const wanted = args[2]!
  const values = allOf(keys.list(keyArg(args, 1)))
  const { length } = values
  const most = count === undefined ? 1 : count === 0 ? Infinity : count
  const isBack = rank < 0
  const end = maxLength === 0 ? length : Math.min(length, maxLength)
  const found: number[] = []
  let skip = Math.abs(rank) - 1
  for (let step = 0; step < end && found.length < most; step++) {
    const at = isBack ? length - 1 - step : step
    if (!values[at]!.equals(wanted)) continue
    if (skip > 0) skip--
    else found.push(at)
  }
  if (count === undefined) {
    if (found[0] === undefined) reply.nil()
    else reply.integer(found[0])
    return
  }
  reply.array(found.length)
  for (const at of found) reply.integer(at)
}
