import type { Broker } from '../../core/broker.ts'
import { hasName, keyOfName, nameOfKey } from '../../core/values/keys.ts'
import type { Topic } from '../../core/topic.ts'
import type { KeyType, Keyspace } from './keyspace.ts'

/** Streams as a kind of value: every topic is one. */
export function streamTypes(broker: Broker, keys: Keyspace): readonly KeyType[] {
  const { namespace } = keys
  const { topics, entryStreams, cell } = broker
  const topicOf = (key: string): Topic | undefined => (hasName(key) ? topics.get(namespace, nameOfKey(key)) : undefined)
  return [
    {
      name: 'stream',
      has: key => topicOf(key) !== undefined,
      remove(key) {
        const topic = topicOf(key)
        if (!topic) return false
        // Decided within the call; who is answered waits for the block.
        topics.remove(namespace, topic.name).catch(() => {})
        return true
      },
      demand: key => keys.demandTopic(key),
      rename(from, to) {
        const topic = topicOf(from)
        if (!topic) return
        keys.discard(to)
        topics.rename(namespace, topic.name, keys.nameFor(to))
      },
      *keys() {
        for (const { name } of topics.list(namespace)) yield keyOfName(name)
      },
      encodingOf: () => 'stream',
      isOwn(key) {
        const topic = topicOf(key)
        return topic !== undefined && entryStreams.isOwn(topic)
      },
      version(key) {
        const [stream] = topicOf(key)?.partitions ?? []
        if (stream === undefined) return ''
        return `${stream} ${(cell.bounds(stream)?.endOffset ?? 0) + cell.unsettled(stream)}`
      },
      await: (key, tell) => (hasName(key) ? entryStreams.wait(namespace, [nameOfKey(key)], { wake: tell }) : () => {}),
    },
  ]
}
