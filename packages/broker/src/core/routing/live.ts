import type { Header } from '../message.ts'
import { Glob } from './glob.ts'
import { Buckets } from './matcher.ts'
import type { Binding, LiveMatcher, Matcher, Place } from './place.ts'
import type { KeyPattern } from './sink.ts'

/** What leads from one exchange to sinks. */
export class LiveBindings implements LiveMatcher {
  readonly #bindings: Matcher
  readonly #literals = new Buckets()
  /** By pattern. */
  readonly #globs = new Map<string, { readonly glob: Glob; readonly places: Set<Place> }>()

  /** `matcher` is one of the exchange's kind, for these alone. */
  constructor(matcher: Matcher) {
    this.#bindings = matcher
  }

  add(binding: Binding, pattern: KeyPattern): void {
    if (pattern === 'binding') return this.#bindings.add(binding)
    if (pattern === 'literal') return this.#literals.add(binding.key, binding)
    const { key, destination } = binding
    const present = this.#globs.get(key)
    if (present) present.places.add(destination)
    else this.#globs.set(key, { glob: new Glob(key), places: new Set([destination]) })
  }

  remove(binding: Binding, pattern: KeyPattern): void {
    if (pattern === 'binding') return this.#bindings.remove(binding)
    if (pattern === 'literal') return this.#literals.remove(binding.key, binding)
    const present = this.#globs.get(binding.key)
    present?.places.delete(binding.destination)
    if (present?.places.size === 0) this.#globs.delete(binding.key)
  }

  /** As `Matcher.match`. */
  match(key: string, headers: readonly Header[], found: Place[]): void {
    this.#bindings.match(key, headers, found)
    this.#literals.collect(key, found)
    for (const { glob, places } of this.#globs.values()) if (glob.matches(key)) found.push(...places)
  }
}
