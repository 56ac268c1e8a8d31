import type { Router } from '../routing/router.ts'
import type { Later } from './stored.ts'

/**
 * Publishes a message whose time has come, within this call. Returns to how many places it went; undefined: nothing can be taken now, and
 * nothing has changed. A place that refuses it for another reason goes without.
 */
export function publishNow(router: Router, { namespace, exchange, key, headers, message }: Later): number | undefined {
  const keys = [key, ...(message.keys ?? [])]
  const destinations = router.lookUp(namespace, exchange, keys, () => headers ?? [])
  if (!router.hasRoom(destinations, message)) return undefined
  const { error } = router.postTo(destinations, key, message)
  return error === 'storage-full' || error === 'shutting-down' ? undefined : destinations.length
}
