import type { Binding } from './queue-port.ts'

interface Edge extends Binding {
  /** Undefined: nobody knows. */
  isBound: boolean | undefined
  /** Since when at the latest that is so. */
  sinceMs: number
  /** Somebody is changing it, or his answer was lost. */
  isOpen: boolean
}

/** Where a message may have gone, and where for sure; topics as `topic/NAME`. */
export interface Reach {
  certain: Set<string>
  possible: Set<string>
}

export type ExchangeKind = 'direct' | 'fanout' | 'topic'

/** What is known of bindings, and where a message goes by it. Written without a look at the broker's own matching. */
export class BindingHistory {
  readonly #kinds: ReadonlyMap<string, ExchangeKind>
  readonly #edges = new Map<string, Edge>()

  /** Exchanges are there all the time. */
  constructor(kinds: ReadonlyMap<string, ExchangeKind>) {
    this.#kinds = kinds
  }

  /** Somebody is about to change it. */
  begin(binding: Binding): void {
    this.know(binding, undefined, Infinity, true)
  }

  /** It is known to be so from `nowMs` on; undefined: it may be so. */
  know(binding: Binding, isBound: boolean | undefined, nowMs: number, isOpen = false): void {
    const { source, kind, destination, key } = binding
    const sinceMs = isBound === undefined ? Infinity : nowMs
    this.#edges.set(`${source} ${kind} ${destination} ${key}`, { ...binding, isBound, sinceMs, isOpen })
  }

  /** The same of all bindings to a queue, which goes. */
  forget(queue: string, isBound: false | undefined, nowMs: number): void {
    for (const edge of this.#edges.values())
      if (edge.kind === 'queue' && edge.destination === queue && !edge.isOpen) this.know(edge, isBound, nowMs)
  }

  /** Where a message went that was published at some time between `askedMs` and now. */
  reach(exchange: string, key: string, askedMs: number): Reach {
    const certain = this.#follow(exchange, key, ({ isBound, sinceMs }) => isBound === true && sinceMs <= askedMs)
    const possible = this.#follow(exchange, key, ({ isBound, sinceMs }) => isBound !== false || sinceMs > askedMs)
    return { certain, possible }
  }

  #follow(exchange: string, key: string, counts: (edge: Edge) => boolean): Set<string> {
    if (exchange === '') return new Set([key])
    const found = new Set<string>()
    const exchanges = new Set([exchange])
    for (const source of exchanges) {
      for (const edge of this.#edges.values()) {
        if (edge.source !== source || !counts(edge) || !this.#matches(source, edge.key, key)) continue
        if (edge.kind === 'exchange') exchanges.add(edge.destination)
        else found.add(edge.kind === 'topic' ? `topic/${edge.destination}` : edge.destination)
      }
    }
    return found
  }

  #matches(exchange: string, bound: string, key: string): boolean {
    switch (this.#kinds.get(exchange)) {
      case 'fanout':
        return true
      case 'topic':
        return matchesPattern(bound.split('.'), key.split('.'))
      default:
        return bound === key
    }
  }
}

function matchesPattern([first, ...pattern]: string[], words: string[]): boolean {
  if (first === undefined) return words.length === 0
  if (first === '#') return words.some((_, at) => matchesPattern(pattern, words.slice(at))) || pattern.every(isAny)
  return words.length > 0 && (first === '*' || first === words[0]) && matchesPattern(pattern, words.slice(1))
}

const isAny = (word: string): boolean => word === '#'
