import type { Random } from '@dragoman/wire'

/** Makes one command, or a wrong one now and then. */
export type Form = (random: Random) => string[]

const keys = ['k1', 'k2', 'k3', 'k4', 'k5'] as const
const texts = ['a', 'b', 'c', '1', '10', '-3', '2.5', '', 'some longer text', '9223372036854775807'] as const
const sides = ['LEFT', 'RIGHT'] as const

const key = (random: Random): string => random.pick(keys)
const text = (random: Random): string => random.pick(texts)
const number = (random: Random): string => String(random.below(9) - 4)
const many = (random: Random, most: number, one: (random: Random) => string): string[] =>
  Array.from({ length: 1 + random.below(most) }, () => one(random))
const some = <T>(random: Random, ...choices: readonly T[]): T => random.pick(choices)

/** Long enough that no key ends on the way, but where that is the point. */
const seconds = (random: Random): string => some(random, '100', '200', '300', '100000')
const expiry = (random: Random): string[] =>
  some(
    random,
    [],
    [],
    ['EX', seconds(random)],
    ['PX', `${seconds(random)}000`],
    ['EXAT', '99999999999'],
    ['PXAT', '99999999999000'],
    ['EX', '0'],
    ['PX', '-1'],
    ['EX', 'x'],
  )

export const stringForms: readonly Form[] = [
  random => [
    ...['SET', key(random), text(random)],
    ...some(random, [], [], ['NX'], ['XX'], ['NX', 'XX']),
    ...some(random, [], [], ['GET']),
    ...some(random, expiry(random), ['KEEPTTL'], []),
  ],
  random => ['SET', key(random), text(random)],
  random => ['GET', key(random)],
  random => ['GETDEL', key(random)],
  random => ['GETEX', key(random), ...some(random, expiry(random), ['PERSIST'])],
  random => ['GETSET', key(random), text(random)],
  random => ['SETNX', key(random), text(random)],
  random => ['SETEX', key(random), some(random, '100', '0', 'x'), text(random)],
  random => ['PSETEX', key(random), some(random, '100000', '-5'), text(random)],
  random => ['MSET', ...many(random, 3, key).flatMap(each => [each, text(random)])],
  random => ['MSETNX', ...many(random, 3, key).flatMap(each => [each, text(random)])],
  random => ['MGET', ...many(random, 4, key)],
  random => [some(random, 'INCR', 'DECR'), key(random)],
  random => [some(random, 'INCRBY', 'DECRBY'), key(random), some(random, number(random), text(random))],
  random => [
    'INCRBYFLOAT',
    key(random),
    some(random, '1.5', '-0.25', '3', '1e3', 'x', '5.0e-5', '0.1', '-1e19', '1e-17', 'inf', '3.0e20'),
  ],
  random => ['APPEND', key(random), text(random)],
  random => ['STRLEN', key(random)],
  random => [some(random, 'GETRANGE', 'SUBSTR'), key(random), number(random), number(random)],
  random => ['SETRANGE', key(random), some(random, '0', '2', '5', '-1'), text(random)],
]

export const keyForms: readonly Form[] = [
  random => [some(random, 'DEL', 'UNLINK', 'EXISTS', 'TOUCH'), ...many(random, 3, key)],
  random => ['TYPE', key(random)],
  () => ['DBSIZE'],
  random => [some(random, 'RENAME', 'RENAMENX'), key(random), key(random)],
  random => ['COPY', key(random), key(random), ...some(random, [], ['REPLACE'], ['DB', '0'])],
  random => [
    ...[some(random, 'EXPIRE', 'PEXPIRE'), key(random), some(random, '1000000', '2000000', '-1', '0', 'x')],
    ...some(random, [], [], ['NX'], ['XX'], ['GT'], ['LT'], ['NX', 'XX'], ['GT', 'LT'], ['AB']),
  ],
  random => [
    ...['EXPIREAT', key(random), some(random, '99999999999', '88888888888', '1')],
    ...some(random, [], ['NX'], ['XX'], ['GT'], ['LT']),
  ],
  random => ['PERSIST', key(random)],
  random => ['PEXPIREAT', key(random), some(random, '99999999999000', '5')],
  random => ['OBJECT', some(random, 'REFCOUNT', 'IDLETIME'), 'none'],
]

/** The answers depend on the moment or on chance: told alike only where they stand alone. */
export const looseForms: readonly Form[] = [
  random => ['KEYS', some(random, '*', 'k[1-3]', 'k?', 'x*')],
  random => [some(random, 'TTL', 'PTTL', 'EXPIRETIME', 'PEXPIRETIME'), key(random)],
]

export const listForms: readonly Form[] = [
  random => [some(random, 'LPUSH', 'RPUSH', 'LPUSHX', 'RPUSHX'), key(random), ...many(random, 4, text)],
  random => [some(random, 'LPUSH', 'RPUSH'), key(random), ...many(random, 4, text)],
  random => [
    some(random, 'LPOP', 'RPOP'),
    key(random),
    ...some(random, [], [], [some(random, '0', '1', '3', '-1', 'x')]),
  ],
  random => ['LLEN', key(random)],
  random => ['LRANGE', key(random), number(random), number(random)],
  random => ['LRANGE', key(random), '0', '-1'],
  random => ['LINDEX', key(random), number(random)],
  random => ['LSET', key(random), number(random), text(random)],
  random => ['LINSERT', key(random), some(random, 'BEFORE', 'AFTER', 'after', 'BESIDE'), text(random), text(random)],
  random => ['LREM', key(random), number(random), text(random)],
  random => ['LTRIM', key(random), number(random), number(random)],
  random => ['LMOVE', key(random), key(random), random.pick(sides), some(random, ...sides, 'UP')],
  random => ['RPOPLPUSH', key(random), key(random)],
  random => [
    ...['LPOS', key(random), text(random)],
    ...some(random, [], ['RANK', number(random)]),
    ...some(random, [], ['COUNT', some(random, '0', '1', '2', '-1')]),
    ...some(random, [], ['MAXLEN', some(random, '0', '2', '-1')]),
  ],
  random => lmpop(random, ['LMPOP']),
  random => lmpop(random, ['BLMPOP', some(random, '0.01', '-1', 'x')]),
  random => [some(random, 'BLPOP', 'BRPOP'), ...many(random, 3, key), some(random, '0.01', '-1', 'x')],
  random => ['BLMOVE', key(random), key(random), random.pick(sides), random.pick(sides), '0.01'],
  random => ['BRPOPLPUSH', key(random), key(random), '0.01'],
]

function lmpop(random: Random, head: readonly string[]): string[] {
  const from = many(random, 3, key)
  const count = some(random, [], ['COUNT', some(random, '1', '2', '0', '-1', 'x')])
  return [
    ...head,
    some(random, String(from.length), String(from.length), '0', 'x'),
    ...from,
    random.pick(sides),
    ...count,
  ]
}

/** What queues commands, with others between. */
export const transactionForms: readonly Form[] = [
  () => ['MULTI'],
  () => ['EXEC'],
  () => ['EXEC'],
  () => ['DISCARD'],
  random => ['WATCH', ...many(random, 2, key)],
  () => ['UNWATCH'],
]

const odd = ['NOSUCH', 'GET', 'set', 'Lpush', 'OBJECT', 'LMOVE', 'XADD', 'CLIENT', 'CONFIG', 'PUBSUB', 'EXPIRE', 'LPOS']

/** Commands that are wrong as they are: a word too few or too many, or a name that is none. */
export const wrongForms: readonly Form[] = [
  random => [random.pick(odd), ...Array.from({ length: random.below(5) }, () => key(random))],
]

/** A command of these families, which now and then lacks its last word or has one too many. */
export function commandOf(random: Random, forms: readonly Form[]): string[] {
  const command = random.pick(forms)(random)
  const chance = random.below(40)
  if (chance === 0 && command.length > 1) return command.slice(0, -1)
  return chance === 1 ? [...command, 'more'] : command
}
