import { codes } from './errors.ts'
import type { Exchange } from './handlers/handler.ts'
import { refused, type Outcome } from './outcome.ts'

/**
 * Counts partitions that are about to be created or deleted against the client's quota. Returns a refusal when there were too
 * many lately and the client's version knows the word for it; older ones are only held back afterwards.
 */
export function countMutations(
  exchange: Exchange<never>,
  partitionCount: number,
  isStrict: boolean,
): Outcome | undefined {
  const { broker, principal: user, clientId: client } = exchange
  const { isAllowed, waitMs } = broker.quotas.changed({ user, client }, partitionCount, isStrict)
  if (waitMs > 0) exchange.holdBack(waitMs)
  return isAllowed ? undefined : refused(codes.throttlingQuotaExceeded, 'The throttling quota has been exceeded.')
}
