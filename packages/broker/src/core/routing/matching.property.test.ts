import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Header, HeaderValue } from '../message.ts'
import { encodeArguments, valueKey } from './arguments.ts'
import { exchangeKinds, predeclared, type ExchangeKind } from './exchange.ts'
import { murmur2, partitionOf } from './murmur2.ts'
import { placeKinds, type Destination } from './place.ts'
import { Resolver } from './resolver.ts'
import { RoutingTable } from './table.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

interface ModelBinding {
  source: string
  kind: (typeof placeKinds)[number]
  destination: string
  key: string
  arguments: Header[]
}

interface Model {
  exchanges: Map<string, { kind: ExchangeKind; alternate: string | undefined }>
  places: Map<string, 'queue' | 'topic'>
  bindings: ModelBinding[]
}

/** Word by word, by trying everything. */
function matchesPattern(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') return words.some((_, at) => matchesPattern(rest, words.slice(at))) || matchesPattern(rest, [])
  return words.length > 0 && (first === '*' || first === words[0]) && matchesPattern(rest, words.slice(1))
}

const wordsOf = (text: string): string[] => (text === '' ? [] : text.split('.'))

function matchesHeaders(given: readonly Header[], headers: readonly Header[]): boolean {
  const mode = given.find(({ name }) => name === 'x-match')?.value ?? 'all'
  const asked = given.filter(
    ({ name }) => name !== 'x-match' && (String(mode).includes('with-x') || !name.startsWith('x-')),
  )
  const isMet = ({ name, value }: Header): boolean => {
    const has = headers.findLast(header => header.name === name)
    return has !== undefined && (value === null || valueKey(has.value) === valueKey(value))
  }
  return String(mode).startsWith('any') ? asked.some(isMet) : asked.every(isMet)
}

function naiveRoute(model: Model, start: string, key: string, headers: readonly Header[]): Set<string> {
  const found = new Set<string>()
  const seen = new Set<string>()
  const visit = (name: string): void => {
    const exchange = model.exchanges.get(name)
    if (!exchange || seen.has(name)) return
    seen.add(name)
    const matching = model.bindings.filter(binding => {
      if (binding.source !== name) return false
      if (exchange.kind === 'direct') return binding.key === key
      if (exchange.kind === 'topic') return matchesPattern(wordsOf(binding.key), wordsOf(key))
      if (exchange.kind === 'headers') return matchesHeaders(binding.arguments, headers)
      return true
    })
    const byName = name === '' && model.places.has(key)
    if (byName) found.add(key)
    for (const { kind, destination } of matching) {
      if (kind === 'exchange') visit(destination)
      else found.add(destination)
    }
    if (matching.length === 0 && !byName && exchange.alternate !== undefined) visit(exchange.alternate)
  }
  visit(start)
  return found
}

const names = ['a', 'b', 'x-c', 'd']
const values: HeaderValue[] = [1n, 1, '1', true, null, Buffer.from('1'), [1n], new Map([['k', 1n]]), { timeMs: 1 }]

function randomKey(random: Random, words: readonly string[]): string {
  return Array.from({ length: random.below(5) }, () => random.pick(words)).join('.')
}

function randomHeaders(random: Random, most: number): Header[] {
  return Array.from({ length: random.below(most + 1) }, () => ({
    name: random.pick(names),
    value: random.pick(values),
  }))
}

function randomArguments(random: Random): Header[] {
  const given = new Map(randomHeaders(random, 3).map(({ name, value }) => [name, value]))
  if (random.chance(0.8)) given.set('x-match', random.pick(['all', 'any', 'all-with-x', 'any-with-x']))
  return Array.from(given, ([name, value]) => ({ name, value }))
}

function factOfBinding(binding: ModelBinding): Parameters<RoutingTable['bind']>[0] {
  const { source, kind, destination, key } = binding
  const encoded = encodeArguments(binding.arguments)
  return { namespace: '/', source, kind: placeKinds.indexOf(kind), destination, key, arguments: encoded }
}

/** One random change of both. */
function change(random: Random, table: RoutingTable, model: Model): void {
  const exchangeName = random.pick(['e0', 'e1', 'e2', 'e3', 'e4', 'e5'])
  const placeName = random.pick(['q0', 'q1', 'q2', 't0', 'a'])
  const what = random.pick(['declare', 'remove', 'place', 'unplace', 'bind', 'bind', 'bind', 'bind', 'unbind'])
  if (what === 'declare' && !model.exchanges.has(exchangeName)) {
    const kind = random.pick(exchangeKinds.filter(one => one !== 'hash' && one !== 'delayed'))
    const alternate = random.chance(0.4) ? random.pick(['', 'e0', 'e1', 'e2', 'gone', 'amq.fanout']) : undefined
    const config = new Map(alternate === undefined ? [] : [['alternate.exchange', alternate]])
    const definition = { namespace: '/', name: exchangeName, kind, isDurable: true, autoDelete: false, internal: false }
    table.declare({ ...definition, config })
    model.exchanges.set(exchangeName, { kind, alternate })
  } else if (what === 'remove' && model.exchanges.has(exchangeName) && random.chance(0.3)) {
    table.remove('/', exchangeName)
    model.exchanges.delete(exchangeName)
    model.bindings = model.bindings.filter(
      ({ source, kind, destination }) =>
        source !== exchangeName && (kind !== 'exchange' || destination !== exchangeName),
    )
  } else if (what === 'place' && !model.places.has(placeName)) {
    const kind = placeName.startsWith('t') ? 'topic' : 'queue'
    table.addPlace(kind, '/', placeName)
    model.places.set(placeName, kind)
  } else if (what === 'unplace' && model.places.has(placeName) && random.chance(0.3)) {
    table.removePlace('/', placeName)
    model.places.delete(placeName)
    model.bindings = model.bindings.filter(binding => binding.kind === 'exchange' || binding.destination !== placeName)
  } else if (what === 'bind') {
    const source = random.pick([...model.exchanges.keys()].filter(name => name !== ''))
    const toExchange = random.chance(0.4) || model.places.size === 0
    const destination = random.pick(
      [...(toExchange ? model.exchanges : model.places).keys()].filter(name => name !== ''),
    )
    const kind: ModelBinding['kind'] = toExchange ? 'exchange' : model.places.get(destination)!
    const key = randomKey(random, ['a', 'b', '', '*', '#', '#'])
    const binding: ModelBinding = { source, kind, destination, key, arguments: randomArguments(random) }
    const isSame = (other: ModelBinding): boolean =>
      JSON.stringify([other.source, other.kind, other.destination, other.key]) ===
        JSON.stringify([source, kind, destination, key]) &&
      encodeArguments(other.arguments).equals(encodeArguments(binding.arguments))
    if (model.bindings.some(isSame)) return
    table.bind(factOfBinding(binding))
    model.bindings.push(binding)
  } else if (what === 'unbind' && model.bindings.length > 0) {
    const [binding] = model.bindings.splice(random.below(model.bindings.length), 1)
    table.unbind(factOfBinding(binding!))
  }
}

const namesOf = (route: readonly Destination[] | undefined): string[] | undefined => route?.map(({ name }) => name)

test(`routes are those of a model that tries every binding (SEED=${seed})`, () => {
  const random = new Random(seed)
  let routed = 0
  for (let round = 0; round < 60; round++) {
    const table = new RoutingTable()
    const resolver = new Resolver(table)
    const model: Model = { exchanges: new Map(), places: new Map(), bindings: [] }
    for (const [name, kind] of predeclared) model.exchanges.set(name, { kind, alternate: undefined })
    for (let step = 0; step < 150; step++) {
      change(random, table, model)
      for (let count = 0; count < 4; count++) {
        const exchange = random.pick([...model.exchanges.keys(), 'e0', 'gone'])
        const key = random.chance(0.2) ? random.pick(['q0', 't0', '*', '#']) : randomKey(random, ['a', 'b', '', 'c'])
        const headers = randomHeaders(random, 5)
        const route = namesOf(resolver.route('/', exchange, key, headers))
        if (!model.exchanges.has(exchange)) assert.equal(route, undefined)
        else {
          const expected = naiveRoute(model, exchange, key, headers)
          assert.deepEqual(route?.toSorted(), [...expected].sort(), `${exchange} ${key}`)
          routed += expected.size
        }
      }
    }
    assert.equal(table.bindingCount, model.bindings.length)
  }
  assert.ok(routed > 1000, String(routed))
})

test('a pattern with many wildcards costs no more than its words times those of the key', () => {
  const table = new RoutingTable()
  const resolver = new Resolver(table)
  table.addPlace('queue', '/', 'q')
  const bind = (key: string): void =>
    table.bind(factOfBinding({ source: 'amq.topic', kind: 'queue', destination: 'q', key, arguments: [] }))
  bind(`${'#.a.'.repeat(30)}b`)
  bind(`${'#.*.'.repeat(30)}c`)
  const key = Array.from({ length: 5000 }, () => 'a').join('.')
  assert.deepEqual(resolver.route('/', 'amq.topic', key, []), [])
  assert.deepEqual(namesOf(resolver.route('/', 'amq.topic', `${key}.b`, [])), ['q'])
})

test('what is kept of routes is the same list, and does not outlive a change further on', () => {
  const table = new RoutingTable()
  const resolver = new Resolver(table)
  for (const name of ['p', 'q']) table.addPlace('queue', '/', name)
  const link = { source: 'amq.topic', kind: 'exchange', destination: 'amq.fanout', key: '#', arguments: [] } as const
  table.bind(factOfBinding({ ...link, arguments: [] }))
  const route = (): readonly Destination[] | undefined => resolver.route('/', 'amq.topic', 'a.b', [])
  assert.deepEqual(namesOf(route()), [])
  for (const destination of ['p', 'q']) {
    table.bind(factOfBinding({ source: 'amq.fanout', kind: 'queue', destination, key: '', arguments: [] }))
  }
  assert.deepEqual(namesOf(route()), ['p', 'q'])
  assert.equal(route(), route())
  // More keys than are kept.
  for (let key = 0; key < 200_000; key++) resolver.route('/', 'amq.fanout', String(key), [])
  assert.deepEqual(namesOf(route()), ['p', 'q'])
  table.removePlace('/', 'p')
  assert.deepEqual(namesOf(route()), ['q'])
})

function ringTable(weights: Readonly<Record<string, number>>, header?: string): Resolver {
  const table = new RoutingTable()
  const config = new Map(header === undefined ? [] : [['hash.header', header]])
  const definition = { namespace: '/', name: 'ring', kind: 'hash', isDurable: true, config } as const
  table.declare({ ...definition, autoDelete: false, internal: false })
  for (const [destination, weight] of Object.entries(weights)) {
    table.addPlace('queue', '/', destination)
    table.bind(factOfBinding({ source: 'ring', kind: 'queue', destination, key: String(weight), arguments: [] }))
  }
  return new Resolver(table)
}

test('a hash exchange gives each key to one, by weight, and moves only the share of who comes or goes', () => {
  const keys = Array.from({ length: 20_000 }, (_, index) => `key-${index}`)
  const shares = (resolver: Resolver): string[] =>
    keys.map(key => {
      const route = namesOf(resolver.route('/', 'ring', key, []))
      assert.equal(route?.length, 1)
      return route![0]!
    })
  const before = shares(ringTable({ a: 1, b: 2, c: 1 }))
  const part = (owner: string): number => before.filter(one => one === owner).length / keys.length
  for (const [owner, share] of [['a', 0.25] as const, ['b', 0.5] as const, ['c', 0.25] as const]) {
    assert.ok(Math.abs(part(owner) - share) < 0.1, `${owner} ${part(owner)}`)
  }
  assert.deepEqual(shares(ringTable({ c: 1, b: 2, a: 1 })), before, 'the order of bindings does not matter')
  const after = shares(ringTable({ a: 1, b: 2, c: 1, d: 1 }))
  for (const [index, owner] of after.entries()) assert.ok(owner === 'd' || owner === before[index])
})

test('a hash exchange may go by a header instead of the key', () => {
  const resolver = ringTable({ a: 1, b: 1, c: 1 }, 'customer')
  const route = (key: string, value: HeaderValue): string =>
    namesOf(resolver.route('/', 'ring', key, [{ name: 'customer', value }]))!.join()
  const found = new Set<string>()
  for (let customer = 0; customer < 100; customer++) {
    found.add(route('k', BigInt(customer)))
    assert.equal(route('k', BigInt(customer)), route('other', String(customer)))
  }
  assert.deepEqual([...found].sort(), ['a', 'b', 'c'])
})

test('murmur2 gives the hashes that producers of logs agree on', () => {
  const known = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536 }
  for (const [text, hash] of Object.entries(known)) assert.equal(murmur2(Buffer.from(text)) | 0, hash)
  assert.equal(partitionOf(Buffer.from('21'), 1000), (-973932308 & 0x7fff_ffff) % 1000)
})
