import type { Item } from './management.ts'

/** Where feeds are in the management API. */
export const feedPath = 'parameters/feed'

/** A feed as people think of it: what the API tells of it is a parameter of the namespace. */
export function feedItem({ name, value }: Item): Item {
  const { topic, exchange } = value as Item
  return { name, topic, exchange }
}
