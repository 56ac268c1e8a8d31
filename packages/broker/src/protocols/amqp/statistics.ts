/** What a channel's message traffic looks like from outside. */
export interface BasicStatistics {
  /** For each consumer that is begun from now on; 0: no limit. */
  readonly prefetchCount: number
  /** For all consumers of the channel together. */
  readonly globalPrefetchCount: number
  readonly unacked: number
  readonly unconfirmed: number
  /** Messages published in a transaction that is open. */
  readonly uncommitted: number
  readonly consumers: number
  readonly confirms: boolean
  readonly transactional: boolean
}
