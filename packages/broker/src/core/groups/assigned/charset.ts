/** A set of characters, by code point. */
export interface Charset {
  has(code: number): boolean
}

/** Asked once for each character and expression: what it is made of does not matter for the speed of matching. */
export const charset = (has: (code: number) => boolean): Charset => ({ has })
export const range = (low: number, high: number): Charset => charset(code => code >= low && code <= high)
export const not = (set: Charset): Charset => charset(code => !set.has(code))
export const either = (sets: readonly Charset[]): Charset => charset(code => sets.some(set => set.has(code)))

/** With the other case of each letter. */
export function folded(set: Charset): Charset {
  return charset(code => {
    if (set.has(code)) return true
    const char = String.fromCodePoint(code)
    return [char.toLowerCase(), char.toUpperCase()].some(other => {
      const otherCode = other.codePointAt(0)
      return Array.from(other).length === 1 && otherCode !== undefined && set.has(otherCode)
    })
  })
}

/** By the characters that they have in ASCII: they have no others. */
const ascii = (pattern: RegExp): Charset => charset(code => code < 128 && pattern.test(String.fromCharCode(code)))

export const wordSet = ascii(/\w/)

export const perlSets: ReadonlyMap<string, Charset> = new Map([
  ['d', ascii(/[0-9]/)],
  ['w', wordSet],
  ['s', ascii(/[\t\n\f\r ]/)],
])

export const posixSets: ReadonlyMap<string, Charset> = new Map([
  ['alnum', ascii(/[0-9A-Za-z]/)],
  ['alpha', ascii(/[A-Za-z]/)],
  ['ascii', range(0, 127)],
  ['blank', ascii(/[\t ]/)],
  ['cntrl', charset(code => code < 32 || code === 127)],
  ['digit', ascii(/[0-9]/)],
  ['graph', ascii(/[!-~]/)],
  ['lower', ascii(/[a-z]/)],
  ['print', ascii(/[ -~]/)],
  ['punct', ascii(/[!-/:-@[-`{-~]/)],
  ['space', ascii(/[\t\n\v\f\r ]/)],
  ['upper', ascii(/[A-Z]/)],
  ['word', wordSet],
  ['xdigit', ascii(/[0-9A-Fa-f]/)],
])

/** A general category or a script of Unicode, or undefined when there is none of this name. */
export function namedSet(name: string): Charset | undefined {
  if (name === 'Any') return charset(() => true)
  if (!/^[A-Za-z_]{1,40}$/.test(name)) return undefined
  const property = /^[A-Z][a-z]?$/.test(name) ? `General_Category=${name}` : `Script=${name}`
  try {
    const pattern = new RegExp(`\\p{${property}}`, 'u')
    return charset(code => pattern.test(String.fromCodePoint(code)))
  } catch {
    return undefined
  }
}
