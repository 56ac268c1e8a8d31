import { ProtocolError } from '@dragoman/wire'
import { BrokerError, errors, type ErrorCode } from '../../core/errors.ts'
import type { PublishError } from '../../core/routing/publisher.ts'

/**
 * A refusal: the peer is told by an ERROR frame, whose header `message` is `title` and whose body explains, and the connection is closed.
 * [STOMP-1.2, ERROR]
 */
export class StompError extends Error {
  override name = 'StompError'
  readonly title: string
  /** Further headers of the frame. */
  readonly headers: Readonly<Record<string, string>>

  constructor(title: string, explanation: string, headers: Readonly<Record<string, string>> = {}) {
    super(explanation)
    this.title = title
    this.headers = headers
  }
}

/** Every refusal of the core as the short text that clients show first. Many cannot come from what a client of this protocol can ask. */
export const titleOf = {
  'topic-not-found': 'not_found',
  'partition-not-found': 'not_found',
  'topic-exists': 'precondition_failed',
  'queue-not-found': 'not_found',
  'queue-exists': 'precondition_failed',
  'queue-locked': 'resource_locked',
  'queue-in-use': 'access_refused',
  'queue-not-empty': 'precondition_failed',
  'exchange-not-found': 'not_found',
  'exchange-exists': 'precondition_failed',
  'exchange-in-use': 'precondition_failed',
  'namespace-not-found': 'not_found',
  'name-invalid': 'invalid_destination',
  'partition-count-invalid': 'precondition_failed',
  'config-invalid': 'precondition_failed',
  'request-invalid': 'invalid_request',
  'limit-reached': 'limit_reached',
  'message-too-large': 'message_too_large',
  'message-corrupt': 'invalid_message',
  'message-invalid': 'invalid_message',
  'timestamp-invalid': 'invalid_message',
  'compression-unsupported': 'invalid_message',
  'offset-out-of-range': 'not_found',
  'sequence-out-of-order': 'internal_error',
  'sequence-duplicate': 'internal_error',
  'producer-unknown': 'internal_error',
  'producer-fenced': 'internal_error',
  'producer-unmapped': 'internal_error',
  'transaction-state-invalid': 'internal_error',
  'transaction-abortable': 'internal_error',
  'transaction-timeout-invalid': 'internal_error',
  'transaction-not-found': 'internal_error',
  'epoch-fenced': 'internal_error',
  'epoch-unknown': 'internal_error',
  'group-not-found': 'not_found',
  'group-not-empty': 'precondition_failed',
  'group-id-invalid': 'invalid_request',
  'group-full': 'limit_reached',
  'group-rebalancing': 'internal_error',
  'group-generation-stale': 'internal_error',
  'group-protocol-mismatch': 'precondition_failed',
  'group-subscribed': 'precondition_failed',
  'member-unknown': 'internal_error',
  'member-id-required': 'internal_error',
  'member-instance-fenced': 'internal_error',
  'member-epoch-fenced': 'internal_error',
  'member-epoch-stale': 'internal_error',
  'member-instance-unreleased': 'internal_error',
  'assignor-unknown': 'internal_error',
  'pattern-invalid': 'invalid_request',
  'session-timeout-invalid': 'invalid_request',
  'metadata-too-large': 'limit_reached',
  'user-not-found': 'access_refused',
  'credential-invalid': 'access_refused',
  'access-denied': 'access_refused',
  'storage-full': 'storage_full',
  'storage-corrupt': 'internal_error',
  'timed-out': 'internal_error',
  'shutting-down': 'shutdown',
  unsupported: 'not_supported',
} as const satisfies Record<ErrorCode, string>

/** Why a message was not taken. */
export function refusedMessage(error: Exclude<PublishError, 'stream-not-found'>, destination: string): StompError {
  const [title, text] =
    error === 'queue-full' ? ['queue_full', 'The queue has reached its limit'] : [titleOf[error], errors[error].text]
  return new StompError(title, `The message to ${destination} was not taken: ${text}`)
}

/** The refusal in the protocol's words; undefined for anything else, which is a bug of ours. */
export function asStompError(error: unknown): StompError | undefined {
  if (error instanceof StompError) return error
  if (error instanceof BrokerError) return new StompError(titleOf[error.code], error.message)
  if (error instanceof ProtocolError) return new StompError('malformed frame received', error.message)
  return undefined
}
