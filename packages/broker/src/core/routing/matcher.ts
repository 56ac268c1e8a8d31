import type { Header } from '../message.ts'
import type { Binding, Matcher, Place } from './place.ts'

/** Bindings by a text. Most texts have one, which then needs no set. */
export class Buckets {
  readonly #byText = new Map<string, Binding | Set<Binding>>()

  get size(): number {
    return this.#byText.size
  }

  add(text: string, binding: Binding): void {
    const present = this.#byText.get(text)
    if (present === undefined) this.#byText.set(text, binding)
    else if (present instanceof Set) present.add(binding)
    else this.#byText.set(text, new Set([present, binding]))
  }

  remove(text: string, binding: Binding): void {
    const present = this.#byText.get(text)
    if (present instanceof Set) {
      present.delete(binding)
      if (present.size > 0) return
    }
    this.#byText.delete(text)
  }

  count(text: string): number {
    const present = this.#byText.get(text)
    return present instanceof Set ? present.size : present === undefined ? 0 : 1
  }

  /** Appends the destinations of those under `text` for which `isWanted`, or of all. */
  collect(text: string, found: Place[], isWanted?: (binding: Binding) => boolean): void {
    const present = this.#byText.get(text)
    if (present === undefined) return
    if (!(present instanceof Set)) {
      if (isWanted?.(present) !== false) found.push(present.destination)
      return
    }
    for (const binding of present) if (isWanted?.(binding) !== false) found.push(binding.destination)
  }
}

export class DirectMatcher implements Matcher {
  readonly isByKey = true
  readonly #bindings = new Buckets()

  add(binding: Binding): void {
    this.#bindings.add(binding.key, binding)
  }
  remove(binding: Binding): void {
    this.#bindings.remove(binding.key, binding)
  }
  match(key: string, _headers: readonly Header[], found: Place[]): void {
    this.#bindings.collect(key, found)
  }
}

export class FanoutMatcher implements Matcher {
  readonly isByKey = true
  readonly #bindings = new Set<Binding>()

  add(binding: Binding): void {
    this.#bindings.add(binding)
  }
  remove(binding: Binding): void {
    this.#bindings.delete(binding)
  }
  match(_key: string, _headers: readonly Header[], found: Place[]): void {
    for (const { destination } of this.#bindings) found.push(destination)
  }
}

/** The default exchange: every queue and topic by its name. Nothing is bound to it, and it is as fast as what it would keep. */
export class NameMatcher implements Matcher {
  readonly isByKey = false
  readonly #places: ReadonlyMap<string, Place>

  constructor(places: ReadonlyMap<string, Place>) {
    this.#places = places
  }

  add(): void {
    throw new Error('Nothing is bound to the default exchange')
  }
  remove(): void {
    throw new Error('Nothing is bound to the default exchange')
  }
  match(key: string, _headers: readonly Header[], found: Place[]): void {
    const place = this.#places.get(key)
    if (place) found.push(place)
  }
}
