/** Every size that a peer can choose, with its bound. Each is an option (`options/table.ts`). */
export interface Limits {
  frameBytesMax: number
  requestsInFlightMax: number
  connectionsMax: number
  topicsMax: number
  partitionsPerTopicMax: number
  /** Of all topics together. */
  partitionsMax: number
  queuesMax: number
  /** Of the messages of all queues that are kept in memory alone. */
  transientBytesMax: number
  exchangesMax: number
  /** Of all exchanges together. */
  bindingsMax: number
  /** Of key and arguments of one binding. */
  bindingBytesMax: number
  policiesMax: number
  /** Messages that the consumers of one queue may hold. */
  queueInFlightMax: number
  /** Messages that wait in one queue behind which consumers look who do not want them. */
  queuePassedOverMax: number
  /** Messages that are to be published later. */
  delayedMax: number
  delayedPerNamespaceMax: number
  schedulesMax: number
  /** The message of one. */
  scheduleBytesMax: number
  /** Messages of one queue that wait for a time of their own. */
  queueDelayedMax: number
  /** Queues that one connection may watch. */
  queueWatchesMax: number
  /** Groups of one stream of entries, consumers of one of them, and entries that these hold. */
  entryGroupsMax: number
  entryConsumersMax: number
  entryPendingMax: number
  /** Of elements of lists that are in memory, besides being on the disk; and of those that one command may look at. */
  listMemoryBytesMax: number
  /** Single values by their keys. */
  valuesMax: number
  /** Of all of them, with their keys. */
  valueBytesMax: number
  /** The largest message of a client that hands in jobs. */
  jobBytesMax: number
  /** The largest message of a client that sends it in parts. */
  messageBytesMax: number
  /** Of all copies of one message that goes to several queues or topics. */
  fanOutBytesMax: number
  consumersPerChannelMax: number
  groupsMax: number
  groupMembersMax: number
  /** Members of all groups together. */
  membersMax: number
  offsetMetadataBytesMax: number
  fetchSessionsMax: number
  transactionalIdsMax: number
  /** Streams and groups that take part in one transaction. */
  transactionPartitionsMax: number
  shareSessionsMax: number
  /** Records that the members of a share group may hold of one partition. */
  shareInFlightMax: number
  /** Entities for which quotas are set. */
  quotasMax: number
  /** Entities whose use is counted, for each quota. */
  quotaMetersMax: number
  namespacesMax: number
  /** Subjects whose last message is kept. */
  retainedMax: number
  /** Of clients that may come back. */
  sessionsMax: number
  /** Whatever a client asks for, its session goes so long after it. */
  sessionExpiryMaxMs: number
  /** What one client may subscribe to. */
  sessionSubscriptionsMax: number
  /** Messages that wait for one client that comes back; of those that do not fit, the oldest go. */
  sessionMessagesMax: number
  /** Bytes and messages in memory that wait for one connected subscriber, and which ones go when there are more. */
  subscriberBytesMax: number
  subscriberMessagesMax: number
  subscriberOverflow: 'drop-newest' | 'drop-oldest'
  /** The same, for one that is closed and loses no single messages. */
  subscriberUnreadBytesMax: number
  /** Messages that one subscriber may hold without having acknowledged them. */
  subscriberInFlightMax: number
  /** The longest silence that clients may ask to be allowed; 0: any. */
  keepAliveMaxSeconds: number
  /** Figures of the broker are told to subscribers so often; 0: never. */
  statusIntervalMs: number
  /** Settings of namespaces and of the broker that are kept for others. */
  parametersMax: number
  usersMax: number
  rulesMax: number
}

export const defaultLimits: Limits = {
  frameBytesMax: 100 * 1024 * 1024,
  requestsInFlightMax: 64,
  connectionsMax: 10_000,
  topicsMax: 100_000,
  partitionsPerTopicMax: 10_000,
  partitionsMax: 200_000,
  queuesMax: 100_000,
  transientBytesMax: 256 * 1024 * 1024,
  exchangesMax: 100_000,
  bindingsMax: 500_000,
  bindingBytesMax: 4096,
  policiesMax: 1000,
  queueInFlightMax: 1_000_000,
  queuePassedOverMax: 100_000,
  delayedMax: 1_000_000_000,
  delayedPerNamespaceMax: 1_000_000_000,
  schedulesMax: 10_000,
  scheduleBytesMax: 64 * 1024,
  queueDelayedMax: 1_000_000,
  queueWatchesMax: 10_000,
  entryGroupsMax: 10_000,
  entryConsumersMax: 100_000,
  entryPendingMax: 10_000_000,
  listMemoryBytesMax: 128 * 1024 * 1024,
  valuesMax: 1_000_000,
  valueBytesMax: 256 * 1024 * 1024,
  jobBytesMax: 65_535,
  messageBytesMax: 128 * 1024 * 1024,
  fanOutBytesMax: 512 * 1024 * 1024,
  consumersPerChannelMax: 100_000,
  groupsMax: 100_000,
  groupMembersMax: 10_000,
  membersMax: 200_000,
  offsetMetadataBytesMax: 4096,
  fetchSessionsMax: 1000,
  transactionalIdsMax: 100_000,
  transactionPartitionsMax: 10_000,
  shareSessionsMax: 10_000,
  shareInFlightMax: 1_000_000,
  quotasMax: 10_000,
  quotaMetersMax: 10_000,
  namespacesMax: 10_000,
  retainedMax: 1_000_000,
  sessionsMax: 1_000_000,
  sessionExpiryMaxMs: 36_500 * 24 * 3_600_000,
  sessionSubscriptionsMax: 10_000,
  sessionMessagesMax: 1_000_000,
  subscriberBytesMax: 16 * 1024 * 1024,
  subscriberMessagesMax: 10_000,
  subscriberOverflow: 'drop-newest',
  subscriberUnreadBytesMax: 32 * 1024 * 1024,
  subscriberInFlightMax: 32_767,
  keepAliveMaxSeconds: 0,
  statusIntervalMs: 10_000,
  parametersMax: 10_000,
  usersMax: 100_000,
  rulesMax: 100_000,
}
