import { BrokerError } from '../../core/errors.ts'
import { codeOf, codes } from './errors.ts'

/** How one item of a request went, in the two fields that most answers of the administration have. */
export interface Outcome {
  readonly errorCode: number
  /** Null when it went well. */
  readonly errorMessage: string | null
}

export const succeeded: Outcome = { errorCode: codes.none, errorMessage: null }

export function refused(errorCode: number, errorMessage: string): Outcome {
  return { errorCode, errorMessage }
}

/** The outcome that a refusal of the broker means. Anything else is a bug of ours and is thrown on. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof BrokerError) return refused(codeOf[error.code], error.message)
  throw error
}

/** Items that are in the list more than once: a request must name each at most once. */
export function repeated<T>(items: readonly T[], keyOf: (item: T) => string): Set<string> {
  const seen = new Set<string>()
  const repeats = new Set<string>()
  for (const item of items) {
    const key = keyOf(item)
    if (seen.has(key)) repeats.add(key)
    seen.add(key)
  }
  return repeats
}
