import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import {
  typeOf,
  type ArithmeticOperator,
  type CompareOperator,
  type Expression,
  type Property,
  type ValueType,
} from './expression.ts'
import { problem, Tokens, type Token } from './tokens.ts'

export interface SelectorOptions {
  /** Names may have hyphens within; what is subtracted stands behind a blank then. */
  readonly hasHyphens?: boolean
  /** A text is taken for the number or the truth that it is compared with, or calculated with, if it looks like one. */
  readonly convertsTexts?: boolean
}

/** Of a whole condition. */
const lengthMax = 8192
const depthMax = 128
const patternLengthMax = 1024
const longMax = 2n ** 63n - 1n

const compareOperators = new Set<string>(['=', '<>', '<', '<=', '>', '>='])

/** Reads a condition. Throws `BrokerError` `request-invalid` that tells what is wrong, and where. */
export function parseSelector(text: string, options: SelectorOptions = {}): Expression {
  if (text.length > lengthMax) {
    throw new BrokerError('request-invalid', `a selector has at most ${lengthMax} characters, not ${text.length}`)
  }
  return new Parser(new Tokens(text, options.hasHyphens === true)).parse()
}

/**
 *   or:         and { OR and }
 *   and:        not { AND not }
 *   not:        { NOT } comparison
 *   comparison: sum [ = <> < <= > >= sum | [NOT] BETWEEN sum AND sum | [NOT] IN (texts) | [NOT] LIKE text [ESCAPE text] | IS [NOT] NULL ]
 *   sum:        product { + - product }
 *   product:    unary { * / % unary }
 *   unary:      { + - } ( literal | name | ( or ) )
 */
class Parser {
  readonly #tokens: Tokens
  #depth = 0

  constructor(tokens: Tokens) {
    this.#tokens = tokens
  }

  parse(): Expression {
    const at = this.#tokens.next.at
    const expression = this.#or()
    const left = this.#tokens.next
    if (left.kind !== 'end') throw problem(left.at, `${quote(left.text)} comes where the selector should end`)
    demand(expression, 'boolean', at)
    return expression
  }

  #or(): Expression {
    return this.#chain('OR', 'or', () => this.#chain('AND', 'and', () => this.#not()))
  }

  #chain(word: string, kind: 'and' | 'or', part: () => Expression): Expression {
    const { at } = this.#tokens.next
    const first = part()
    if (this.#tokens.next.kind !== 'keyword' || this.#tokens.next.text !== word) return first
    demand(first, 'boolean', at)
    const of = [first]
    while (this.#tokens.takeIf(word)) {
      const { at: from } = this.#tokens.next
      const next = part()
      demand(next, 'boolean', from)
      of.push(next)
    }
    return { kind, of }
  }

  #not(): Expression {
    if (!this.#tokens.takeIf('NOT')) return this.#comparison()
    const { at } = this.#tokens.next
    const of = this.#within(() => this.#not())
    demand(of, 'boolean', at)
    return { kind: 'not', of }
  }

  #comparison(): Expression {
    const { at } = this.#tokens.next
    const left = this.#sum()
    const { kind, text } = this.#tokens.next
    if (kind === 'symbol' && compareOperators.has(text)) return this.#compare(left, at)
    if (kind !== 'keyword') return left
    if (this.#tokens.takeIf('IS')) {
      const isNegated = this.#tokens.takeIf('NOT')
      this.#expect('NULL')
      return unless(isNegated, { kind: 'missing', of: propertyOf(left, at, 'IS NULL') })
    }
    const isNegated = text === 'NOT'
    if (isNegated) this.#tokens.take()
    if (this.#tokens.takeIf('BETWEEN')) return unless(isNegated, this.#between(left, at))
    if (this.#tokens.takeIf('IN')) return unless(isNegated, this.#in(propertyOf(left, at, 'IN')))
    if (this.#tokens.takeIf('LIKE')) return unless(isNegated, this.#like(propertyOf(left, at, 'LIKE')))
    if (isNegated) throw unexpected(this.#tokens.next, 'BETWEEN, IN or LIKE')
    return left
  }

  #compare(left: Expression, leftAt: number): Expression {
    const operator = this.#tokens.take().text as CompareOperator
    const { at } = this.#tokens.next
    const right = this.#sum()
    if (operator !== '=' && operator !== '<>') {
      demand(left, 'number', leftAt)
      demand(right, 'number', at)
    }
    return { kind: 'compare', operator, left, right }
  }

  #between(of: Expression, at: number): Expression {
    const { at: lowAt } = this.#tokens.next
    const low = this.#sum()
    this.#expect('AND')
    const { at: highAt } = this.#tokens.next
    const high = this.#sum()
    demand(of, 'number', at)
    demand(low, 'number', lowAt)
    demand(high, 'number', highAt)
    return { kind: 'between', of, low, high }
  }

  #in(of: Property): Expression {
    this.#expect('(')
    const values: string[] = []
    do values.push(this.#text('a text in quotes'))
    while (this.#tokens.takeIf(','))
    this.#expect(')')
    return { kind: 'in', of, values }
  }

  #like(of: Property): Expression {
    const { at } = this.#tokens.next
    const pattern = this.#text('a pattern in quotes')
    if (pattern.length > patternLengthMax) {
      throw problem(at, `a pattern has at most ${patternLengthMax} characters, not ${pattern.length}`)
    }
    if (!this.#tokens.takeIf('ESCAPE')) return { kind: 'like', of, pattern, escape: undefined }
    const { at: escapeAt } = this.#tokens.next
    const escape = this.#text('one character in quotes')
    if (Array.from(escape).length !== 1) throw problem(escapeAt, 'ESCAPE takes one character in quotes')
    return { kind: 'like', of, pattern, escape }
  }

  #sum(): Expression {
    return this.#arithmetic(['+', '-'], () => this.#arithmetic(['*', '/', '%'], () => this.#unary()))
  }

  #arithmetic(operators: readonly ArithmeticOperator[], part: () => Expression): Expression {
    const { at } = this.#tokens.next
    let left = part()
    for (let depth = 1; ; depth++) {
      const operator = operators.find(each => this.#tokens.takeIf(each))
      if (!operator) return left
      if (depth > depthMax) throw problem(at, `more than ${depthMax} numbers in a row are calculated with`)
      const { at: rightAt } = this.#tokens.next
      const right = part()
      demand(left, 'number', at)
      demand(right, 'number', rightAt)
      left = { kind: 'arithmetic', operator, left, right }
    }
  }

  #unary(): Expression {
    const { at } = this.#tokens.next
    const isNegative = this.#tokens.takeIf('-')
    if (!isNegative && !this.#tokens.takeIf('+')) return this.#primary()
    const { next } = this.#tokens
    if (next.kind === 'number') {
      this.#tokens.take()
      return numberOf(next, isNegative)
    }
    const of = this.#within(() => this.#unary())
    demand(of, 'number', at)
    return isNegative ? { kind: 'negate', of } : of
  }

  #primary(): Expression {
    const token = this.#tokens.take()
    switch (token.kind) {
      case 'name':
        return { kind: 'property', name: token.text }
      case 'text':
        return { kind: 'literal', value: token.text }
      case 'number':
        return numberOf(token, false)
      case 'keyword':
        if (token.text === 'TRUE' || token.text === 'FALSE') return { kind: 'literal', value: token.text === 'TRUE' }
        break
      case 'symbol':
        if (token.text !== '(') break
        return this.#within(() => {
          const inner = this.#or()
          this.#expect(')')
          return inner
        })
      case 'end':
    }
    throw unexpected(token, 'a name, a number, a text in quotes or "("')
  }

  #within(part: () => Expression): Expression {
    if (++this.#depth > depthMax) throw problem(this.#tokens.next.at, `nested more than ${depthMax} times`)
    const found = part()
    this.#depth--
    return found
  }

  #expect(text: string): void {
    if (!this.#tokens.takeIf(text)) throw unexpected(this.#tokens.next, text)
  }

  #text(what: string): string {
    const token = this.#tokens.next
    if (token.kind !== 'text') throw unexpected(token, what)
    this.#tokens.take()
    return token.text
  }
}

const unless = (isNegated: boolean, of: Expression): Expression => (isNegated ? { kind: 'not', of } : of)

function numberOf({ value, text, at }: Token & { kind: 'number' }, isNegative: boolean): Expression {
  if (typeof value === 'number') return { kind: 'literal', value: isNegative ? -value : value }
  if (value > longMax + (isNegative ? 1n : 0n)) throw problem(at, `${quote(text)} does not fit into 64 bits`)
  return { kind: 'literal', value: isNegative ? -value : value }
}

function propertyOf(expression: Expression, at: number, what: string): Property {
  if (expression.kind === 'property') return expression
  throw problem(at, `${what} takes the name of a property before it`)
}

const names = { boolean: 'a condition', number: 'a number', text: 'a text', anything: 'anything' } as const

function demand(expression: Expression, wanted: ValueType, at: number): void {
  const type = typeOf(expression)
  if (type === wanted || type === 'anything') return
  throw problem(at, `expected ${names[wanted]}, got ${names[type]}`)
}

function unexpected({ kind, text, at }: Token, wanted: string): BrokerError {
  return problem(at, `expected ${wanted}, got ${kind === 'end' ? 'the end' : quote(text)}`)
}
