/** What clients may rely on besides the versions of requests. Clients choose how they speak by the level that is in force. */
export const features = [
  /** Level 1: groups to which the broker assigns (KIP-848). */
  { name: 'group.version', level: 1 },
  /** Level 1: groups whose members take records one by one (KIP-932). */
  { name: 'share.version', level: 1 },
  /** Level 2: a new epoch with each transaction, and partitions that take part by the first batch (KIP-890). */
  { name: 'transaction.version', level: 2 },
] as const
