import type { Lists } from '../lists/lists.ts'
import type { Queues } from '../queues/queues.ts'
import type { Topics } from '../topics.ts'
import type { KeyedValues } from './keyed-values.ts'
import { hasName, keyOfName, nameOfKey } from './keys.ts'

/**
 * A key that lasts for some time may name a queue or a topic: the elements of the one and the whole of the other end with it. When somebody removes them before,
 * whoever it is, the time goes with them: what is made anew of that name lasts.
 */
export function endTogether({
  values,
  lists,
  queues,
  topics,
}: {
  values: KeyedValues
  lists: Pick<Lists, 'find' | 'clear'>
  queues: Pick<Queues, 'beforeRemove'>
  topics: Pick<Topics, 'get' | 'remove' | 'beforeRemove'>
}): void {
  values.beforeExpire((namespace, key) => {
    // Somebody may have made a queue or a topic of the name of a single value: that is not the key's.
    if (!hasName(key) || values.get(namespace, key)) return
    const name = nameOfKey(key)
    const list = lists.find(namespace, name)
    if (list) lists.clear(list)
    // Decided within the call.
    if (topics.get(namespace, name)) topics.remove(namespace, name).catch(() => {})
  })
  const lastForEver = (namespace: string, name: string): void => {
    const key = keyOfName(name)
    const isNamed = values.expiryOf(namespace, key) !== undefined && !values.get(namespace, key)
    if (isNamed) values.expire(namespace, key, undefined)
  }
  queues.beforeRemove(({ namespace, name }) => lastForEver(namespace, name))
  topics.beforeRemove(({ namespace, name }) => lastForEver(namespace, name))
}
