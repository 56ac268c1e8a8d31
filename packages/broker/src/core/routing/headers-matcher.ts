import type { Header } from '../message.ts'
import { valueKey } from './arguments.ts'
import { Buckets } from './matcher.ts'
import type { Binding, Matcher, Place } from './place.ts'

/** The argument that says how the others are meant; every other one names a header and its value, null for any value. */
export const matchArgument = 'x-match'

/** What a binding asks for. */
interface Wanted {
  readonly isAny: boolean
  readonly pairs: readonly Pair[]
}
interface Pair {
  readonly name: string
  /** Undefined: any value will do. */
  readonly value: string | undefined
}

/** Bindings that look at one header. */
interface NameIndex {
  readonly byValue: Buckets
  /** Under the empty text: those that any value will do for. */
  readonly present: Buckets
}

/** Whether an argument says how to match in one of the four ways. */
export const isMatchWord = (word: unknown): boolean => typeof word === 'string' && matchWords.has(word)

/** `-with-x` also counts headers whose names begin with `x-`; the others leave them out. */
const matchWords = new Set(['all', 'any', 'all-with-x', 'any-with-x'])

/**
 * Bindings by the headers that they ask for. One that wants all of several headers is found by one of them, that with the fewest others; one
 * that wants any is found by each.
 */
export class HeadersMatcher implements Matcher {
  readonly isByKey = false
  readonly #byName = new Map<string, NameIndex>()
  /** Those that ask for nothing, and get everything. */
  readonly #always = new Set<Binding>()
  readonly #wanted = new Map<Binding, Wanted>()
  /** By which pairs a binding is found. */
  readonly #indexed = new Map<Binding, readonly Pair[]>()

  add(binding: Binding): void {
    const wanted = wantedOf(binding)
    const { isAny, pairs } = wanted
    this.#wanted.set(binding, wanted)
    if (!isAny && pairs.length === 0) return void this.#always.add(binding)
    const indexed = isAny ? pairs : [this.#rarest(pairs)]
    this.#indexed.set(binding, indexed)
    for (const pair of indexed) this.#bucketsOf(pair).add(pair.value ?? '', binding)
  }

  remove(binding: Binding): void {
    for (const { name, value } of this.#indexed.get(binding) ?? []) {
      const index = this.#byName.get(name)
      if (value === undefined) index?.present.remove('', binding)
      else index?.byValue.remove(value, binding)
      if (index?.present.size === 0 && index.byValue.size === 0) this.#byName.delete(name)
    }
    this.#wanted.delete(binding)
    this.#indexed.delete(binding)
    this.#always.delete(binding)
  }

  match(_key: string, headers: readonly Header[], found: Place[]): void {
    for (const { destination } of this.#always) found.push(destination)
    if (this.#byName.size === 0) return
    // The last of each name counts. Values are put into words only for headers that somebody asks for.
    const values = new Map(headers.map(({ name, value }) => [name, value]))
    const texts = new Map<string, string>()
    const textOf = (name: string): string | undefined => {
      const value = values.get(name)
      if (value === undefined) return undefined
      let text = texts.get(name)
      if (text === undefined) texts.set(name, (text = valueKey(value)))
      return text
    }
    const isWanted = (binding: Binding): boolean => {
      const { isAny, pairs } = this.#wanted.get(binding)!
      if (isAny) return true
      return pairs.every(({ name, value }) => (value === undefined ? values.has(name) : textOf(name) === value))
    }
    for (const name of values.keys()) {
      const index = this.#byName.get(name)
      if (!index) continue
      index.present.collect('', found, isWanted)
      if (index.byValue.size > 0) index.byValue.collect(textOf(name) ?? '', found, isWanted)
    }
  }

  #rarest(pairs: readonly Pair[]): Pair {
    const countOf = ({ name, value }: Pair): number => {
      const index = this.#byName.get(name)
      if (!index) return 0
      return value === undefined ? index.present.count('') : index.byValue.count(value)
    }
    return pairs.reduce((best, pair) => (countOf(pair) < countOf(best) ? pair : best))
  }

  #bucketsOf({ name, value }: Pair): Buckets {
    let index = this.#byName.get(name)
    if (!index) this.#byName.set(name, (index = { byValue: new Buckets(), present: new Buckets() }))
    return value === undefined ? index.present : index.byValue
  }
}

function wantedOf(binding: Binding): Wanted {
  const given = binding.arguments.find(({ name }) => name === matchArgument)?.value
  const word = typeof given === 'string' ? given : 'all'
  const withX = word.endsWith('-with-x')
  const pairs = binding.arguments
    .filter(({ name }) => name !== matchArgument && (withX || !name.startsWith('x-')))
    .map(({ name, value }) => ({ name, value: value === null ? undefined : valueKey(value) }))
  return { isAny: word.startsWith('any'), pairs }
}
