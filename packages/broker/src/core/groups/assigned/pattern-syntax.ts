import { BrokerError } from '../../errors.ts'
import { quote } from '../../names.ts'
import { charset, either, folded, namedSet, not, perlSets, posixSets, range, type Charset } from './charset.ts'

/**
 * Regular expressions as RE2 writes them: no back references and no looking around, so that they can be matched in linear time.
 * Flags, classes, lazy repetitions and named groups are understood; what only matters for finding the place of a match
 * (laziness, captures) changes nothing here.
 */
export type Pattern =
  | { readonly kind: 'empty' }
  | { readonly kind: 'set'; readonly has: Charset }
  | { readonly kind: 'assert'; readonly at: 'start' | 'end' | 'line-start' | 'line-end' | 'word' | 'no-word' }
  | { readonly kind: 'sequence' | 'choice'; readonly of: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly of: Pattern; readonly min: number; readonly max: number }

/** Longest expression, in characters. */
const patternLengthMax = 1000
/** Most times that a counted repetition may ask for: RE2's own bound. */
const repeatMax = 1000
/** Deepest nesting of groups. */
const depthMax = 100

/** Throws `BrokerError` `pattern-invalid` that says what is wrong. */
export function parsePattern(text: string): Pattern {
  if (text.length > patternLengthMax) {
    throw new BrokerError('pattern-invalid', `it has ${text.length} characters, more than ${patternLengthMax}`)
  }
  return new Parser(text).whole()
}

interface Flags {
  /** i: letters match in both cases. */
  fold: boolean
  /** m: ^ and $ match at lines. */
  lines: boolean
  /** s: . matches line ends. */
  dotAll: boolean
  /** U: greedy and lazy are swapped, which decides nothing here. */
  swap: boolean
}

const flagNames = { i: 'fold', m: 'lines', s: 'dotAll', U: 'swap' } as const
const newline = 10
const escapes: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: newline, r: 13, v: 11 }
const codeMax = 0x10ffff

class Parser {
  readonly #chars: string[]
  readonly #text: string
  #at = 0
  #depth = 0
  #flags: Flags = { fold: false, lines: false, dotAll: false, swap: false }

  constructor(text: string) {
    this.#text = text
    this.#chars = Array.from(text)
  }

  whole(): Pattern {
    const pattern = this.#choice()
    if (this.#at < this.#chars.length) this.#fail('unexpected ")"')
    return pattern
  }

  #choice(): Pattern {
    const of = [this.#sequence()]
    while (this.#take('|')) of.push(this.#sequence())
    const [first] = of
    return of.length === 1 && first !== undefined ? first : { kind: 'choice', of }
  }

  #sequence(): Pattern {
    const of: Pattern[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      if (this.#takeWord('\\Q')) this.#quoted(of)
      else of.push(this.#repeated())
    }
    return { kind: 'sequence', of }
  }

  /** Up to \E or the end, letter by letter. A repetition sign after it belongs to the last letter. */
  #quoted(of: Pattern[]): void {
    while (this.#at < this.#chars.length && !this.#takeWord('\\E')) of.push(this.#literal(this.#next()))
    const last = of.at(-1)
    if (last !== undefined && this.#startsRepetition()) of.splice(-1, 1, this.#repetitionsOf(last))
  }

  #repeated(): Pattern {
    const at = this.#at
    if (this.#startsRepetition()) this.#fail('missing argument to repetition operator')
    this.#at = at
    return this.#repetitionsOf(this.#atom())
  }

  #repetitionsOf(atom: Pattern): Pattern {
    if (!this.#startsRepetition()) return atom
    const { min, max } = this.#repetition()
    this.#take('?') // Lazy.
    if (this.#startsRepetition()) this.#fail('invalid nested repetition operator')
    return { kind: 'repeat', of: atom, min, max }
  }

  #startsRepetition(): boolean {
    const next = this.#peek()
    return next === '*' || next === '+' || next === '?' || (next === '{' && this.#counts() !== undefined)
  }

  #repetition(): { min: number; max: number } {
    if (this.#take('*')) return { min: 0, max: Infinity }
    if (this.#take('+')) return { min: 1, max: Infinity }
    if (this.#take('?')) return { min: 0, max: 1 }
    const counts = this.#counts()
    if (counts === undefined) return this.#fail('invalid repeat count')
    this.#at = counts.end
    const { min, max } = counts
    if (min > repeatMax || (max !== Infinity && max > repeatMax) || min > max) this.#fail('invalid repeat count')
    return counts
  }

  /** `{2}`, `{2,}` or `{2,5}` here; braces of any other form stand for themselves. */
  #counts(): { min: number; max: number; end: number } | undefined {
    const rest = this.#chars.slice(this.#at, this.#at + 24).join('')
    const found = /^\{(\d{1,8})(,(\d{0,8}))?\}/.exec(rest)
    if (found === null) return undefined
    const min = Number(found[1])
    const max = found[2] === undefined ? min : found[3] === '' ? Infinity : Number(found[3])
    return { min, max, end: this.#at + found[0].length }
  }

  #atom(): Pattern {
    const next = this.#next()
    switch (next) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'set', has: this.#class() }
      case '.':
        return { kind: 'set', has: this.#flags.dotAll ? charset(() => true) : charset(code => code !== newline) }
      case '^':
        return { kind: 'assert', at: this.#flags.lines ? 'line-start' : 'start' }
      case '$':
        return { kind: 'assert', at: this.#flags.lines ? 'line-end' : 'end' }
      case '\\':
        return this.#escape()
      default:
        return this.#literal(next)
    }
  }

  #literal(char: string): Pattern {
    return this.#setOf(range(codeOf(char), codeOf(char)))
  }

  #setOf(has: Charset): Pattern {
    return { kind: 'set', has: this.#flags.fold ? folded(has) : has }
  }

  #group(): Pattern {
    if (++this.#depth > depthMax) this.#fail('it is nested too deeply')
    const outer = { ...this.#flags }
    if (this.#take('?') && !this.#name()) {
      const closed = this.#readFlags()
      if (closed) {
        this.#depth--
        return { kind: 'empty' } // (?i): from here to the end of the group around it.
      }
    }
    const inner = this.#choice()
    if (!this.#take(')')) this.#fail('missing closing )')
    this.#flags = outer
    this.#depth--
    return inner
  }

  /** `P<name>` or `<name>` of a group. */
  #name(): boolean {
    const rest = this.#chars.slice(this.#at).join('')
    const found = /^P?<([A-Za-z0-9_]+)>/.exec(rest)
    if (found === null) return false
    this.#at += found[0].length
    return true
  }

  /** `i-s:` or `i-s)`. Whether it was closed without a group of its own. */
  #readFlags(): boolean {
    let on = true
    for (;;) {
      const next = this.#at < this.#chars.length ? this.#next() : this.#fail('missing closing )')
      if (next === ':') return false
      if (next === ')') return true
      if (next === '-' && on) on = false
      else if (isFlag(next)) this.#flags = { ...this.#flags, [flagNames[next]]: on }
      else this.#fail('invalid or unsupported group syntax')
    }
  }

  #escape(): Pattern {
    if (this.#at >= this.#chars.length) this.#fail('trailing backslash')
    const asserted = assertions.get(this.#peek() ?? '')
    if (asserted !== undefined) {
      this.#at++
      return { kind: 'assert', at: asserted }
    }
    const set = this.#escapedSet()
    if (set !== undefined) return this.#setOf(set)
    const code = this.#escapedCode()
    return this.#setOf(range(code, code))
  }

  /** \d, \pL and their like, after the backslash. */
  #escapedSet(): Charset | undefined {
    const letter = this.#peek() ?? ''
    const perl = perlSets.get(letter.toLowerCase())
    if (perl !== undefined) {
      this.#at++
      return letter === letter.toLowerCase() ? perl : not(perl)
    }
    if (letter !== 'p' && letter !== 'P') return undefined
    this.#at++
    let name = this.#at < this.#chars.length ? this.#next() : this.#fail('invalid character class range')
    if (name === '{') {
      const end = this.#chars.indexOf('}', this.#at)
      if (end < 0) this.#fail('invalid character class range')
      name = this.#chars.slice(this.#at, end).join('')
      this.#at = end + 1
    }
    const negated = name.startsWith('^')
    const set = namedSet(negated ? name.slice(1) : name)
    if (set === undefined) return this.#fail('invalid character class range')
    return (letter === 'P') === negated ? set : not(set)
  }

  #escapedCode(): number {
    const next = this.#next()
    const simple = escapes[next]
    if (simple !== undefined) return simple
    if (next === 'x') return this.#hexCode()
    if (/^[0-7]$/.test(next)) {
      const digits = /^[0-7]{0,2}/.exec(this.#chars.slice(this.#at, this.#at + 2).join(''))?.[0] ?? ''
      // \1 to \7 alone would be back references.
      if (next !== '0' && digits === '') this.#fail('invalid escape sequence')
      this.#at += digits.length
      return Number.parseInt(next + digits, 8)
    }
    if (/^[A-Za-z0-9]$/.test(next)) this.#fail('invalid escape sequence')
    return codeOf(next)
  }

  #hexCode(): number {
    const rest = this.#chars.slice(this.#at, this.#at + 12).join('')
    const found = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})/.exec(rest)
    const code = Number.parseInt(found?.[1] ?? found?.[2] ?? '', 16)
    if (found === null || !(code <= codeMax)) return this.#fail('invalid escape sequence')
    this.#at += found[0].length
    return code
  }

  #class(): Charset {
    const negated = this.#take('^')
    const parts: Charset[] = []
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      if (this.#at >= this.#chars.length) this.#fail('missing closing ]')
      parts.push(this.#classPart())
    }
    this.#at++
    const all = either(parts)
    const has = this.#flags.fold ? folded(all) : all
    return negated ? not(has) : has
  }

  #classPart(): Charset {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#chars.slice(this.#at, this.#at + 14).join(''))
    if (posix !== null) {
      const set = posixSets.get(posix[2] ?? '')
      if (set === undefined) return this.#fail('invalid character class range')
      this.#at += posix[0].length
      return posix[1] === '^' ? not(set) : set
    }
    if (this.#peek() === '\\') {
      this.#at++
      const set = this.#escapedSet()
      if (set !== undefined) return set
      this.#at--
    }
    const low = this.#classCode()
    if (this.#peek() !== '-' || this.#chars[this.#at + 1] === ']') return range(low, low)
    this.#at++
    const high = this.#classCode()
    if (high < low) this.#fail('invalid character class range')
    return range(low, high)
  }

  #classCode(): number {
    if (this.#at >= this.#chars.length) this.#fail('missing closing ]')
    const next = this.#next()
    if (next !== '\\') return codeOf(next)
    if (this.#at >= this.#chars.length) this.#fail('trailing backslash')
    return this.#escapedCode()
  }

  #peek(): string | undefined {
    return this.#chars[this.#at]
  }

  #next(): string {
    return this.#chars[this.#at++] ?? this.#fail('unexpected end')
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #takeWord(word: string): boolean {
    if (this.#chars.slice(this.#at, this.#at + word.length).join('') !== word) return false
    this.#at += word.length
    return true
  }

  #fail(problem: string): never {
    throw new BrokerError('pattern-invalid', `${quote(this.#text)}: ${problem}`)
  }
}

const assertions = new Map<string, (Pattern & { kind: 'assert' })['at']>([
  ['A', 'start'],
  ['z', 'end'],
  ['b', 'word'],
  ['B', 'no-word'],
])

const codeOf = (char: string): number => char.codePointAt(0) ?? 0

const isFlag = (char: string): char is keyof typeof flagNames => Object.hasOwn(flagNames, char)
