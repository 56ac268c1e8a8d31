import type { Difference } from './compare.ts'

/** Differences that are meant, each with its reason. The list may only shrink. */
interface Allowed {
  /** Begins the name of the case. */
  asked: RegExp
  path: RegExp
  reason: string
}

const allowed: readonly Allowed[] = []

const used = new Set<Allowed>()

/** Why a difference is meant, or undefined. */
export function reasonFor(asked: string, { path }: Difference): string | undefined {
  const found = allowed.find(one => one.asked.test(asked) && one.path.test(path))
  if (found !== undefined) used.add(found)
  return found?.reason
}

/** Reasons that explained nothing in this run. */
export function unusedReasons(): string[] {
  return allowed.filter(one => !used.has(one)).map(({ reason }) => reason)
}
