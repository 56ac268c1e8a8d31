import { BrokerError, type ErrorCode } from '../../core/errors.ts'
import type { AnswerName } from './messages.ts'

/** What can be done about it decides the word: try again later, it is not there, the command cannot be like this, or we are to blame. */
const later: AnswerName = 'OUT_OF_MEMORY'
const malformed: AnswerName = 'BAD_FORMAT'
const ours: AnswerName = 'INTERNAL_ERROR'

/** Every refusal of the core in the protocol's words. Most cannot come from what a client of this protocol can ask. */
export const answerOf = {
  'topic-not-found': 'NOT_FOUND',
  'partition-not-found': 'NOT_FOUND',
  'topic-exists': malformed,
  'queue-not-found': 'NOT_FOUND',
  'queue-exists': malformed,
  'queue-locked': ours,
  'queue-in-use': ours,
  'queue-not-empty': ours,
  'exchange-not-found': ours,
  'exchange-exists': ours,
  'exchange-in-use': ours,
  'namespace-not-found': ours,
  'name-invalid': malformed,
  'partition-count-invalid': malformed,
  'config-invalid': malformed,
  'request-invalid': malformed,
  'limit-reached': later,
  'message-too-large': 'JOB_TOO_BIG',
  'message-corrupt': ours,
  'message-invalid': malformed,
  'timestamp-invalid': ours,
  'compression-unsupported': ours,
  'offset-out-of-range': 'NOT_FOUND',
  'sequence-out-of-order': ours,
  'sequence-duplicate': ours,
  'producer-unknown': ours,
  'producer-fenced': ours,
  'producer-unmapped': ours,
  'transaction-state-invalid': ours,
  'transaction-abortable': ours,
  'transaction-timeout-invalid': ours,
  'transaction-not-found': ours,
  'epoch-fenced': ours,
  'epoch-unknown': ours,
  'group-not-found': 'NOT_FOUND',
  'group-not-empty': ours,
  'group-id-invalid': malformed,
  'group-full': later,
  'group-rebalancing': ours,
  'group-generation-stale': ours,
  'group-protocol-mismatch': ours,
  'group-subscribed': ours,
  'member-unknown': ours,
  'member-id-required': ours,
  'member-instance-fenced': ours,
  'member-epoch-fenced': ours,
  'member-epoch-stale': ours,
  'member-instance-unreleased': ours,
  'assignor-unknown': ours,
  'pattern-invalid': malformed,
  'session-timeout-invalid': malformed,
  'metadata-too-large': malformed,
  'user-not-found': ours,
  'credential-invalid': ours,
  'access-denied': ours,
  'storage-full': later,
  'storage-corrupt': ours,
  'timed-out': 'TIMED_OUT',
  'shutting-down': 'DRAINING',
  unsupported: 'UNKNOWN_COMMAND',
} as const satisfies Record<ErrorCode, AnswerName>

/** The answer to a refusal. Anything else is a bug of ours and is thrown on. */
export function answerToError(error: unknown): AnswerName {
  if (error instanceof BrokerError) return answerOf[error.code]
  throw error
}
