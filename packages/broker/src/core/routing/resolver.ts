import type { Header } from '../message.ts'
import type { RoutingTable } from './table.ts'
import type { Destination, ExchangeNode, Place } from './place.ts'

type Route = readonly Destination[]

/** Longer keys are looked up each time: what is kept must be bounded. */
const keyLengthMax = 256
/** Routes and their destinations that are kept, together. */
const costMax = 1 << 18

const noHeaders: readonly Header[] = []
const nowhere: Route = []
/** Stands for a route that depends on more than the key. */
const unkept: Route = []

/**
 * Finds where a message goes. What depends on the key alone is kept for each exchange and key until anything changes in an exchange on the way.
 */
export class Resolver {
  readonly #table: RoutingTable
  readonly #kept = new KeptRoutes()
  #mark = 0

  constructor(table: RoutingTable) {
    this.#table = table
    table.changed = exchange => this.#forget(exchange)
  }

  /** Each destination once. Undefined when there is no such exchange. The list is not the caller's to change. */
  route(namespace: string, exchange: string, key: string, headers: readonly Header[]): Route | undefined {
    if (exchange === '') return this.#table.named(namespace, key)?.alone ?? nowhere
    const node = this.#table.exchange(namespace, exchange)
    if (!node) return undefined
    const known = this.#kept.get(node, key)
    if (known !== undefined && known !== unkept) return known
    const { found, isByKey } = this.#walk(node, [key], headers)
    if (known === undefined && key.length <= keyLengthMax) this.#kept.set(node, key, isByKey ? found : unkept)
    return found
  }

  /** The same, for who makes the headers only when the route depends on them. Empty, too, when there is no such exchange. */
  lookUp(namespace: string, exchange: string, key: string, headersOf: () => readonly Header[]): Route {
    if (exchange === '') return this.route(namespace, exchange, key, noHeaders) ?? nowhere
    const node = this.#table.exchange(namespace, exchange)
    if (!node) return nowhere
    const known = this.#kept.get(node, key)
    if (known !== undefined && known !== unkept) return known
    return this.route(namespace, exchange, key, headersOf()) ?? nowhere
  }

  /** The same for a message with several keys: every exchange on the way goes by all of them. */
  lookUpAll(namespace: string, exchange: string, keys: readonly string[], headersOf: () => readonly Header[]): Route {
    const [only = ''] = keys
    if (keys.length <= 1) return this.lookUp(namespace, exchange, only, headersOf)
    if (exchange === '') return [...new Set(keys.flatMap(key => this.#table.named(namespace, key)?.alone ?? []))]
    const node = this.#table.exchange(namespace, exchange)
    return node ? this.#walk(node, keys, headersOf()).found : nowhere
  }

  /** Through all exchanges on the way, each once, so that cycles end. */
  #walk(start: ExchangeNode, keys: readonly string[], headers: readonly Header[]): { found: Route; isByKey: boolean } {
    const mark = ++this.#mark
    const found: Place[] = []
    const sinks: Place[] = []
    const matched: Place[] = []
    const nodes = [start]
    let isByKey = true
    start.place.mark = mark
    const reach = (place: Place): void => {
      if (place.mark === mark) return
      place.mark = mark
      if (place.exchange) nodes.push(place.exchange)
      else if (place.kind === 'sink') sinks.push(place)
      else found.push(place)
    }
    for (const { definition, matcher, live, alternate: other } of nodes) {
      matched.length = 0
      if (!matcher.isByKey) isByKey = false
      for (const key of keys) matcher.match(key, headers, matched)
      if (live) for (const key of keys) live.match(key, headers, matched)
      for (const place of matched) reach(place)
      const alternate =
        matched.length === 0 && other !== undefined ? this.#table.exchange(definition.namespace, other) : undefined
      if (alternate) reach(alternate.place)
    }
    for (const sink of sinks) found.push(sink)
    return { found: found.length === 0 ? nowhere : found, isByKey }
  }

  /** What is kept of an exchange and of all that lead to it. */
  #forget(exchange: ExchangeNode): void {
    if (this.#kept.isEmpty) return
    const seen = new Set([exchange])
    for (const node of seen) {
      this.#kept.drop(node)
      for (const { source } of node.place.incoming ?? []) seen.add(source)
      for (const other of this.#table.withAlternate(node)) seen.add(other)
    }
  }
}

type Routes = Map<ExchangeNode, Map<string, Route>>

/** Two generations: when the young one is full, the old one goes, and what is asked for of it until then stays. */
class KeptRoutes {
  #young: Routes = new Map()
  #old: Routes = new Map()
  /** Of the young ones. */
  #cost = 0

  get isEmpty(): boolean {
    return this.#young.size === 0 && this.#old.size === 0
  }

  get(node: ExchangeNode, key: string): Route | undefined {
    const route = this.#young.get(node)?.get(key)
    if (route !== undefined) return route
    const old = this.#old.get(node)?.get(key)
    if (old !== undefined) this.set(node, key, old)
    return old
  }

  set(node: ExchangeNode, key: string, route: Route): void {
    const cost = 1 + route.length
    if (this.#cost + cost > costMax / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#cost = 0
    }
    this.#cost += cost
    const routes = this.#young.get(node)
    if (routes) routes.set(key, route)
    else this.#young.set(node, new Map([[key, route]]))
  }

  drop(node: ExchangeNode): void {
    this.#young.delete(node)
    this.#old.delete(node)
  }
}
