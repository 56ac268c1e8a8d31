import type { Side } from '../../../core/lists/list.ts'
import { CommandError, noSuchKey, syntaxError } from '../errors.ts'
import { integerArg, timeoutArg } from '../numbers.ts'
import { keyArg, word } from './args.ts'
import type { Args, Client, CommandSpec } from './command.ts'
import { countedKeys } from './counted.ts'
import { aheadOfTransaction, allOf, offsetAt, placesOf, take, takeMany } from './lists.ts'

const oneKey = [1, 1, 1] as const

/** Commands that change lists within, bring elements from one to another, or wait for them. */
export const listChangeCommands: readonly CommandSpec[] = [
  {
    name: 'lset',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: oneKey,
    since: '1.0.0',
    group: 'list',
    summary: 'Puts another element at a place.',
    run: replaced,
  },
  {
    name: 'linsert',
    arity: 5,
    flags: ['write', 'denyoom'],
    keys: oneKey,
    since: '2.2.0',
    group: 'list',
    summary: 'Adds an element before or after another one.',
    run: inserted,
    prepare: ({ keys }, args) => void allOf(keys.list(keyArg(args, 1))),
  },
  {
    name: 'lrem',
    arity: 4,
    flags: ['write'],
    keys: oneKey,
    rights: ['read'],
    since: '1.0.0',
    group: 'list',
    summary: 'Takes out elements that are equal to one.',
    run: removed,
    prepare: ({ keys }, args) => void allOf(keys.list(keyArg(args, 1))),
  },
  {
    name: 'ltrim',
    arity: 4,
    flags: ['write'],
    keys: oneKey,
    rights: ['read'],
    since: '1.0.0',
    group: 'list',
    summary: 'Leaves only the elements from one place to another.',
    run: trimmed,
  },
  {
    name: 'lmove',
    arity: 5,
    flags: ['write', 'denyoom'],
    keys: [1, 2, 1],
    rights: ['read', 'write'],
    since: '6.2.0',
    group: 'list',
    summary: 'Takes an element from one end of a list and adds it at one end of another.',
    run: (client, args) => move(client, moveOf(args), () => client.reply.nil()),
    prepare: (client, args) => prepareMove(client, moveOf(args)),
  },
  {
    name: 'rpoplpush',
    arity: 3,
    flags: ['write', 'denyoom'],
    keys: [1, 2, 1],
    rights: ['read', 'write'],
    since: '1.2.0',
    group: 'list',
    summary: 'Takes an element from the right end of a list and adds it at the left end of another.',
    run: (client, args) => move(client, rightToLeft(args), () => client.reply.nil()),
    prepare: (client, args) => prepareMove(client, rightToLeft(args)),
  },
  {
    name: 'blmove',
    arity: 6,
    flags: ['write', 'denyoom', 'blocking'],
    keys: [1, 2, 1],
    rights: ['read', 'write'],
    since: '6.2.0',
    group: 'list',
    summary: 'Like LMOVE, and waits for an element.',
    run: (client, args) => {
      const step = moveOf(args)
      waitToMove(client, step, timeoutArg(args[5]))
    },
    prepare: (client, args) => prepareMove(client, moveOf(args)),
  },
  {
    name: 'brpoplpush',
    arity: 4,
    flags: ['write', 'denyoom', 'blocking'],
    keys: [1, 2, 1],
    rights: ['read', 'write'],
    since: '2.2.0',
    group: 'list',
    summary: 'Like RPOPLPUSH, and waits for an element.',
    run: (client, args) => waitToMove(client, rightToLeft(args), timeoutArg(args[3])),
    prepare: (client, args) => prepareMove(client, rightToLeft(args)),
  },
  blockingPop('blpop', 'left'),
  blockingPop('brpop', 'right'),
  {
    name: 'lmpop',
    arity: -4,
    flags: ['write', 'movablekeys'],
    keysOf: args => countedKeys(args, 1),
    rights: ['read'],
    since: '7.0.0',
    group: 'list',
    summary: 'Takes elements from the first of several lists that has any.',
    run: (client, args) => {
      const wanted = manyOf(args, 1)
      if (!wanted.keys.some(key => popMany(client, key, wanted))) client.reply.nilArray()
    },
    prepare: (client, args) => prepareMany(client, manyOf(args, 1)),
  },
  {
    name: 'blmpop',
    arity: -5,
    flags: ['write', 'blocking', 'movablekeys'],
    keysOf: args => countedKeys(args, 2),
    rights: ['read'],
    since: '7.0.0',
    group: 'list',
    summary: 'Like LMPOP, and waits for elements.',
    run: (client, args) => {
      const wanted = manyOf(args, 2)
      const timeoutMs = timeoutArg(args[1])
      serveOrWait(
        client,
        wanted.keys,
        timeoutMs,
        key => popMany(client, key, wanted),
        () => client.reply.nilArray(),
      )
    },
    prepare: (client, args) => prepareMany(client, manyOf(args, 2)),
  },
]

function replaced({ keys, reply }: Client, args: Args): void {
  const key = keyArg(args, 1)
  const list = keys.list(key)
  if (!list) throw noSuchKey()
  const place = integerArg(args[2])
  const offset = offsetAt(list, place)
  if (offset === undefined) throw new CommandError('ERR index out of range')
  list.replace(offset, args[3]!)
  keys.changed(key, 'l', 'lset')
  reply.ok()
}

function inserted({ keys, reply }: Client, args: Args): void {
  const where = word(args, 2)
  if (where !== 'before' && where !== 'after') throw syntaxError()
  const key = keyArg(args, 1)
  const list = keys.list(key)
  if (!list) return reply.integer(0)
  const at = allOf(list).findIndex(value => value.equals(args[3]!))
  if (at < 0) return reply.integer(-1)
  list.insert(offsetAt(list, at)!, where === 'before' ? 'left' : 'right', args[4]!)
  keys.changed(key, 'l', 'linsert')
  reply.integer(list.length)
}

function removed({ keys, reply }: Client, args: Args): void {
  const count = integerArg(args[2])
  const key = keyArg(args, 1)
  const list = keys.list(key)
  if (!list) return reply.integer(0)
  const side: Side = count < 0 ? 'right' : 'left'
  const most = count === 0 ? Infinity : Math.abs(count)
  const offsets = list.offsets(side, list.length)
  const values = list.valuesOf(offsets)
  const gone: number[] = []
  for (let at = 0; at < values.length && gone.length < most; at++) {
    if (values[at]!.equals(args[3]!)) gone.push(offsets[at]!)
  }
  if (gone.length > 0) {
    list.remove(gone)
    keys.changed(key, 'l', 'lrem')
    keys.taken(key, list)
  }
  reply.integer(gone.length)
}

function trimmed({ keys, reply }: Client, args: Args): void {
  const start = integerArg(args[2])
  const end = integerArg(args[3])
  const key = keyArg(args, 1)
  const list = keys.list(key)
  if (!list) return reply.ok()
  const [from, to] = placesOf(list, start, end)
  list.trim(from, to)
  keys.changed(key, 'l', 'ltrim')
  keys.taken(key, list)
  reply.ok()
}

/** An element on its way. */
interface MoveStep {
  readonly source: string
  readonly target: string
  readonly from: Side
  readonly to: Side
}

function sideOf(text: string): Side {
  if (text !== 'left' && text !== 'right') throw syntaxError()
  return text
}

const moveOf = (args: Args): MoveStep => ({
  source: keyArg(args, 1),
  target: keyArg(args, 2),
  from: sideOf(word(args, 3)),
  to: sideOf(word(args, 4)),
})

const rightToLeft = (args: Args): MoveStep => ({
  source: keyArg(args, 1),
  target: keyArg(args, 2),
  from: 'right',
  to: 'left',
})

/** Moves an element and answers with it; or calls `nothing` when there is none. */
function move(client: Client, step: MoveStep, nothing: () => void): void {
  if (!moved(client, step)) nothing()
}

function moved({ keys, reply, broker }: Client, { source, target, from, to }: MoveStep): boolean {
  const list = keys.list(source)
  if (!list) return false
  keys.list(target)
  // Before anything is changed: it may have to be read.
  const offsets = list.offsets(from, 1)
  const [value] = list.valuesOf(offsets)
  if (!value) return false
  broker.ledger.atomic(() => {
    // First what may be refused.
    keys.listForPush(target).push(to, [value])
    list.remove(offsets)
  })
  reply.bulk(value)
  keys.changed(target, 'l', to === 'left' ? 'lpush' : 'rpush')
  keys.changed(source, 'l', from === 'left' ? 'lpop' : 'rpop')
  keys.taken(source, list)
  keys.grown(target)
  return true
}

function prepareMove({ keys }: Client, { source, target, from }: MoveStep): void {
  keys.list(source)?.prepare(from, aheadOfTransaction)
  keys.list(target)
}

function waitToMove(client: Client, step: MoveStep, timeoutMs: number): void {
  const isMoved = (): boolean => moved(client, step)
  const { reply, isExecuting } = client
  serveOrWait(client, [step.source], timeoutMs, isMoved, () => (isExecuting ? reply.nil() : reply.nilArray()))
}

function blockingPop(name: 'blpop' | 'brpop', side: Side): CommandSpec {
  const event = side === 'left' ? 'lpop' : 'rpop'
  const pop = ({ keys, reply }: Client, key: string): boolean => {
    const list = keys.list(key)
    if (!list) return false
    const value = take(list, side)
    reply.array(2)
    reply.binary(key)
    reply.bulk(value)
    keys.changed(key, 'l', event)
    keys.taken(key, list)
    return true
  }
  return {
    name,
    arity: -3,
    flags: ['write', 'blocking'],
    keys: [1, -2, 1],
    rights: ['read'],
    since: '2.0.0',
    group: 'list',
    summary: `Takes an element from the ${side} end of the first list that has any, and waits for one.`,
    run(client, args) {
      const timeoutMs = timeoutArg(args.at(-1))
      const names = args.slice(1, -1).map(part => part.toString('latin1'))
      serveOrWait(
        client,
        names,
        timeoutMs,
        key => pop(client, key),
        () => client.reply.nilArray(),
      )
    },
    prepare(client, args) {
      for (let at = 1; at < args.length - 1; at++) client.keys.list(keyArg(args, at))?.prepare(side, aheadOfTransaction)
    },
  }
}

/** Serves from the first key that has anything; else waits, unless nothing may wait now. */
function serveOrWait(
  client: Client,
  names: readonly string[],
  timeoutMs: number,
  serve: (key: string) => boolean,
  timedOut: () => void,
): void {
  for (const key of names) if (serve(key)) return
  if (client.isExecuting) return timedOut()
  // A key that has become something else is no reason to stop waiting.
  const serveList = (key: string): boolean => client.keys.typeOf(key)?.name === 'list' && serve(key)
  client.block({ keys: names, timeoutMs, serve: serveList, timedOut })
}

interface Many {
  readonly keys: readonly string[]
  readonly side: Side
  readonly count: number
}

function manyOf(args: Args, countAt: number): Many {
  const number = integerArg(args[countAt], () => new CommandError('ERR numkeys should be greater than 0'))
  if (number <= 0) throw new CommandError('ERR numkeys should be greater than 0')
  const sideAt = countAt + number + 1
  if (sideAt >= args.length) throw syntaxError()
  const side = sideOf(word(args, sideAt))
  let count: number | undefined
  for (let at = sideAt + 1; at < args.length; at += 2) {
    if (word(args, at) !== 'count' || count !== undefined || at + 1 >= args.length) throw syntaxError()
    count = integerArg(args[at + 1], () => new CommandError('ERR count should be greater than 0'))
    if (count <= 0) throw new CommandError('ERR count should be greater than 0')
  }
  return { keys: args.slice(countAt + 1, sideAt).map(part => part.toString('latin1')), side, count: count ?? 1 }
}

function popMany({ keys, reply }: Client, key: string, { side, count }: Many): boolean {
  const list = keys.list(key)
  if (!list) return false
  const values = takeMany(list, side, count)
  reply.array(2)
  reply.binary(key)
  reply.array(values.length)
  for (const value of values) reply.bulk(value)
  keys.changed(key, 'l', side === 'left' ? 'lpop' : 'rpop')
  keys.taken(key, list)
  return true
}

function prepareMany({ keys }: Client, { keys: names, side, count }: Many): void {
  for (const key of names) keys.list(key)?.prepare(side, count + aheadOfTransaction)
}
