/**
 * A pattern over whole keys: `*` for any characters, `?` for one, `[abc]`, `[a-z]` and `[^a]` for one of a set, `\` before a character that means
 * itself. Takes at most the key's length times the pattern's, and matches nothing when `*` is in it too often.
 */
export class Glob {
  readonly #tokens: readonly Token[]
  readonly #isAbsurd: boolean

  constructor(pattern: string) {
    this.#tokens = tokensOf(Array.from(pattern))
    // One at the end costs nothing.
    this.#isAbsurd = this.#tokens.slice(0, -1).filter(token => token === any).length > starsMax
  }

  matches(key: string): boolean {
    if (this.#isAbsurd) return false
    const characters = Array.from(key)
    const tokens = this.#tokens
    let token = 0
    // Where to go on when what follows the last `*` does not fit: one character later.
    let star = -1
    let retry = 0
    for (let at = 0; at < characters.length;) {
      const wanted = tokens[token]
      if (wanted === any) {
        star = token++
        retry = at
      } else if (wanted !== undefined && fits(wanted, characters[at]!)) {
        token++
        at++
      } else if (star >= 0) {
        token = star + 1
        at = ++retry
      } else {
        return false
      }
    }
    while (tokens[token] === any) token++
    return token === tokens.length
  }
}

/** More of them are there to keep somebody busy. */
const starsMax = 1000
const any = Symbol('any')
const one = Symbol('one')
/** A character, or a set of ranges. */
type Token =
  | typeof any
  | typeof one
  | string
  | { readonly ranges: readonly [string, string][]; readonly isNegated: boolean }

function fits(token: Token, character: string): boolean {
  if (typeof token === 'string') return token === character
  if (typeof token === 'symbol') return token === one
  return token.ranges.some(([from, to]) => from <= character && character <= to) !== token.isNegated
}

function tokensOf(characters: readonly string[]): Token[] {
  const tokens: Token[] = []
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!
    if (character === '*') {
      if (tokens.at(-1) !== any) tokens.push(any)
    } else if (character === '?') {
      tokens.push(one)
    } else if (character === '[') {
      at = readSet(characters, at + 1, tokens)
    } else {
      const isEscape = character === '\\' && at + 1 < characters.length
      tokens.push(isEscape ? characters[++at]! : character)
    }
  }
  return tokens
}

/** Returns where the set ends. One that is not closed goes to the end. */
function readSet(characters: readonly string[], start: number, tokens: Token[]): number {
  const isNegated = characters[start] === '^'
  const ranges: [string, string][] = []
  let at = isNegated ? start + 1 : start
  for (; at < characters.length && characters[at] !== ']'; at++) {
    if (characters[at] === '\\' && at + 1 < characters.length) at++
    const from = characters[at]!
    if (characters[at + 1] === '-' && at + 2 < characters.length) {
      const to = characters[at + 2]!
      ranges.push(from <= to ? [from, to] : [to, from])
      at += 2
    } else {
      ranges.push([from, from])
    }
  }
  tokens.push({ ranges, isNegated })
  return at
}
