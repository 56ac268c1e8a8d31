import type { Topic } from '../../../core/topic.ts'
import type { Call } from '../call.ts'
import { notFound } from '../errors.ts'
import type { Item } from '../listing.ts'
import type { Route } from '../route.ts'

/** Topics with their partitions; as queues they have only their sums. */
export const topicRoutes: readonly Route[] = [
  { path: '/api/dragoman/topics', need: 'vhost', on: { GET: call => call.pages(topicItems(call)) } },
  { path: '/api/dragoman/topics/:vhost', need: 'vhost', on: { GET: call => call.pages(topicItems(call)) } },
  { path: '/api/dragoman/topics/:vhost/:topic', need: 'vhost', on: { GET: call => call.one(topicOf(call)) } },
]

function topicItems(call: Call): Item[] {
  return call.vhosts.flatMap(vhost => call.core.topics.list(vhost)).map(topic => topicItem(call, topic))
}

function topicOf(call: Call): Item {
  const found = call.core.topics.get(call.vhost, call.param('topic'))
  if (!found) throw notFound()
  return topicItem(call, found)
}

function topicItem({ core: { cell } }: Call, { id, name, namespace: vhost, partitions, config }: Topic): Item {
  return {
    id,
    name,
    vhost,
    config: Object.fromEntries(config),
    partitions: partitions.map((stream, partition) => {
      const bounds = cell.bounds(stream)
      return {
        partition,
        start_offset: bounds?.startOffset ?? 0,
        end_offset: bounds?.endOffset ?? 0,
        bytes: cell.sizeBytes(stream),
      }
    }),
  }
}
