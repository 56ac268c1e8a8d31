import type { RecordView } from '../cursor/record-view.ts'

/** What a consumer of a topic is told. */
export interface TopicSubscriber {
  /**
   * `record` is valid only during the call. `ticket` names the delivery to the verbs of the subscription: tickets count up from 0.
   * `deliveryCount` has this delivery in it.
   */
  deliver(record: RecordView, partition: number, ticket: number, deliveryCount: number): void
  /** It is over, and was not asked for: the topic is gone. */
  ended(): void
}

/**
 * One consumer of the records of a topic, all partitions of it, as clients of queues see one: records are pushed to it and settled one by one. Of
 * each partition it gets the records in their order; what is in transactions, when they are committed.
 *
 * Each verb that settles takes the tickets [first, last] and returns how many of them were open.
 */
export interface TopicSubscription {
  /** Whether it is given records. */
  readonly isActive: boolean
  /** Records that it was given and has not settled. */
  readonly heldCount: number
  /** Records that it may hold; 0: no limit. */
  prefetch: number
  ack(first: number, last?: number): number
  /** Settled without success. */
  reject(first: number, last?: number): number
  /** It is to be delivered again, where that is possible. */
  release(first: number, last?: number): number
  /** Nothing more is delivered until `resume`. */
  pause(): void
  resume(): void
  /** Nothing more is delivered; what it holds stays its own until it is settled, or cancelled. */
  retire(): void
  /** It is over; what it holds is released. */
  cancel(): void
}

/** So many records are delivered before others have their turn. */
export const recordsPerTurnMax = 256
