import { homeNamespace } from '../../core/broker.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { TransactionState } from '../../core/transactions/machine.ts'
import type { TransactionRequest } from '../../core/transactions/requests.ts'
import { codeOf, codes } from './errors.ts'
import type { Exchange } from './handlers/handler.ts'
import type { SessionContext } from '../protocol.ts'

/** Transactions in Kafka's words. */

export const stateNames = {
  empty: 'Empty',
  ongoing: 'Ongoing',
  committed: 'CompleteCommit',
  aborted: 'CompleteAbort',
} satisfies Record<TransactionState, string>

/** States that transactions here are never seen in: their end is one step. */
export const foreignStates: readonly string[] = ['PrepareCommit', 'PrepareAbort', 'Dead', 'PrepareEpochFence']

/** From which version of a request on clients know two codes that others stood for before. */
export interface Since {
  /** PRODUCER_FENCED; before, INVALID_PRODUCER_EPOCH. */
  fenced: number
  /** TRANSACTION_ABORTABLE; before, INVALID_TXN_STATE. */
  abortable: number
}

/**
 * The code for an error of a transaction. What passes by itself is put as a coordinator that is away for a moment: producers look
 * for it again and repeat the request.
 */
export function transactionCodeOf(error: ErrorCode | undefined, version: number, since: Since): number {
  switch (error) {
    case undefined:
      return codes.none
    case 'producer-fenced':
      return version >= since.fenced ? codes.producerFenced : codes.invalidProducerEpoch
    case 'transaction-abortable':
      return version >= since.abortable ? codes.transactionAbortable : codes.invalidTransactionState
    case 'storage-full':
    case 'shutting-down':
      return codes.coordinatorNotAvailable
    default:
      return codeOf[error]
  }
}

/** The part that all requests of a transactional producer have in common. */
export const producerOf = (
  { transactionalId: id, producerId, producerEpoch: epoch }: RequestFields,
  { ordinal: connection }: Pick<SessionContext, 'ordinal'>,
  epochPerTransaction: boolean,
): TransactionRequest => ({ namespace: homeNamespace, id, producerId, epoch, epochPerTransaction, connection })

/** Why the client may not do this in the name of the producer, and to the group if there is one; undefined when it may. */
export function producerRefusal(
  exchange: Pick<Exchange<never>, 'may'>,
  { transactionalId, groupId }: { readonly transactionalId: string; readonly groupId?: string },
): number | undefined {
  if (!exchange.may('write', 'transactional-id', transactionalId)) return codes.transactionalIdAuthorizationFailed
  if (groupId !== undefined && !exchange.may('read', 'group', groupId)) return codes.groupAuthorizationFailed
  return undefined
}

interface RequestFields {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}
