import { TopicPattern } from './groups/assigned/topic-pattern.ts'
import { parsePattern } from './groups/assigned/pattern-syntax.ts'
import { BrokerError } from './errors.ts'
import { quote } from './names.ts'

/**
 * A regular expression that is looked for anywhere in a name, as permissions and policies write them. Takes time linear in the name, whatever
 * the expression: back references are refused, and looking ahead is understood where it is commonly used, at the beginning (`^(?!tmp\.).*`).
 */
export class NamePattern {
  readonly text: string
  #ways: readonly Way[]

  /** Throws `BrokerError` `pattern-invalid` that says what is wrong. */
  constructor(text: string) {
    this.text = text
    // What is wrong is told of the expression as it was written, not as it is put together below.
    if (!looksAhead(text)) parsePattern(text)
    this.#ways = waysOf(text)
  }

  /** Throws `BrokerError` `pattern-invalid` for an expression that is too costly, which few are. */
  matches(name: string): boolean {
    try {
      return this.#ways.some(way => way.matches(name))
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      // What an expression may cost is bounded for its whole life, and this one may have lived long.
      this.#ways = waysOf(this.text)
      return this.#ways.some(way => way.matches(name))
    }
  }
}

/** One of the alternatives. */
interface Way {
  matches(name: string): boolean
}

const looksAhead = (text: string): boolean => text.includes('(?!') || text.includes('(?=')

const anything = '(?s:.*)'
const ahead = /^\(\?([!=])/

function waysOf(text: string): Way[] {
  // Most have nothing that the expressions beneath do not know.
  if (!looksAhead(text)) return [new TopicPattern(`${anything}(?:${text})${anything}`)]
  return alternativesOf(text).map(wayOf)
}

function wayOf(text: string): Way {
  const isAnchored = text.startsWith('^')
  let rest = isAnchored ? text.slice(1) : text
  const conditions: { pattern: TopicPattern; wanted: boolean }[] = []
  for (let found = ahead.exec(rest); found && isAnchored; found = ahead.exec(rest)) {
    const end = closingOf(rest)
    const pattern = new TopicPattern(`(?:${rest.slice(3, end)})${anything}`)
    conditions.push({ pattern, wanted: found[1] === '=' })
    rest = rest.slice(end + 1)
  }
  if (looksAhead(rest)) {
    throw new BrokerError(
      'pattern-invalid',
      `${quote(text)}: looking ahead is understood only right behind a leading ^`,
    )
  }
  const whole = new TopicPattern(isAnchored ? `(?:${rest})${anything}` : `${anything}(?:${rest})${anything}`)
  return {
    matches: name => conditions.every(({ pattern, wanted }) => pattern.matches(name) === wanted) && whole.matches(name),
  }
}

/** What stands between the bars that are in no group. */
function alternativesOf(text: string): string[] {
  const alternatives: string[] = []
  let from = 0
  let depth = 0
  for (const [at, char] of significant(text)) {
    if (char === '(') depth++
    else if (char === ')') depth--
    else if (char === '|' && depth === 0) {
      alternatives.push(text.slice(from, at))
      from = at + 1
    }
  }
  return [...alternatives, text.slice(from)]
}

/** Where the group ends with which the text begins. */
function closingOf(text: string): number {
  let depth = 0
  for (const [at, char] of significant(text)) {
    if (char === '(') depth++
    else if (char === ')' && --depth === 0) return at
  }
  throw new BrokerError('pattern-invalid', `${quote(text)}: missing closing )`)
}

/** Characters that stand for themselves neither because of a backslash nor because they are in a class. */
function* significant(text: string): Iterable<[number, string]> {
  let classFrom = -1
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (char === '\\') at++
    else if (classFrom < 0 && char === '[') classFrom = text.charAt(at + 1) === '^' ? at + 2 : at + 1
    else if (classFrom < 0) yield [at, char]
    // Right at its beginning, a bracket belongs to the class.
    else if (char === ']' && at > classFrom) classFrom = -1
  }
}
