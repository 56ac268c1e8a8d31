import type { CellClient } from '../cell/client.ts'
import type { LongBlocks } from '../cell/long-blocks.ts'
import type { Address } from '../runtime/runtime.ts'
import type { Delayed } from './delayed/delayed.ts'
import type { Connections } from './connections.ts'
import type { Schedules } from './delayed/schedules.ts'
import type { Feeds } from './feeds/feeds.ts'
import type { EntryStreams } from './entry-streams/entry-streams.ts'
import type { Produced } from './entry-streams/produced.ts'
import type { Ledger } from '../cell/machine.ts'
import type { KeyedValues } from './values/keyed-values.ts'
import type { Lists } from './lists/lists.ts'
import type { Groups } from './groups/groups.ts'
import type { Identity } from './identity/identity.ts'
import type { Namespaces } from './namespaces/namespaces.ts'
import type { Limits } from './limits.ts'
import type { Origins } from './origins.ts'
import type { ShareGroups } from './share/share-groups.ts'
import type { TopicConsumers } from './reading/topic-consumers.ts'
import type { Policies } from './policies/policies.ts'
import type { Retained } from './retained/retained.ts'
import type { Sessions } from './sessions/sessions.ts'
import type { Queues } from './queues/queues.ts'
import type { Quotas } from './quotas/quotas.ts'
import type { Router } from './routing/router.ts'
import type { Topics } from './topics.ts'
import type { WorkQueues } from './work/work-queues.ts'
import type { Transactions } from './transactions/transactions.ts'

export { homeNamespace, type Topic } from './topic.ts'

/**
 * The core's front door: all that a protocol session may use. It speaks no protocol's language.
 *
 * Namespaces keep tenants apart; a protocol without them uses `homeNamespace`.
 */
export interface Broker {
  /** Stays the same for the life of a data directory: 16 random bytes. */
  readonly clusterId: Buffer
  readonly brokerId: number
  /** Streams: append, fetch, bounds, trim. Named by `Topic.partitions`. */
  readonly cell: CellClient
  /** Those that are open, of protocols that tell of theirs. */
  readonly connections: Connections
  readonly namespaces: Namespaces
  readonly topics: Topics
  /** Settings of queues and exchanges by the patterns of their names. */
  readonly policies: Policies
  readonly queues: Queues
  /** Topics for those who consume record by record. */
  readonly topicConsumers: TopicConsumers
  /** Exchanges and bindings, and where messages go by them. */
  readonly router: Router
  /** The last message of each subject. */
  readonly retained: Retained
  /** Clients that may come back. */
  readonly sessions: Sessions
  /** Messages that are to be published later. */
  readonly delayed: Delayed
  /** Messages that are published again and again. */
  readonly schedules: Schedules
  /** Queues whose messages have numbers and priorities, and may wait. */
  readonly work: WorkQueues
  /** Topics whose records are published to exchanges, too. */
  readonly feeds: Feeds
  /** Topics as streams of entries that have ids. */
  readonly entryStreams: EntryStreams
  /** What was added to those by names that producers give their entries. */
  readonly produced: Produced
  /** Queues whose messages are taken and added at both ends, and found by their places. */
  readonly lists: Lists
  /** Single values by their keys, and until when keys last. */
  readonly values: KeyedValues
  /** When what was decided will last. */
  readonly ledger: Pick<Ledger, 'atomic' | 'whenDurable' | 'lastSeq' | 'clock'>
  /** For what takes too long for one turn and is to be in one block all the same. */
  readonly longBlocks: Pick<LongBlocks, 'add'>
  readonly groups: Groups
  /** Records of groups whose members take them one by one. */
  readonly shareGroups: ShareGroups
  readonly transactions: Transactions
  /** Users, how they prove who they are, and what they may do. */
  readonly identity: Identity
  /** Reads records as messages, whichever protocol wrote them. */
  readonly origins: Origins
  readonly limits: Limits
  readonly quotas: Quotas
  /** Where the data is. */
  readonly volume: Volume
  /** Connections of all protocols, by the names of the listeners that are open. */
  readonly connectionCounts: () => ReadonlyMap<string, number>
  /** What protected listeners show at present, in PEM; undefined: there are none. */
  readonly certificate: () => string | undefined
  /** Where the broker listens, by protocol. Filled before the first connection is accepted. */
  readonly addresses: ReadonlyMap<string, Address>
}

/** Where the data is, for people who look after it. */
export interface Volume {
  /** The directory, or `memory`. */
  readonly name: string
  /** Bytes that it can hold, and those that are left; undefined in memory. */
  space(): Promise<{ totalBytes: number; freeBytes: number } | undefined>
  /** Nothing that grows the data is taken any more. */
  readonly isFull: boolean
  /** What is missing then. */
  readonly shortage: 'space' | 'descriptors' | undefined
  /** Files and connections that are open, and how many may be; undefined: not known. */
  descriptors(): Promise<{ open: number; max: number } | undefined>
  /** With less left, it is full. */
  readonly reserveBytes: number
  /** How far the journal is: the number of its newest block, bytes that are not in it yet, and bytes that a start would read. */
  journal(): { lastSeq: number; pendingBytes: number; keptBytes: number }
}
