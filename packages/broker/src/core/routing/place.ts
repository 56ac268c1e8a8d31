import type { Header } from '../message.ts'
import type { ExchangeDefinition } from './exchange.ts'
import type { KeyPattern, Sink } from './sink.ts'

/** Where a binding may lead. Written to disk as the index: never reorder. */
export const placeKinds = ['queue', 'topic', 'exchange'] as const
export type PlaceKind = (typeof placeKinds)[number]

/** Where a message goes: a queue or a topic, or one who takes it as it passes. Among several, those are the last. */
export interface Destination {
  readonly kind: PlaceKind | 'sink'
  readonly namespace: string
  readonly name: string
}

/** What bindings may lead to: one object for each, as long as it is there. */
export class Place implements Destination {
  readonly kind: PlaceKind | 'sink'
  readonly namespace: string
  readonly name: string
  /** Whether a restart leaves it there. */
  readonly isDurable: boolean
  /** A route that leads here alone. */
  readonly alone: readonly Place[] = [this]
  exchange: ExchangeNode | undefined
  /** Bindings that lead here, when there were any. */
  incoming: Set<Binding> | undefined
  /** Number of the walk that came here last. */
  mark = 0

  constructor(kind: PlaceKind | 'sink', namespace: string, name: string, isDurable: boolean) {
    this.kind = kind
    this.namespace = namespace
    this.name = name
    this.isDurable = isDurable
  }
}

/** Of a sink, which has no name: nothing refers to it but its own bindings. */
export class SinkPlace extends Place {
  /** Undefined: it was detached. */
  sink: Sink | undefined

  constructor(namespace: string, sink: Sink) {
    super('sink', namespace, '', false)
    this.sink = sink
  }
}

/** Immutable. */
export interface Binding {
  readonly source: ExchangeNode
  readonly destination: Place
  readonly key: string
  /** By name. */
  readonly arguments: readonly Header[]
  /** The same as bytes. */
  readonly encoded: Buffer
  /** Whether both ends are. */
  readonly isDurable: boolean
}

/** An exchange with what leads from it. */
export interface ExchangeNode {
  readonly definition: ExchangeDefinition
  readonly place: Place
  /** Gets what no binding matches, by the exchange's own settings or by a policy. It need not exist. */
  alternate: string | undefined
  /** It was bound in a way that a restart leaves nothing of: should it be left without bindings then, it goes if it is to. */
  isUsed: boolean
  /** By `bindingKey`, in the order in which they were made. */
  readonly outgoing: Map<string, Binding>
  readonly matcher: Matcher
  /** What leads to sinks, when there was any. */
  live: LiveMatcher | undefined
}

/** How one exchange finds the bindings that match. Its cost does not grow with those that do not. */
export interface Matcher {
  /** Whether what it finds depends on bindings and the key alone, so that it can be kept. */
  readonly isByKey: boolean
  add(binding: Binding): void
  remove(binding: Binding): void
  /** Appends destinations of bindings that match; one may come more than once. */
  match(key: string, headers: readonly Header[], found: Place[]): void
}

/** The same for bindings that lead to sinks. */
export interface LiveMatcher {
  add(binding: Binding, pattern: KeyPattern): void
  remove(binding: Binding, pattern: KeyPattern): void
  match: Matcher['match']
}

/** What makes a binding of an exchange another one. */
export function bindingKey(destination: Destination, key: string, encoded: Buffer): string {
  return `${destination.kind} ${key.length} ${key}${destination.name}\0${encoded.toString('latin1')}`
}
