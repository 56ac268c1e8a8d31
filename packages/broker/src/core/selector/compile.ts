import type { HeaderValue } from '../message.ts'
import type { ArithmeticOperator, CompareOperator, Expression, Value } from './expression.ts'
import { likePattern } from './like.ts'
import type { SelectorOptions } from './parser.ts'

/** Tells the value of a property; undefined: there is none of that name. */
export type Properties = (name: string) => HeaderValue | undefined

/** Undefined is unknown. */
export type Condition = (properties: Properties) => boolean | undefined
type Calculation = (properties: Properties) => Value

/** The condition as functions that call each other: nothing of the text is looked at again. */
export function compileCondition(expression: Expression, options: SelectorOptions): Condition {
  const condition = (of: Expression): Condition => compileCondition(of, options)
  switch (expression.kind) {
    case 'and':
      return all(expression.of.map(condition))
    case 'or':
      return any(expression.of.map(condition))
    case 'not': {
      const of = condition(expression.of)
      return properties => not(of(properties))
    }
    case 'missing': {
      const { name } = expression.of
      return properties => valueOf(properties(name)) === undefined
    }
    case 'in': {
      const { name } = expression.of
      const values = new Set<Value>(expression.values)
      return properties => {
        const value = valueOf(properties(name))
        return value === undefined ? undefined : values.has(value)
      }
    }
    case 'like': {
      const { name } = expression.of
      const matches = likePattern(expression.pattern, expression.escape)
      return properties => {
        const value = valueOf(properties(name))
        return value === undefined ? undefined : typeof value === 'string' && matches(value)
      }
    }
    default:
      return compileComparison(expression, options)
  }
}

type Rest = Exclude<Expression, { kind: 'and' | 'or' | 'not' | 'missing' | 'in' | 'like' }>

function compileComparison(expression: Rest, options: SelectorOptions): Condition {
  const converts = options.convertsTexts === true
  switch (expression.kind) {
    case 'compare': {
      const { operator } = expression
      const left = compileValue(expression.left, options)
      const right = compileValue(expression.right, options)
      return properties => compare(operator, left(properties), right(properties), converts)
    }
    case 'between': {
      const of = compileValue(expression.of, options)
      const low = compileValue(expression.low, options)
      const high = compileValue(expression.high, options)
      return properties => {
        const value = of(properties)
        return and(compare('>=', value, low(properties), converts), compare('<=', value, high(properties), converts))
      }
    }
    default: {
      const value = compileValue(expression, options)
      return properties => truthOf(value(properties), converts)
    }
  }
}

function compileValue(expression: Expression, options: SelectorOptions): Calculation {
  const converts = options.convertsTexts === true
  switch (expression.kind) {
    case 'literal': {
      const { value } = expression
      return () => value
    }
    case 'property': {
      const { name } = expression
      return properties => valueOf(properties(name))
    }
    case 'negate': {
      const of = compileValue(expression.of, options)
      return properties => {
        const value = numberOf(of(properties), converts)
        return typeof value === 'bigint' ? BigInt.asIntN(64, -value) : value === undefined ? undefined : -value
      }
    }
    case 'arithmetic': {
      const { operator } = expression
      const left = compileValue(expression.left, options)
      const right = compileValue(expression.right, options)
      return properties =>
        calculate(operator, numberOf(left(properties), converts), numberOf(right(properties), converts))
    }
    default:
      return compileCondition(expression, options)
  }
}

function all(of: readonly Condition[]): Condition {
  return properties => {
    let result: boolean | undefined = true
    for (const condition of of) {
      const found = condition(properties)
      if (found === false) return false
      if (found === undefined) result = undefined
    }
    return result
  }
}

function any(of: readonly Condition[]): Condition {
  return properties => {
    let result: boolean | undefined = false
    for (const condition of of) {
      const found = condition(properties)
      if (found === true) return true
      if (found === undefined) result = undefined
    }
    return result
  }
}

const not = (value: boolean | undefined): boolean | undefined => (value === undefined ? undefined : !value)

const and = (a: boolean | undefined, b: boolean | undefined): boolean | undefined =>
  a === false || b === false ? false : a === undefined || b === undefined ? undefined : true

/** Lists, tables and bytes are nothing that a condition can look at. */
function valueOf(value: HeaderValue | undefined): Value {
  if (value === null) return undefined
  if (typeof value !== 'object') return value
  return 'timeMs' in value ? BigInt(Math.trunc(value.timeMs)) : undefined
}

function truthOf(value: Value, converts: boolean): boolean | undefined {
  if (typeof value === 'boolean') return value
  if (!converts || typeof value !== 'string') return undefined
  const word = value.toLowerCase()
  return word === 'true' ? true : word === 'false' ? false : undefined
}

const decimal = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/
const digits = /^[-+]?\d{1,18}$/

function numberOf(value: Value, converts: boolean): bigint | number | undefined {
  if (typeof value === 'bigint' || typeof value === 'number') return value
  if (!converts || typeof value !== 'string') return undefined
  const text = value.trim()
  if (digits.test(text)) return BigInt(text.startsWith('+') ? text.slice(1) : text)
  return decimal.test(text) ? Number(text) : undefined
}

const isNumber = (value: Value): value is bigint | number => typeof value === 'bigint' || typeof value === 'number'

/** Values of different kinds are neither equal nor different. */
function compare(operator: CompareOperator, left: Value, right: Value, converts: boolean): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  if (isNumber(left) && isNumber(right)) return compareNumbers(operator, left, right)
  if (typeof left === typeof right) {
    // Neither texts nor truths have an order.
    if (operator === '=') return left === right
    return operator === '<>' && left !== right
  }
  if (!converts) return false
  if (isNumber(left) || isNumber(right)) {
    const [a, b] = [numberOf(left, true), numberOf(right, true)]
    return a !== undefined && b !== undefined && compareNumbers(operator, a, b)
  }
  const [a, b] = [truthOf(left, true), truthOf(right, true)]
  if (a === undefined || b === undefined) return false
  return operator === '=' ? a === b : operator === '<>' && a !== b
}

function compareNumbers(operator: CompareOperator, a: bigint | number, b: bigint | number): boolean {
  switch (operator) {
    case '=':
      // oxlint-disable-next-line eqeqeq -- 1 and 1n are the same number.
      return a == b
    case '<>':
      // oxlint-disable-next-line eqeqeq -- 1 and 1n are the same number.
      return a != b
    case '<':
      return a < b
    case '<=':
      return a <= b
    case '>':
      return a > b
    case '>=':
      return a >= b
  }
}

/** Whole numbers stay whole, and wrap around at 64 bits; what is divided by zero is unknown. */
function calculate(
  operator: ArithmeticOperator,
  a: bigint | number | undefined,
  b: bigint | number | undefined,
): Value {
  if (a === undefined || b === undefined) return undefined
  if (typeof a === 'bigint' && typeof b === 'bigint') {
    if (b === 0n && (operator === '/' || operator === '%')) return undefined
    return BigInt.asIntN(64, calculateWhole(operator, a, b))
  }
  const [x, y] = [Number(a), Number(b)]
  switch (operator) {
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
    case '/':
      return x / y
    case '%':
      return x % y
  }
}

function calculateWhole(operator: ArithmeticOperator, a: bigint, b: bigint): bigint {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return a / b
    case '%':
      return a % b
  }
}
