import type { StreamId } from '../../cell/client.ts'
import type { ErrorCode } from '../errors.ts'
import type { MemberName, TopicCommits } from '../groups/requests.ts'
import type { TransactionState } from './machine.ts'

/**
 * What producers ask of their transactions and what they are told. Answers come through callbacks, each exactly once, when what
 * they rest on is durable.
 */

export interface ProducerIdentity {
  readonly producerId: number
  readonly epoch: number
}

export interface TransactionName {
  readonly namespace: string
  /** The transactional id: a name for the producer that outlives its process. */
  readonly id: string
}

/** A request of a producer that has a transactional id. */
export interface TransactionRequest extends TransactionName, ProducerIdentity {
  /**
   * The producer takes a new epoch at each end, and takes part in a transaction by its first write: what it sends is always of
   * one transaction. Without it, requests of an earlier transaction look like those of the present one.
   */
  readonly epochPerTransaction: boolean
  /** The connection that it came over: the greater, the later it was accepted. */
  readonly connection: number
}

export interface RegisterRequest extends TransactionName {
  readonly timeoutMs: number
  /** What the producer was before, when it says so: it is refused if somebody else has taken over since. */
  readonly previous: ProducerIdentity | undefined
  readonly connection: number
}

export interface JoinRequest extends TransactionRequest {
  readonly streams: readonly StreamId[]
  readonly groups: readonly string[]
}

export interface EndRequest extends TransactionRequest {
  readonly isCommitted: boolean
}

export interface PendingCommitRequest extends TransactionRequest, MemberName {
  readonly group: string
  readonly generation: number
  readonly topics: readonly TopicCommits[]
}

/** Either an error, or who the producer is from now on. */
export type Identified =
  | ({ readonly error: undefined } & ProducerIdentity)
  | { readonly error: ErrorCode; readonly producerId: -1; readonly epoch: -1 }

export type IdentifiedDone = (result: Identified) => void
export type Done = (error: ErrorCode | undefined) => void

/** Which transactions to list; what is absent does not matter. */
export interface TransactionFilter {
  readonly states?: ReadonlySet<TransactionState>
  readonly producerIds?: ReadonlySet<number>
  /** Ongoing for longer than this. */
  readonly longerThanMs?: number
  readonly id?: (id: string) => boolean
}
