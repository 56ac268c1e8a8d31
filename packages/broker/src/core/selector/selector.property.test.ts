import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random } from '@dragoman/wire'
import { BrokerError } from '../errors.ts'
import type { Expression, Value } from './expression.ts'
import { likePattern } from './like.ts'
import { parseSelector } from './parser.ts'
import { Selector } from './selector.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const texts = ['red', 'blue', "it's", '', '12', '-3.5', 'true', 'a_b', '100%', '😀']
const names = ['colour', 'size', 'isNew', 'absent', 'größe', 'a.b']
const values: readonly Value[] = [...texts, 12n, -1n, 2n ** 62n, 2.5, -0.5, true, false, undefined]

/** A condition that says what the broker's own reading must find, written with more brackets than it needs. */
function condition(random: Random, depth: number): Expression {
  const kind = random.below(depth > 0 ? 10 : 6)
  const property = { kind: 'property', name: random.pick(names) } as const
  if (kind === 0) return property
  if (kind === 1) return { kind: 'literal', value: random.chance(0.5) }
  if (kind === 2) return { kind: 'missing', of: property }
  if (kind === 3) return { kind: 'in', of: property, values: [random.pick(texts), random.pick(texts)] }
  if (kind === 4) {
    const pattern = random.pick(['%', 'r_d', '%e%', '1%', '_', "it's", '!_%', 'a!_b', '%\u{1F600}'])
    return { kind: 'like', of: property, pattern, escape: random.chance(0.5) ? '!' : undefined }
  }
  if (kind === 5) {
    return random.chance(0.5)
      ? {
          kind: 'compare',
          operator: random.pick(['=', '<>', '<', '<=', '>', '>=']),
          left: number(random, depth),
          right: number(random, depth),
        }
      : {
          kind: 'compare',
          operator: random.pick(['=', '<>']),
          left: property,
          right: { kind: 'literal', value: random.pick(texts) },
        }
  }
  if (kind === 6) return { kind: 'not', of: condition(random, depth - 1) }
  if (kind === 7)
    return { kind: 'between', of: number(random, depth), low: number(random, depth), high: number(random, depth) }
  const of = Array.from({ length: random.between(2, 4) }, () => condition(random, depth - 1))
  return { kind: kind === 8 ? 'and' : 'or', of }
}

function number(random: Random, depth: number): Expression {
  const kind = random.below(depth > 0 ? 5 : 2)
  if (kind === 0) return { kind: 'property', name: random.pick(names) }
  if (kind === 1) return { kind: 'literal', value: random.pick([0n, 1n, 12n, 2n ** 63n - 1n, 2.5, 1000]) }
  if (kind === 2) return { kind: 'negate', of: number(random, depth - 1) }
  const operator = random.pick(['+', '-', '*', '/', '%'] as const)
  return { kind: 'arithmetic', operator, left: number(random, depth - 1), right: number(random, depth - 1) }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

function write(of: Expression): string {
  switch (of.kind) {
    case 'literal': {
      const { value } = of
      if (typeof value === 'string') return quoted(value)
      if (typeof value === 'number') return Number.isInteger(value) ? `${value}.0` : String(value)
      return String(value)
    }
    case 'property':
      return of.name
    case 'negate':
      return `(- (${write(of.of)}))`
    case 'arithmetic':
      return `(${write(of.left)} ${of.operator} ${write(of.right)})`
    case 'compare':
      return `(${write(of.left)} ${of.operator} ${write(of.right)})`
    case 'between':
      return `(${write(of.of)} BETWEEN ${write(of.low)} AND ${write(of.high)})`
    case 'in':
      return `(${of.of.name} IN (${of.values.map(quoted).join(', ')}))`
    case 'like':
      return `(${of.of.name} LIKE ${quoted(of.pattern)}${of.escape === undefined ? '' : ` ESCAPE ${quoted(of.escape)}`})`
    case 'missing':
      return `(${of.of.name} IS NULL)`
    case 'not':
      return `(NOT ${write(of.of)})`
    case 'and':
    case 'or':
      return `(${of.of.map(write).join(` ${of.kind.toUpperCase()} `)})`
  }
}

/** What it means, word by word and without any haste. */
function meaning(of: Expression, message: ReadonlyMap<string, Value>): Value {
  const value = (part: Expression): Value => meaning(part, message)
  const truth = (part: Expression): boolean | undefined => {
    const found = value(part)
    return typeof found === 'boolean' ? found : undefined
  }
  switch (of.kind) {
    case 'literal':
      return of.value
    case 'property':
      return message.get(of.name)
    case 'negate':
      return calculated('-', 0n, value(of.of), true)
    case 'arithmetic':
      return calculated(of.operator, value(of.left), value(of.right), false)
    case 'compare':
      return compared(of.operator, value(of.left), value(of.right))
    case 'between': {
      const [it, low, high] = [value(of.of), value(of.low), value(of.high)]
      const [a, b] = [compared('>=', it, low), compared('<=', it, high)]
      if (a === false || b === false) return false
      return a === undefined || b === undefined ? undefined : true
    }
    case 'in': {
      const it = value(of.of)
      return it === undefined ? undefined : of.values.some(each => each === it)
    }
    case 'like': {
      const it = value(of.of)
      return it === undefined ? undefined : typeof it === 'string' && like(it, of.pattern, of.escape)
    }
    case 'missing':
      return value(of.of) === undefined
    case 'not': {
      const it = truth(of.of)
      return it === undefined ? undefined : !it
    }
    case 'and':
    case 'or': {
      const parts = of.of.map(truth)
      const decisive = of.kind === 'or'
      if (parts.includes(decisive)) return decisive
      return parts.includes(undefined) ? undefined : !decisive
    }
  }
}

function calculated(operator: string, left: Value, right: Value, negates: boolean): Value {
  const isNumber = (value: Value): boolean => typeof value === 'bigint' || typeof value === 'number'
  if (!isNumber(left) || !isNumber(right)) return undefined
  const isWhole = typeof left === 'bigint' && typeof right === 'bigint'
  if (!isWhole) {
    const [x, y] = [Number(left), Number(right)]
    // Zero has a sign.
    return negates ? -y : { '+': x + y, '-': x - y, '*': x * y, '/': x / y, '%': x % y }[operator]
  }
  if (right === 0n && (operator === '/' || operator === '%')) return undefined
  const operators: Record<string, () => bigint> = {
    '+': () => left + right,
    '-': () => left - right,
    '*': () => left * right,
    '/': () => left / right,
    '%': () => left % right,
  }
  const wide = operators[operator]?.()
  return wide === undefined ? undefined : BigInt.asIntN(64, wide)
}

function compared(operator: string, left: Value, right: Value): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  const kind = (value: Value): string => (typeof value === 'bigint' ? 'number' : typeof value)
  if (kind(left) !== kind(right)) return false
  if (kind(left) !== 'number' && operator !== '=' && operator !== '<>') return false
  const isEqual = !(left < right) && !(left > right) && !Number.isNaN(left) && !Number.isNaN(right)
  switch (operator) {
    case '=':
      return isEqual
    case '<>':
      return !isEqual
    case '<':
      return left < right
    case '<=':
      return left < right || isEqual
    case '>':
      return left > right
    default:
      return left > right || isEqual
  }
}

function like(text: string, pattern: string, escape: string | undefined): boolean {
  const characters = Array.from(text)
  const steps: (string | { any: boolean })[] = []
  let isEscaped = false
  for (const character of pattern) {
    if (!isEscaped && character === escape) isEscaped = true
    else if (!isEscaped && (character === '%' || character === '_')) steps.push({ any: character === '%' })
    else {
      steps.push(character)
      isEscaped = false
    }
  }
  const from = (at: number, step: number): boolean => {
    const wanted = steps[step]
    if (wanted === undefined) return at === characters.length
    if (typeof wanted === 'string') return characters[at] === wanted && from(at + 1, step + 1)
    if (!wanted.any) return at < characters.length && from(at + 1, step + 1)
    for (let next = at; next <= characters.length; next++) if (from(next, step + 1)) return true
    return false
  }
  return from(0, 0)
}

test(`a condition finds what an interpreter of it finds (SEED=${seed})`, () => {
  const random = new Random(seed)
  let wantedCount = 0
  for (let index = 0; index < 4000; index++) {
    const expression = condition(random, 4)
    const text = write(expression)
    const selector = new Selector(text)
    const message = new Map(names.filter(name => name !== 'absent').map(name => [name, random.pick(values)]))
    const expected = meaning(expression, message) === true
    assert.equal(
      selector.matches(name => message.get(name)),
      expected,
      `${text} of ${JSON.stringify([...message], (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))}`,
    )
    if (expected) wantedCount++
  }
  assert(wantedCount > 400, `${wantedCount} were wanted`)
})

test(`patterns match what their definition says (SEED=${seed})`, () => {
  const random = new Random(seed)
  const text = (letters: readonly string[]): string =>
    Array.from({ length: random.below(9) }, () => random.pick(letters)).join('')
  for (let index = 0; index < 20_000; index++) {
    const pattern = text(['a', 'b', '%', '_', '!', '😀'])
    const escape = random.chance(0.5) ? '!' : undefined
    const subject = text(['a', 'b', '!', '_', '😀'])
    assert.equal(likePattern(pattern, escape)(subject), like(subject, pattern, escape), `${subject} LIKE ${pattern}`)
  }
})

test(`texts that are nearly conditions are read, or refused in words (SEED=${seed})`, () => {
  const random = new Random(seed)
  let refused = 0
  for (let index = 0; index < 4000; index++) {
    const text = mutate(random, Buffer.from(write(condition(random, 3)))).toString()
    try {
      parseSelector(text, { hasHyphens: random.chance(0.5) })
    } catch (error) {
      assert(error instanceof BrokerError && error.code === 'request-invalid', text)
      refused++
    }
  }
  assert(refused > 500, `${refused} were refused`)
})
