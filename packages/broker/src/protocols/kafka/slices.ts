import type { SessionContext } from '../protocol.ts'

/** Items of one request that are worked on without letting others in between. */
const sliceSize = 200

/**
 * Runs `run` for each item and resolves with the results in order. After each slice of items, what else is waiting has its
 * turn: a request that names a hundred thousand topics must not keep the broker from everybody else.
 * The first slice is begun before this returns.
 */
export async function inSlices<T, R>(
  { clock }: Pick<SessionContext, 'clock'>,
  items: readonly T[],
  run: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += sliceSize) {
    if (at > 0) await new Promise<void>(resolve => void clock.after(0, resolve))
    results.push(...(await Promise.all(items.slice(at, at + sliceSize).map(run))))
  }
  return results
}
