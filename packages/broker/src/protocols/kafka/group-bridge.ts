import {
  array,
  i16,
  i32,
  nullableBytes,
  nullableStr,
  ProtocolError,
  Reader,
  str,
  struct,
  Writer,
  type Codec,
} from '@dragoman/wire'
import type { BridgedSubscription, GroupBridge, NamedPartitions } from '../../core/groups/assigned/requests.ts'
import { consumerProtocol } from './group-words.ts'

const topicPartitions = array(struct({ topic: str, partitions: array(i32) }))
const assignment = struct({ version: i16, topics: topicPartitions, userData: nullableBytes })
/** The newest version of subscriptions and assignments; newer ones only add fields at the end. */
const newest = 3

/** Subscriptions and assignments of consumers, as their embedded protocol writes them, versions 0 to 3. */
export const groupBridge: GroupBridge = {
  protocolType: consumerProtocol,

  readSubscription(subscription) {
    return attempt(subscription, (reader): BridgedSubscription => {
      const version = reader.i16()
      const topics = read(array(str), reader)
      read(nullableBytes, reader)
      const owned = version >= 1 ? read(topicPartitions, reader) : []
      if (version >= 2) read(i32, reader) // Generation.
      const rackId = version >= 3 ? read(nullableStr, reader) : null
      return { topics, rackId: rackId === '' ? null : rackId, owned }
    })
  },

  readAssignment(bytes) {
    if (bytes.length === 0) return []
    return attempt(bytes, (reader): NamedPartitions[] => read(assignment, reader).topics)
  },

  writeAssignment(topics, subscription) {
    const version = attempt(subscription, reader => reader.i16()) ?? 0
    const out = new Writer()
    const written = topics.map(({ topic, partitions }) => ({ topic, partitions }))
    assignment.write(out, { version: Math.min(Math.max(version, 0), newest), topics: written, userData: null }, 0)
    return out.take()
  },
}

const read = <T, W>(codec: Codec<T, W>, reader: Reader): T => codec.read(reader, 0)

/** Undefined when the bytes are something else. */
function attempt<T>(bytes: Buffer, run: (reader: Reader) => T): T | undefined {
  try {
    return run(new Reader(bytes))
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
