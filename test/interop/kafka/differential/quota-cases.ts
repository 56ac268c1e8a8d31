import { asks, type Case } from './cases.ts'

const who = (...parts: [string, string | null][]) =>
  parts.map(([entityType, entityName]) => ({ entityType, entityName }))
const set = (name: string, entity: object[], ops: object[], validateOnly = false): Case =>
  asks(name, 'alterClientQuotas', { entries: [{ entity, ops }], validateOnly })
const op = (key: string, value: number, remove = false) => ({ key, value, remove })
const find = (name: string, components: object[], strict = false, version?: number): Case =>
  asks(name, 'describeClientQuotas', { components, strict }, version)
const match = (entityType: string, matchType: number, text: string | null = null) => ({
  entityType,
  matchType,
  match: text,
})
const rate = (value: number) => [op('producer_byte_rate', value)]

/** Quotas of users, clients and addresses. */
export function quotas(): Case[] {
  return [
    find('nothing set', []),
    set('user', who(['user', 'u']), rate(1000)),
    set('default user', who(['user', null]), [op('consumer_byte_rate', 2000), op('request_percentage', 150)]),
    set('client', who(['client-id', 'c']), rate(3000)),
    set('user and client', who(['user', 'u'], ['client-id', 'c']), rate(4000)),
    set('client and user', who(['client-id', null], ['user', null]), rate(5000)),
    set('ip', who(['ip', '127.0.0.2']), [op('connection_creation_rate', 10)]),
    set('default ip', who(['ip', null]), [op('connection_creation_rate', 20)]),
    set('ip by name', who(['ip', 'localhost']), [op('connection_creation_rate', 10)], true),
    set('ip that is none', who(['ip', 'no such host.']), [op('connection_creation_rate', 10)], true),
    set('mutations', who(['user', 'u']), [op('controller_mutation_rate', 1.5)]),
    set('ip and user', who(['ip', '127.0.0.1'], ['user', 'u']), [op('connection_creation_rate', 10)], true),
    set('key of another type', who(['user', 'u']), [op('connection_creation_rate', 10)], true),
    set('rate of an ip', who(['ip', '127.0.0.1']), rate(1), true),
    ...refusedQuotas(),
    ...foundQuotas(),
    set('user again', who(['user', 'u']), [op('producer_byte_rate', 0, true), op('controller_mutation_rate', 0, true)]),
    set('default user again', who(['user', null]), [
      op('consumer_byte_rate', 0, true),
      op('request_percentage', 0, true),
    ]),
    set('client again', who(['client-id', 'c']), [op('producer_byte_rate', 0, true)]),
    set('both again', who(['user', 'u'], ['client-id', 'c']), [op('producer_byte_rate', 0, true)]),
    set('defaults again', who(['client-id', null], ['user', null]), [op('producer_byte_rate', 0, true)]),
    set('ip again', who(['ip', '127.0.0.2']), [op('connection_creation_rate', 0, true)]),
    set('default ip again', who(['ip', null]), [op('connection_creation_rate', 0, true)]),
    find('nothing left', []),
  ]
}

function refusedQuotas(): Case[] {
  return [
    set('unknown key', who(['user', 'u']), [op('no_such', 10)], true),
    set('unknown type', who(['group', 'u']), rate(1), true),
    set('nobody', [], rate(1), true),
    set('empty name', who(['user', '']), rate(1), true),
    set('twice the same type', who(['user', 'u'], ['user', 'v']), rate(1), true),
    set('zero', who(['user', 'u']), rate(0), true),
    set('negative', who(['user', 'u']), rate(-1), true),
    set('fraction', who(['user', 'u']), rate(1.5), true),
    set('nearly whole', who(['user', 'u']), rate(1.0000000001), true),
    set('not a number', who(['user', 'u']), rate(Number.NaN), true),
    set('infinite', who(['user', 'u']), rate(Number.POSITIVE_INFINITY), true),
    set('huge', who(['user', 'u']), rate(1e19), true),
    set('fraction of a percentage', who(['user', 'u']), [op('request_percentage', 0.5)], true),
    set('fraction of connections', who(['ip', '127.0.0.1']), [op('connection_creation_rate', 0.5)], true),
    set('remove what is not set', who(['user', 'w']), [op('producer_byte_rate', 0, true)]),
    set('remove an unknown key', who(['user', 'w']), [op('no_such', 0, true)]),
    set('no operation', who(['user', 'w']), []),
    set('same key twice', who(['user', 'u']), [op('producer_byte_rate', 1), op('producer_byte_rate', 2)], true),
    asks('same entity twice', 'alterClientQuotas', {
      entries: [
        { entity: who(['user', 'u']), ops: rate(1) },
        { entity: who(['user', 'u']), ops: rate(2) },
      ],
      validateOnly: true,
    }),
  ]
}

function foundQuotas(): Case[] {
  return [
    find('all', []),
    find('all, strictly', [], true),
    find('all, old', [], false, 0),
    find('users', [match('user', 2)]),
    find('users only', [match('user', 2)], true),
    find('one user', [match('user', 0, 'u')]),
    find('one user only', [match('user', 0, 'u')], true),
    find('default user', [match('user', 1)]),
    find('user and client', [match('user', 0, 'u'), match('client-id', 0, 'c')]),
    find('any user and client', [match('user', 2), match('client-id', 2)], true),
    find('ips', [match('ip', 2)]),
    find('one ip', [match('ip', 0, '127.0.0.2')]),
    find('ip and user', [match('ip', 2), match('user', 2)]),
    find('unknown type', [match('group', 2)]),
    find('empty type', [match('', 2)]),
    find('unknown match', [match('user', 3)]),
    find('exact without a name', [match('user', 0)]),
    find('default with a name', [match('user', 1, 'x')]),
    find('any with a name', [match('user', 2, 'x')]),
    find('same type twice', [match('user', 2), match('user', 0, 'u')]),
  ]
}
