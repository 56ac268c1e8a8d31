import { ProtocolError } from '@dragoman/wire'
import { BrokerError, type ErrorCode } from '../../core/errors.ts'
import type { PublishError } from '../../core/routing/publisher.ts'
import { reasons, type Reason } from './reasons.ts'

/** The peer broke the protocol: it is told by this reason, where its version can say so, and sent away. */
export class PacketError extends ProtocolError {
  readonly reason: Reason

  constructor(reason: Reason, message: string) {
    super(message)
    this.reason = reason
  }
}

export const malformed = (message: string): PacketError => new PacketError(reasons.malformed, message)
export const violation = (message: string): PacketError => new PacketError(reasons.protocolError, message)

/** By which reason a peer is sent away that broke the protocol. */
export const reasonOfFault = (error: ProtocolError): Reason =>
  error instanceof PacketError ? error.reason : reasons.malformed

const { implementation, notAuthorized, quotaExceeded, topicInvalid, unspecified } = reasons

/** Every refusal of the core as a reason. Most cannot come from what a client of this protocol can ask. */
export const reasonOf = {
  'topic-not-found': topicInvalid,
  'partition-not-found': unspecified,
  'topic-exists': topicInvalid,
  'queue-not-found': topicInvalid,
  'queue-exists': implementation,
  'queue-locked': notAuthorized,
  'queue-in-use': implementation,
  'queue-not-empty': implementation,
  'exchange-not-found': topicInvalid,
  'exchange-exists': implementation,
  'exchange-in-use': implementation,
  'namespace-not-found': reasons.banned,
  'name-invalid': topicInvalid,
  'partition-count-invalid': implementation,
  'config-invalid': implementation,
  'request-invalid': implementation,
  'limit-reached': quotaExceeded,
  'message-too-large': reasons.packetTooLarge,
  'message-corrupt': unspecified,
  'message-invalid': implementation,
  'timestamp-invalid': implementation,
  'compression-unsupported': implementation,
  'offset-out-of-range': unspecified,
  'sequence-out-of-order': unspecified,
  'sequence-duplicate': unspecified,
  'producer-unknown': unspecified,
  'producer-fenced': unspecified,
  'producer-unmapped': unspecified,
  'transaction-state-invalid': unspecified,
  'transaction-abortable': unspecified,
  'transaction-timeout-invalid': unspecified,
  'transaction-not-found': unspecified,
  'epoch-fenced': unspecified,
  'epoch-unknown': unspecified,
  'group-not-found': unspecified,
  'group-not-empty': unspecified,
  'group-id-invalid': implementation,
  'group-full': quotaExceeded,
  'group-rebalancing': unspecified,
  'group-generation-stale': unspecified,
  'group-protocol-mismatch': unspecified,
  'group-subscribed': unspecified,
  'member-unknown': unspecified,
  'member-id-required': unspecified,
  'member-instance-fenced': unspecified,
  'member-epoch-fenced': unspecified,
  'member-epoch-stale': unspecified,
  'member-instance-unreleased': unspecified,
  'assignor-unknown': unspecified,
  'pattern-invalid': reasons.filterInvalid,
  'session-timeout-invalid': implementation,
  'metadata-too-large': implementation,
  'user-not-found': reasons.badCredentials,
  'credential-invalid': reasons.badCredentials,
  'access-denied': notAuthorized,
  'storage-full': quotaExceeded,
  'storage-corrupt': unspecified,
  'timed-out': unspecified,
  'shutting-down': reasons.shuttingDown,
  unsupported: implementation,
} as const satisfies Record<ErrorCode, Reason>

/** The reason for a refusal. Anything else is a bug of ours and is thrown on. */
export function reasonOfRefusal(error: unknown): Reason {
  if (error instanceof BrokerError) return reasonOf[error.code]
  throw error
}

/** Why a message was not taken by all that it leads to. */
export function reasonOfPublish(error: PublishError): Reason {
  if (error === 'queue-full') return quotaExceeded
  return reasonOf[error as ErrorCode] ?? unspecified
}
