import assert from 'node:assert/strict'
import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import { decodeArguments } from './arguments.ts'
import {
  defaultExchange,
  exchangeKinds,
  exchangeSettings,
  predeclared,
  routesBy,
  type ExchangeDefinition,
} from './exchange.ts'
import { bound, exchangeDeclared, exchangeFlags } from './facts.ts'
import { HashRing } from './hash-ring.ts'
import { HeadersMatcher } from './headers-matcher.ts'
import { LiveBindings } from './live.ts'
import { DirectMatcher, FanoutMatcher, NameMatcher } from './matcher.ts'
import {
  bindingKey,
  Place,
  placeKinds,
  type Binding,
  type ExchangeNode,
  type Matcher,
  type PlaceKind,
} from './place.ts'
import type { KeyPattern } from './sink.ts'
import { TopicTrie } from './topic-trie.ts'

/** What is in one namespace. */
interface Names {
  /** Queues and topics, which share their names. */
  readonly places: Map<string, Place>
  readonly exchanges: Map<string, ExchangeNode>
  /** Exchanges by the name of their alternate. */
  readonly byAlternate: Map<string, Set<ExchangeNode>>
}

type BoundFact = Infer<typeof bound>

/**
 * Which exchanges there are, what is bound to what, and what can be bound to. Facts of the directory change it; so does the router, for what
 * is not durable and hence in no fact and no checkpoint.
 *
 * Invariants: both ends of a binding are there; a binding is among those of its source and of its destination, and in the source's matcher.
 */
export class RoutingTable {
  readonly #namespaces = new Map<string, Names>()
  /** Of those that were declared. */
  exchangeCount = 0
  bindingCount = 0
  /** Called when what leads from an exchange has changed, or when it has come or is gone. */
  changed: ((exchange: ExchangeNode) => void) | undefined
  /** The alternate that a policy gives to an exchange which has none by its own settings. */
  policyAlternate: ((namespace: string, name: string) => string | undefined) | undefined

  place(kind: PlaceKind, namespace: string, name: string): Place | undefined {
    if (kind === 'exchange') return this.exchange(namespace, name)?.place
    const found = this.#namespaces.get(namespace)?.places.get(name)
    return found?.kind === kind ? found : undefined
  }

  /** Queue or topic. */
  named(namespace: string, name: string): Place | undefined {
    return this.#namespaces.get(namespace)?.places.get(name)
  }

  exchange(namespace: string, name: string): ExchangeNode | undefined {
    const names = this.#namespaces.get(namespace)
    if (names) return names.exchanges.get(name)
    return predeclared.has(name) ? this.#names(namespace).exchanges.get(name) : undefined
  }

  /** Exchanges of one namespace, or of all in the order of their names; the predeclared first, then the oldest. */
  exchanges(namespace?: string): ExchangeNode[] {
    if (namespace !== undefined) return [...this.#names(namespace).exchanges.values()]
    const all = [...this.#namespaces].sort(([a], [b]) => (a < b ? -1 : 1))
    return all.flatMap(([, { exchanges }]) => [...exchanges.values()])
  }

  /** Exchanges that pass to this one what they match nothing with. */
  withAlternate({ definition: { namespace, name } }: ExchangeNode): Iterable<ExchangeNode> {
    return this.#namespaces.get(namespace)?.byAlternate.get(name) ?? []
  }

  addPlace(kind: PlaceKind, namespace: string, name: string, isDurable = true): void {
    const { places } = this.#names(namespace)
    assert(!places.has(name), `A place ${name} cannot be there already`)
    places.set(name, new Place(kind, namespace, name, isDurable))
  }

  /** With all bindings to it. */
  removePlace(namespace: string, name: string): void {
    const { places } = this.#names(namespace)
    const place = places.get(name)
    assert(place, `There is no place ${name}`)
    for (const binding of place.incoming ?? []) this.#remove(binding)
    places.delete(name)
  }

  declare(definition: ExchangeDefinition): void {
    const names = this.#names(definition.namespace)
    assert(!names.exchanges.has(definition.name), `Exchange ${definition.name} cannot be there already`)
    this.#addExchange(names, definition)
    this.exchangeCount++
  }

  /** With all bindings from it and to it. */
  remove(namespace: string, name: string): void {
    const names = this.#names(namespace)
    const node = this.exchange(namespace, name)
    assert(node && !predeclared.has(name), `There is no exchange ${name} that could be removed`)
    this.changed?.(node)
    for (const binding of node.outgoing.values()) this.#remove(binding)
    for (const binding of node.place.incoming ?? []) this.#remove(binding)
    names.exchanges.delete(name)
    passNoMore(names, node)
    this.exchangeCount--
  }

  /** Its alternate may be another one: its own settings say nothing of it, and a policy has come or gone. */
  govern(node: ExchangeNode): void {
    const { definition, alternate: before } = node
    const alternate = this.#alternateOf(definition)
    if (alternate === before) return
    const names = this.#names(definition.namespace)
    passNoMore(names, node)
    node.alternate = alternate
    passTo(names, node)
    this.changed?.(node)
  }

  #alternateOf({ namespace, name, config }: ExchangeDefinition): string | undefined {
    if (name === defaultExchange) return undefined
    return config.get(exchangeSettings.alternate) ?? this.policyAlternate?.(namespace, name)
  }

  /** See `ExchangeNode.isUsed`. */
  use(namespace: string, name: string): void {
    const node = this.exchange(namespace, name)
    assert(node, `There is no exchange ${name}`)
    node.isUsed = true
  }

  bind(fact: BoundFact): void {
    const [source, destination] = this.#ends(fact)
    // The fact's bytes are only lent.
    const encoded = keptCopy(fact.arguments)
    const isDurable = source.definition.isDurable && destination.isDurable
    const decoded = decodeArguments(encoded)
    const binding: Binding = { source, destination, key: fact.key, arguments: decoded, encoded, isDurable }
    const key = bindingKey(destination, fact.key, encoded)
    assert(!source.outgoing.has(key), 'A binding cannot be there already')
    source.outgoing.set(key, binding)
    if (destination.incoming) destination.incoming.add(binding)
    else destination.incoming = new Set([binding])
    source.matcher.add(binding)
    this.bindingCount++
    this.changed?.(source)
  }

  unbind(fact: BoundFact): void {
    const [source, destination] = this.#ends(fact)
    const binding = source.outgoing.get(bindingKey(destination, fact.key, fact.arguments))
    assert(binding, 'There is no such binding')
    this.#remove(binding)
  }

  /** To a sink: in no fact, in no checkpoint, and not told among the bindings. */
  bindLive(binding: Binding, pattern: KeyPattern): void {
    const { source } = binding
    source.live ??= new LiveBindings(matcherOf(source.definition))
    source.live.add(binding, pattern)
    this.changed?.(source)
  }

  unbindLive(binding: Binding, pattern: KeyPattern): void {
    const { source } = binding
    source.live?.remove(binding, pattern)
    this.changed?.(source)
  }

  save(out: Writer, version: number): void {
    const all = this.exchanges()
    const kept = all.filter(({ definition: { isDurable, name } }) => isDurable && !predeclared.has(name))
    out.u32(kept.length)
    for (const { definition, isUsed } of kept) {
      const fact = exchangeFact(definition)
      const flags = fact.flags | (isUsed ? exchangeFlags.used : 0)
      exchangeDeclared.write(out, { ...fact, flags }, version)
    }
    const bindings = all.flatMap(({ outgoing }) => [...outgoing.values()].filter(({ isDurable }) => isDurable))
    out.u32(bindings.length)
    for (const binding of bindings) bound.write(out, boundFact(binding), version)
  }

  /** Places have been added before. */
  load(from: Reader, version: number): void {
    for (let left = from.u32(); left > 0; left--) {
      const fact = exchangeDeclared.read(from, version)
      this.declare(definitionOf(fact))
      if ((fact.flags & exchangeFlags.used) !== 0) this.use(fact.namespace, fact.name)
    }
    for (let left = from.u32(); left > 0; left--) this.bind(bound.read(from, version))
  }

  #ends({ namespace, source, kind, destination }: BoundFact): [ExchangeNode, Place] {
    const placeKind = placeKinds[kind]
    const from = this.exchange(namespace, source)
    const to = placeKind && this.place(placeKind, namespace, destination)
    assert(from && to, `There is no ${from ? placeKind : 'exchange'} ${from ? destination : source}`)
    return [from, to]
  }

  #remove(binding: Binding): void {
    const { source, destination, key, encoded } = binding
    this.changed?.(source)
    source.outgoing.delete(bindingKey(destination, key, encoded))
    destination.incoming?.delete(binding)
    source.matcher.remove(binding)
    this.bindingCount--
  }

  #names(namespace: string): Names {
    let names = this.#namespaces.get(namespace)
    if (names) return names
    names = { places: new Map(), exchanges: new Map(), byAlternate: new Map() }
    this.#namespaces.set(namespace, names)
    for (const [name, kind] of predeclared) {
      const definition = { namespace, name, kind, isDurable: true, autoDelete: false, internal: false }
      this.#addExchange(names, { ...definition, config: new Map() })
    }
    return names
  }

  #addExchange(names: Names, definition: ExchangeDefinition): void {
    const { namespace, name, isDurable } = definition
    const place = new Place('exchange', namespace, name, isDurable)
    const matcher = name === defaultExchange ? new NameMatcher(names.places) : matcherOf(definition)
    const alternate = this.#alternateOf(definition)
    const node: ExchangeNode = {
      definition,
      place,
      alternate,
      isUsed: false,
      outgoing: new Map(),
      matcher,
      live: undefined,
    }
    place.exchange = node
    names.exchanges.set(name, node)
    passTo(names, node)
    this.changed?.(node)
  }
}

function passTo({ byAlternate }: Names, node: ExchangeNode): void {
  const { alternate } = node
  if (alternate === undefined) return
  const others = byAlternate.get(alternate)
  if (others) others.add(node)
  else byAlternate.set(alternate, new Set([node]))
}

function passNoMore({ byAlternate }: Names, node: ExchangeNode): void {
  const { alternate } = node
  if (alternate === undefined) return
  const others = byAlternate.get(alternate)
  others?.delete(node)
  if (others?.size === 0) byAlternate.delete(alternate)
}

function matcherOf(definition: ExchangeDefinition): Matcher {
  switch (routesBy(definition)) {
    case 'direct':
      return new DirectMatcher()
    case 'fanout':
      return new FanoutMatcher()
    case 'topic':
      return new TopicTrie()
    case 'headers':
      return new HeadersMatcher()
    case 'hash':
      return new HashRing(definition.config.get(exchangeSettings.hashHeader))
  }
}

export function exchangeFact(definition: ExchangeDefinition): Infer<typeof exchangeDeclared> {
  const { namespace, name, kind, autoDelete, internal, config } = definition
  const flags = (autoDelete ? exchangeFlags.autoDelete : 0) | (internal ? exchangeFlags.internal : 0)
  const settings = Array.from(config, ([setting, value]) => ({ name: setting, value }))
  return { namespace, name, kind: exchangeKinds.indexOf(kind), flags, config: settings }
}

export function definitionOf(fact: Infer<typeof exchangeDeclared>): ExchangeDefinition {
  const { namespace, name, flags } = fact
  const kind = exchangeKinds[fact.kind]
  assert(kind, `There are no exchanges of the kind ${fact.kind}: this data was written by a newer broker`)
  return {
    namespace,
    name,
    kind,
    isDurable: true,
    autoDelete: (flags & exchangeFlags.autoDelete) !== 0,
    internal: (flags & exchangeFlags.internal) !== 0,
    config: new Map(fact.config.map(({ name: setting, value }) => [setting, value])),
  }
}

export function boundFact({ source, destination, key, encoded }: Omit<Binding, 'arguments' | 'isDurable'>): BoundFact {
  const { namespace, name } = source.definition
  assert(destination.kind !== 'sink', 'Nothing is written of what leads to sinks')
  const kind = placeKinds.indexOf(destination.kind)
  return { namespace, source: name, kind, destination: destination.name, key, arguments: encoded }
}
