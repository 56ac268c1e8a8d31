import assert from 'node:assert/strict'
import type { Codec, Infer } from '@dragoman/wire'
import type { CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { DirectoryMachine, factOf, factTypes } from '../directory.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { Header } from '../message.ts'
import type { MappedRecord } from '../origins.ts'
import { quote } from '../names.ts'
import type { Policies } from '../policies/policies.ts'
import type { Queues } from '../queues/queues.ts'
import { atomically, durably } from '../refusals.ts'
import type { Topics } from '../topics.ts'
import { encodeArguments } from './arguments.ts'
import {
  defaultExchange,
  exchangeDifference,
  exchangeOf,
  predeclared,
  routesBy,
  type ExchangeDefinition,
  type ExchangeOptions,
} from './exchange.ts'
import { bound, exchangeDeclared, exchangeDeleted, exchangeUsed } from './facts.ts'
import { HashRing, weightMax, weightOf } from './hash-ring.ts'
import { isMatchWord, matchArgument } from './headers-matcher.ts'
import { SinkAttachment, type LiveCount } from './attachment.ts'
import { firstSink } from './passing.ts'
import { bindingKey, type Destination, type ExchangeNode, type Place, type PlaceKind } from './place.ts'
import { Publisher, type Posted, type Publication, type PublishOutcome } from './publisher.ts'
import { Republisher } from './republisher.ts'
import { Resolver } from './resolver.ts'
import type { Attachment, Sink } from './sink.ts'
import { boundFact, exchangeFact, type RoutingTable } from './table.ts'

export interface RouterOptions {
  ledger: Ledger
  cell: CellClient
  topics: Topics
  queues: Queues
  limits: Limits
  /** Absent: there are none. */
  policies?: Policies
  /** The headers of a stored message, by which it is routed once more when it is dead-lettered. */
  headersOf?(record: MappedRecord): readonly Header[]
}

/** A binding as it is asked for and told of. One with the same ends, key and arguments is the same. */
export interface BindingDefinition {
  readonly source: string
  readonly kind: PlaceKind
  readonly destination: string
  /** Key, pattern or weight: what the kind of the exchange makes of it. */
  readonly key: string
  readonly arguments?: readonly Header[]
}

/**
 * Exchanges and bindings, and where messages go by them. Methods that change something decide before they first wait, resolve when that is
 * durable, and reject with `BrokerError`.
 */
export class Router {
  readonly #ledger: Ledger
  readonly #limits: Limits
  readonly #table: RoutingTable
  readonly #resolver: Resolver
  readonly #publisher: Publisher
  readonly #live: LiveCount
  /** Who keeps messages until their time has come. */
  delays: { post(publication: Publication, delayMs: number): Posted } | undefined

  /** Over a cell that has been recovered. */
  constructor({ ledger, cell, topics, queues, limits, policies, headersOf = () => noHeaders }: RouterOptions) {
    const directory = ledger.machine(machineKinds.directory)
    assert(directory instanceof DirectoryMachine)
    this.#ledger = ledger
    this.#limits = limits
    this.#table = directory.routing
    this.#live = { count: 0, max: limits.bindingsMax }
    this.#resolver = new Resolver(directory.routing)
    const publisher = new Publisher({ ledger, cell, topics, queues, limits })
    this.#publisher = publisher
    if (policies) this.#obey(policies)
    queues.republishing = new Republisher({ resolver: this.#resolver, publisher, headersOf })
    topics.beforeRemove(({ namespace, name }) => this.#beforeRemove(namespace, name))
    queues.beforeRemove(({ namespace, name }) => this.#beforeRemove(namespace, name))
    this.#removeDeserted()
  }

  #obey(policies: Policies): void {
    const table = this.#table
    table.policyAlternate = (namespace, name) => policies.alternateOf(namespace, name)
    for (const node of table.exchanges()) table.govern(node)
    policies.watch((namespace, mayConcern) => {
      for (const node of table.exchanges(namespace)) if (mayConcern(node.definition.name)) table.govern(node)
    })
  }

  get(namespace: string, name: string): ExchangeDefinition | undefined {
    return this.#table.exchange(namespace, name)?.definition
  }

  /** Exchanges of one namespace, or of all; the predeclared first, then the oldest. */
  list(namespace?: string): ExchangeDefinition[] {
    return this.#table.exchanges(namespace).map(({ definition }) => definition)
  }

  /** What leads from an exchange, or from all, oldest first for each. Those of the default exchange are not told. */
  bindings(namespace: string, source?: string): Required<BindingDefinition>[] {
    const found = source === undefined ? undefined : this.#table.exchange(namespace, source)
    const nodes = source === undefined ? this.#table.exchanges(namespace) : found ? [found] : []
    return nodes.flatMap(({ definition: { name: from }, outgoing }) =>
      [...outgoing.values()].flatMap(({ destination: { kind, name }, key, arguments: given }) =>
        kind === 'sink' ? [] : [{ source: from, kind, destination: name, key, arguments: given }],
      ),
    )
  }

  /** What leads to a place. */
  bindingsTo(namespace: string, kind: PlaceKind, name: string): Required<BindingDefinition>[] {
    const place = this.#table.place(kind, namespace, name)
    return Array.from(place?.incoming ?? [], ({ source, key, arguments: given }) => {
      return { source: source.definition.name, kind, destination: name, key, arguments: given }
    })
  }

  /** The exchange of that name, which is made when it is not there. One that is there must be the same; else the refusal names what differs. */
  async declare(namespace: string, name: string, options: ExchangeOptions = {}): Promise<ExchangeDefinition> {
    const definition = exchangeOf(namespace, name, options)
    const present = this.get(namespace, name)
    if (present) {
      const difference = exchangeDifference(present, definition)
      if (difference) {
        const [has, wants] = difference.values.map(value => (value === undefined ? 'nothing' : String(value)))
        throw new BrokerError(
          'exchange-exists',
          `${quote(name)} has ${difference.name} ${String(has)}, not ${String(wants)}`,
        )
      }
      await this.#settled()
      return present
    }
    this.#checkLimit(this.#table.exchangeCount, this.#limits.exchangesMax, 'exchanges')
    atomically(this.#ledger, () => {
      if (!definition.isDurable) return this.#table.declare(definition)
      this.#write(factTypes.exchangeDeclared, exchangeDeclared, exchangeFact(definition))
    })
    await this.#settled()
    return definition
  }

  /** Removes the exchange and all bindings from it and to it. */
  async remove(namespace: string, name: string, { ifUnused = false } = {}): Promise<void> {
    const node = this.#exchange(namespace, name)
    if (predeclared.has(name)) throw new BrokerError('access-denied', `${quote(name)} is there for ever`)
    const { size } = node.outgoing
    if (ifUnused && size > 0) throw new BrokerError('exchange-in-use', `${quote(name)} has ${size} bindings`)
    atomically(this.#ledger, () => {
      this.#removeOrphans(node.place)
      this.#removeExchange(node.definition)
    })
    await this.#settled()
  }

  /** Of no effect when there is such a binding. */
  async bind(namespace: string, binding: BindingDefinition): Promise<void> {
    const { source, destination, encoded } = this.#ends(namespace, binding)
    const { key } = binding
    if (!source.outgoing.has(bindingKey(destination, key, encoded))) {
      this.#checkLimit(this.#table.bindingCount, this.#limits.bindingsMax, 'bindings')
      const bytes = Buffer.byteLength(key) + encoded.length
      if (bytes > this.#limits.bindingBytesMax) {
        const detail = `a binding has at most ${this.#limits.bindingBytesMax} bytes of key and arguments, not ${bytes}`
        throw new BrokerError('limit-reached', detail)
      }
      checkKind(source, binding)
      const fact = boundFact({ source, destination, key, encoded })
      atomically(this.#ledger, () => {
        if (!source.definition.isDurable || !destination.isDurable) return this.#bindForNow(source, fact)
        this.#write(factTypes.bound, bound, fact)
      })
    }
    await this.#settled()
  }

  /** A binding that a restart leaves nothing of. */
  #bindForNow({ definition, isUsed }: ExchangeNode, fact: Infer<typeof bound>): void {
    const { namespace, name, isDurable: hasFact, autoDelete } = definition
    this.#table.bind(fact)
    if (hasFact && autoDelete && !isUsed) this.#write(factTypes.exchangeUsed, exchangeUsed, { namespace, name })
  }

  /** What was to go with its last binding, and was left without any by the restart. */
  #removeDeserted(): void {
    const deserted = this.#table.exchanges().filter(({ definition, isUsed, outgoing }) => {
      return definition.autoDelete && isUsed && outgoing.size === 0
    })
    for (const { place, definition } of deserted) {
      // It may have gone with another one.
      if (this.#table.exchange(definition.namespace, definition.name)?.place !== place) continue
      this.#ledger.atomic(() => {
        this.#removeOrphans(place)
        this.#removeExchange(definition)
      })
    }
  }

  /** Of no effect when there is no such binding. An exchange that is to go with its last binding goes. */
  async unbind(namespace: string, binding: BindingDefinition): Promise<void> {
    const { source, destination, encoded } = this.#ends(namespace, binding)
    const { key } = binding
    const present = source.outgoing.get(bindingKey(destination, key, encoded))
    if (present) {
      atomically(this.#ledger, () => {
        const fact = boundFact(present)
        if (present.isDurable) this.#write(factTypes.unbound, bound, fact)
        else this.#table.unbind(fact)
        if (!source.definition.autoDelete || source.outgoing.size > 0) return
        this.#removeOrphans(source.place)
        this.#removeExchange(source.definition)
      })
    }
    await this.#settled()
  }

  /**
   * Queues and topics that a message goes to, each once, going by all that was decided, durable or not. Undefined when there is no such
   * exchange. The list is not the caller's to change, and is valid until it next waits.
   */
  route(
    namespace: string,
    exchange: string,
    key: string,
    headers: readonly Header[] = noHeaders,
  ): readonly Destination[] | undefined {
    return this.#resolver.route(namespace, exchange, key, headers)
  }

  /**
   * The same for a message with any number of keys, and for who makes the headers only when the route depends on them. Empty, too, when there is
   * no such exchange.
   */
  lookUp(
    namespace: string,
    exchange: string,
    keys: readonly string[],
    headersOf: () => readonly Header[],
  ): readonly Destination[] {
    return this.#resolver.lookUpAll(namespace, exchange, keys, headersOf)
  }

  /** Appends a message wherever its exchange leads, in one block, and calls `done` when that is durable, or at once with a refusal. */
  publish(publication: Publication, done: (outcome: PublishOutcome) => void): void {
    this.#tell(this.post(publication), done)
  }

  /**
   * Like `publish`, for who publishes much: tells at once what was decided, and of which block it is part. Many messages need one call of
   * `Ledger.whenDurable` then, and no function each.
   */
  post(publication: Publication): Posted {
    const { namespace, exchange, key, headers, message, delayMs = 0 } = publication
    const node = this.#table.exchange(namespace, exchange)
    if (!node) return this.#publisher.refuse('exchange-not-found')
    if (node.definition.internal) return this.#publisher.refuse('access-denied')
    const stamped = exchange === defaultExchange ? message : { ...message, exchange }
    if (delayMs > 0 && node.definition.kind === 'delayed' && this.delays) {
      return this.delays.post({ ...publication, message: stamped }, delayMs)
    }
    return this.postTo(this.route(namespace, exchange, key, headers) ?? [], key, stamped)
  }

  /**
   * The second half of `publish`, for who has asked for the destinations, perhaps by several keys. The message itself tells of its exchange
   * and of its further keys.
   */
  deliver(
    destinations: readonly Destination[],
    key: string,
    message: Publication['message'],
    done: (outcome: PublishOutcome) => void,
  ): void {
    this.#tell(this.postTo(destinations, key, message), done)
  }

  /** `deliver` as `post` does it. */
  postTo(destinations: readonly Destination[], key: string, message: Publication['message']): Posted {
    return this.#publisher.post(destinations, key, message)
  }

  /** Whether the disk has room for what these would store of the message. */
  hasRoom(destinations: readonly Destination[], message: Publication['message']): boolean {
    return this.#publisher.hasRoom(destinations, message)
  }

  /** Lets somebody take messages as they pass. What it is bound to is valid until `detach`. */
  attach(namespace: string, sink: Sink): Attachment {
    return new SinkAttachment(this.#table, namespace, sink, this.#live)
  }

  /** How many sinks a message with this key would reach at present. */
  reach(namespace: string, exchange: string, key: string): number {
    const route = this.route(namespace, exchange, key) ?? []
    return route.length - firstSink(route)
  }

  /** Calls `run` when what was posted with that block is durable; at once if it is. */
  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    this.#ledger.whenDurable(seq, run, argument)
  }

  /** All that `run` posts, and settles, is in one block. Returns its number. */
  atomic(run: () => void): number {
    return atomically(this.#ledger, run)
  }

  #tell({ isRouted, error, seq }: Posted, done: (outcome: PublishOutcome) => void): void {
    if (error !== undefined) this.#ledger.whenDurable(seq, done, { isRouted, error })
    else this.#ledger.whenDurable(seq, done, isRouted ? routed : unrouted)
  }

  #exchange(namespace: string, name: string): ExchangeNode {
    const node = this.#table.exchange(namespace, name)
    if (!node) throw new BrokerError('exchange-not-found', quote(name))
    return node
  }

  #ends(namespace: string, binding: BindingDefinition): { source: ExchangeNode; destination: Place; encoded: Buffer } {
    const { source, kind, destination, arguments: given = noHeaders } = binding
    const isDefault = source === defaultExchange || (kind === 'exchange' && destination === defaultExchange)
    if (isDefault) throw new BrokerError('access-denied', 'the bindings of the default exchange cannot be changed')
    const from = this.#exchange(namespace, source)
    const to = this.#table.place(kind, namespace, destination)
    if (!to) throw new BrokerError(`${kind}-not-found`, quote(destination))
    return { source: from, destination: to, encoded: encodeArguments(given) }
  }

  /** Within the block that removes a queue or a topic. */
  #beforeRemove(namespace: string, name: string): void {
    const place = this.#table.named(namespace, name)
    if (place) this.#removeOrphans(place)
  }

  /** Removes exchanges that are to go with their last binding, and have none when the place is gone. */
  #removeOrphans(place: Place): void {
    const gone = new Set([place])
    // How many bindings of an exchange lead to what goes.
    const counts = new Map<ExchangeNode, number>()
    for (const going of gone) {
      for (const { source } of going.incoming ?? []) {
        if (!source.definition.autoDelete || gone.has(source.place)) continue
        const count = (counts.get(source) ?? 0) + 1
        counts.set(source, count)
        if (count === source.outgoing.size) gone.add(source.place)
      }
    }
    gone.delete(place)
    for (const { exchange } of gone) if (exchange) this.#removeExchange(exchange.definition)
  }

  #removeExchange({ namespace, name, isDurable: hasFact }: ExchangeDefinition): void {
    if (hasFact) this.#write(factTypes.exchangeDeleted, exchangeDeleted, { namespace, name })
    else this.#table.remove(namespace, name)
  }

  #checkLimit(count: number, max: number, what: string): void {
    if (count >= max) throw new BrokerError('limit-reached', `there are ${max} ${what}, which is the most allowed`)
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    this.#ledger.fact(machineKinds.directory, type, factOf(codec, value))
  }

  #settled(): Promise<void> {
    return durably(this.#ledger, this.#ledger.openSeq)
  }
}

const noHeaders: readonly Header[] = []
const routed: PublishOutcome = { isRouted: true, error: undefined }
const unrouted: PublishOutcome = { isRouted: false }

/** Throws when the kind of the exchange cannot make anything of the binding. */
function checkKind({ definition, matcher }: ExchangeNode, binding: BindingDefinition): void {
  if (routesBy(definition) === 'headers') {
    const word = binding.arguments?.findLast(({ name }) => name === matchArgument)?.value
    if (word !== undefined && !isMatchWord(word)) {
      const detail = `${matchArgument} takes all, any, all-with-x or any-with-x, not ${quote(String(word))}`
      throw new BrokerError('request-invalid', detail)
    }
  }
  if (!(matcher instanceof HashRing)) return
  const weight = weightOf(binding.key)
  if (weight === undefined) {
    const detail = `the key of the binding is a weight from 1 to ${weightMax}, not ${quote(binding.key)}`
    throw new BrokerError('request-invalid', detail)
  }
  if (matcher.weight + weight > weightMax) {
    const detail = `the weights of an exchange are at most ${weightMax} together`
    throw new BrokerError('limit-reached', detail)
  }
}
