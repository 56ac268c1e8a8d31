import { BrokerError } from '../../errors.ts'
import { quote } from '../../names.ts'
import { wordSet, type Charset } from './charset.ts'
import { parsePattern, type Pattern } from './pattern-syntax.ts'

type Place = (Pattern & { kind: 'assert' })['at']

type Instruction =
  | { readonly kind: 'set'; readonly has: Charset; readonly next: number }
  | { readonly kind: 'assert'; readonly at: Place; readonly next: number }
  | { readonly kind: 'split'; readonly next: number; other: number }
  | { readonly kind: 'match' }

/** Parts that an expression may unfold to, counted repetitions included. */
const partsMax = 2_000
/** Places looked at in the life of an expression: only those that are built to be costly come near. */
const visitsMax = 1_000_000
/** States of the automaton that are kept; beyond them it begins anew. */
const statesMax = 1000

/**
 * A regular expression over whole names. Matching takes time linear in the name, whatever the expression: all ways through it
 * are followed at once, and the sets of places that occur are remembered as states of a deterministic automaton.
 */
export class TopicPattern {
  readonly #program: Instruction[] = []
  readonly #start: number
  readonly #match: number
  #states = new Map<string, State>()
  #parts = 0
  #visits = 0
  readonly #text: string

  /** Throws `BrokerError` `pattern-invalid` that says what is wrong. */
  constructor(text: string) {
    this.#text = text
    this.#match = this.#emit({ kind: 'match' })
    this.#start = this.#compile(parsePattern(text), this.#match)
  }

  /** Whether the whole name matches. Throws `BrokerError` `pattern-invalid` when that has become too costly. */
  matches(name: string): boolean {
    let state = this.#stateOf([this.#start], undefined)
    for (const char of name) {
      const code = char.codePointAt(0) ?? 0
      let next = state.next.get(code)
      if (next === undefined) state.next.set(code, (next = this.#step(state, code)))
      if (next.places.length === 0) return false
      state = next
    }
    state.accepts ??= this.#close(state.places, state.before, undefined).includes(this.#match)
    return state.accepts
  }

  #step(state: State, code: number): State {
    const places: number[] = []
    for (const place of this.#close(state.places, state.before, code)) {
      const instruction = this.#program[place]
      if (instruction?.kind === 'set' && instruction.has.has(code)) places.push(instruction.next)
    }
    return this.#stateOf(places, code)
  }

  /** A state is where one may be after a character, and what of that character assertions can ask for. */
  #stateOf(places: readonly number[], before: number | undefined): State {
    const sorted = Array.from(new Set(places)).sort((a, b) => a - b)
    const kind = before === undefined ? 0 : before === newline ? 1 : wordSet.has(before) ? 2 : 3
    const key = `${kind}:${sorted.join()}`
    let state = this.#states.get(key)
    if (state !== undefined) return state
    if (this.#states.size >= statesMax) {
      for (const old of this.#states.values()) old.next.clear()
      this.#states = new Map()
    }
    this.#states.set(key, (state = { places: sorted, before, next: new Map(), accepts: undefined }))
    return state
  }

  /** All places that can be reached without a character, between `before` and `after`; undefined is the edge of the name. */
  #close(places: readonly number[], before: number | undefined, after: number | undefined): number[] {
    const seen = new Set<number>()
    const open = [...places]
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      if (seen.has(place)) continue
      seen.add(place)
      const instruction = this.#program[place]
      if (++this.#visits > visitsMax) throw new BrokerError('pattern-invalid', `${quote(this.#text)}: it is too costly`)
      if (instruction?.kind === 'split') open.push(instruction.next, instruction.other)
      if (instruction?.kind === 'assert' && holds(instruction.at, before, after)) open.push(instruction.next)
    }
    return Array.from(seen)
  }

  #emit(instruction: Instruction): number {
    return this.#program.push(instruction) - 1
  }

  /** Instructions for a part of the expression, followed by those at `next`. Gives the first. */
  #compile(pattern: Pattern, next: number): number {
    if (++this.#parts > partsMax) throw new BrokerError('pattern-invalid', `${quote(this.#text)}: it is too large`)
    switch (pattern.kind) {
      case 'empty':
        return next
      case 'set':
        return this.#emit({ kind: 'set', has: pattern.has, next })
      case 'assert':
        return this.#emit({ kind: 'assert', at: pattern.at, next })
      case 'sequence':
        return pattern.of.reduceRight((follower, part) => this.#compile(part, follower), next)
      case 'choice':
        return pattern.of
          .map(part => this.#compile(part, next))
          .reduce((one, other) => this.#emit({ kind: 'split', next: one, other }))
      case 'repeat':
        return this.#compileRepeat(pattern, next)
    }
  }

  #compileRepeat({ of, min, max }: Pattern & { kind: 'repeat' }, next: number): number {
    let entry = next
    if (max === Infinity) {
      const loop: Instruction = { kind: 'split', next, other: next }
      entry = this.#emit(loop)
      loop.other = this.#compile(of, entry)
    } else {
      for (let count = min; count < max; count++) {
        entry = this.#emit({ kind: 'split', next, other: this.#compile(of, entry) })
      }
    }
    for (let count = 0; count < min; count++) entry = this.#compile(of, entry)
    return entry
  }
}

interface State {
  readonly places: readonly number[]
  /** A character that led here. */
  readonly before: number | undefined
  readonly next: Map<number, State>
  /** Whether the name may end here, once that was asked. */
  accepts: boolean | undefined
}

const newline = 10

function holds(at: Place, before: number | undefined, after: number | undefined): boolean {
  switch (at) {
    case 'start':
      return before === undefined
    case 'end':
      return after === undefined
    case 'line-start':
      return before === undefined || before === newline
    case 'line-end':
      return after === undefined || after === newline
    case 'word':
      return isWord(before) !== isWord(after)
    case 'no-word':
      return isWord(before) === isWord(after)
  }
}

const isWord = (code: number | undefined): boolean => code !== undefined && wordSet.has(code)
