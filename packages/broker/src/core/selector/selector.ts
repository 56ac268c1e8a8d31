import { compileCondition, type Condition, type Properties } from './compile.ts'
import { parseSelector, type SelectorOptions } from './parser.ts'

/**
 * A condition on the properties of a message, in the part of SQL-92 that brokers have in common: comparisons, arithmetic, `BETWEEN`, `IN`, `LIKE`,
 * `IS NULL`, and `AND`, `OR` and `NOT` over them. A property that is not there is unknown, and so is what is made of it; what is unknown in the end
 * is not wanted.
 */
export class Selector {
  readonly text: string
  readonly #condition: Condition

  /** Throws `BrokerError` `request-invalid` that tells what is wrong, and where. */
  constructor(text: string, options: SelectorOptions = {}) {
    this.text = text
    this.#condition = compileCondition(parseSelector(text, options), options)
  }

  /** Takes time in proportion to the length of the condition and of the texts that it looks at. */
  matches(properties: Properties): boolean {
    return this.#condition(properties) === true
  }
}
