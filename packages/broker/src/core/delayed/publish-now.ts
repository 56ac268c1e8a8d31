import type { Destination } from '../routing/place.ts'
import type { Router } from '../routing/router.ts'
import type { Later } from './stored.ts'

/**
 * Publishes a message whose time has come, within this call. Returns to how many places it went; undefined: nothing can be taken now, and
 * nothing has changed. A place that refuses it for another reason goes without.
 */
export function publishNow(router: Router, { namespace, exchange, key, headers, message }: Later): number | undefined {
  const destinations = destinationsOf(router, namespace, exchange, [key, ...(message.keys ?? [])], headers)
  const { error } = router.postTo(destinations, key, message)
  return error === 'storage-full' || error === 'shutting-down' ? undefined : destinations.length
}

/** Where a message goes by any of its keys, each place once. */
function destinationsOf(
  router: Router,
  namespace: string,
  exchange: string,
  keys: readonly string[],
  headers: Later['headers'],
): readonly Destination[] {
  const [first = '', ...more] = keys
  const found = router.route(namespace, exchange, first, headers) ?? []
  if (more.length === 0) return found
  return [...new Set([...found, ...more.flatMap(key => router.route(namespace, exchange, key, headers) ?? [])])]
}
