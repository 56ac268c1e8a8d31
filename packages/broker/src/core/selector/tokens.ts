import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'

export type Token =
  | { readonly kind: 'name' | 'text'; readonly text: string; readonly at: number }
  /** In capitals. */
  | { readonly kind: 'keyword' | 'symbol'; readonly text: string; readonly at: number }
  | { readonly kind: 'number'; readonly value: bigint | number; readonly text: string; readonly at: number }
  | { readonly kind: 'end'; readonly text: ''; readonly at: number }

const keywords = new Set(['NOT', 'AND', 'OR', 'BETWEEN', 'LIKE', 'IN', 'IS', 'NULL', 'TRUE', 'FALSE', 'ESCAPE'])

const nameStart = String.raw`[\p{L}\p{Nl}\p{Sc}\p{Pc}]`
const namePart = String.raw`[\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Nd}\p{Mn}\p{Mc}]`
/** A name may have dots within. */
const plainName = new RegExp(`${nameStart}${namePart}*(?:\\.${namePart}+)*`, 'uy')
const hyphenatedName = new RegExp(`${nameStart}${namePart}*(?:[.-]+${namePart}+)*`, 'uy')
const blank = /[\s\p{Zs}]+/uy
const symbol = /<>|<=|>=|!=|[-+*/%=<>(),]/y
const quoted = /'((?:[^']|'')*)'/y
const quotedName = /"((?:[^"]|"")*)"/y
/** With a point or an exponent, it is approximate. */
const approximate = /(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)[fFdD]?|\d+[fFdD]/y
const exact = /(?:0[xX][\da-fA-F]+|0[bB][01]+|\d+)[lL]?/y

/** Cuts a condition into its parts. Throws `BrokerError` that tells where it cannot go on. */
export class Tokens {
  readonly #text: string
  readonly #name: RegExp
  #at = 0
  #next: Token

  constructor(text: string, hasHyphens: boolean) {
    this.#text = text
    this.#name = hasHyphens ? hyphenatedName : plainName
    this.#next = this.#read()
  }

  /** The next one, without taking it. */
  get next(): Token {
    return this.#next
  }

  take(): Token {
    const token = this.#next
    if (token.kind !== 'end') this.#next = this.#read()
    return token
  }

  /** Takes the next one if it is this keyword, or this symbol. */
  takeIf(text: string): boolean {
    const { kind, text: found } = this.#next
    if ((kind !== 'keyword' && kind !== 'symbol') || found !== text) return false
    this.take()
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (!found) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #read(): Token {
    this.#match(blank)
    const at = this.#at
    if (at >= this.#text.length) return { kind: 'end', text: '', at }
    const name = this.#match(this.#name)?.[0]
    if (name !== undefined) {
      const upper = name.toUpperCase()
      return keywords.has(upper) ? { kind: 'keyword', text: upper, at } : { kind: 'name', text: name, at }
    }
    const text = this.#match(quoted)?.[1]
    if (text !== undefined) return { kind: 'text', text: text.replaceAll("''", "'"), at }
    const inQuotes = this.#match(quotedName)?.[1]
    if (inQuotes !== undefined) return { kind: 'name', text: inQuotes.replaceAll('""', '"'), at }
    return this.#number(at) ?? this.#symbol(at)
  }

  #number(at: number): Token | undefined {
    const inexact = this.#match(approximate)?.[0]
    if (inexact !== undefined) {
      this.#endsNumber(at)
      return { kind: 'number', value: Number(inexact.replace(/[fFdD]$/, '')), text: inexact, at }
    }
    const whole = this.#match(exact)?.[0]
    if (whole === undefined) return undefined
    this.#endsNumber(at)
    const digits = whole.replace(/[lL]$/, '')
    // A zero before other digits: they are octal.
    const isOctal = /^0\d/.test(digits)
    if (isOctal && /[89]/.test(digits)) throw problem(at, `${quote(whole)} begins with 0, but is not octal`)
    return { kind: 'number', value: BigInt(isOctal ? `0o${digits.slice(1)}` : digits), text: whole, at }
  }

  #endsNumber(at: number): void {
    const from = this.#at
    const name = this.#match(this.#name)?.[0]
    if (name !== undefined) throw problem(at, `${quote(this.#text.slice(at, from) + name)} is no number`)
  }

  #symbol(at: number): Token {
    const found = this.#match(symbol)?.[0]
    if (found !== undefined) return { kind: 'symbol', text: found === '!=' ? '<>' : found, at }
    const rest = this.#text.slice(at, at + 20)
    const isOpen = rest.startsWith("'") || rest.startsWith('"')
    throw problem(at, isOpen ? `the text that begins with ${quote(rest)} does not end` : `${quote(rest)} means nothing`)
  }
}

/** Positions are told to people: they begin at 1. */
export function problem(at: number, text: string): BrokerError {
  return new BrokerError('request-invalid', `selector, position ${at + 1}: ${text}`)
}
