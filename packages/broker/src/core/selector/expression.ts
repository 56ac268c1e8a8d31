/** What a value can be in a condition; undefined is unknown: what is not there. Whole numbers are 64 bits wide. */
export type Value = string | number | bigint | boolean | undefined

/** A condition, or a part of one, as it was read. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: Exclude<Value, undefined> }
  | Property
  | { readonly kind: 'negate'; readonly of: Expression }
  | {
      readonly kind: 'arithmetic'
      readonly operator: ArithmeticOperator
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly kind: 'compare'
      readonly operator: CompareOperator
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'between'; readonly of: Expression; readonly low: Expression; readonly high: Expression }
  | { readonly kind: 'in'; readonly of: Property; readonly values: readonly string[] }
  | { readonly kind: 'like'; readonly of: Property; readonly pattern: string; readonly escape: string | undefined }
  | { readonly kind: 'missing'; readonly of: Property }
  | { readonly kind: 'not'; readonly of: Expression }
  /** All of them, or at least one. */
  | { readonly kind: 'and' | 'or'; readonly of: readonly Expression[] }

export interface Property {
  readonly kind: 'property'
  readonly name: string
}

export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%'
export type CompareOperator = '=' | '<>' | '<' | '<=' | '>' | '>='

/** What is known of a value before there is a message; a property can be anything. */
export type ValueType = 'boolean' | 'number' | 'text' | 'anything'

export function typeOf(expression: Expression): ValueType {
  switch (expression.kind) {
    case 'literal':
      if (typeof expression.value === 'string') return 'text'
      return typeof expression.value === 'boolean' ? 'boolean' : 'number'
    case 'property':
      return 'anything'
    case 'negate':
    case 'arithmetic':
      return 'number'
    default:
      return 'boolean'
  }
}
