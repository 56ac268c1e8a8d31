import type { CaseName } from './suite.ts'

/** A case that does not pass, with the reason why that is so. */
export interface KnownFailure {
  client: string
  case: CaseName
  reason: string
}

/**
 * The cases that may fail. The list may only become shorter: a case in it that passes makes the run fail until its entry is
 * removed, and so does one that the client does not have.
 */
export const knownFailures: KnownFailure[] = []
