import { BrokerError, type ErrorCode } from '../../core/errors.ts'

/** A refusal in the protocol's own words: the text of an error answer, with its code. */
export class CommandError extends Error {
  override name = 'CommandError'
}

export const wrongType = (): CommandError =>
  new CommandError('WRONGTYPE Operation against a key holding the wrong kind of value')
export const syntaxError = (): CommandError => new CommandError('ERR syntax error')
export const notAnInteger = (): CommandError => new CommandError('ERR value is not an integer or out of range')
export const notAFloat = (): CommandError => new CommandError('ERR value is not a valid float')
export const noSuchKey = (): CommandError => new CommandError('ERR no such key')

/** Every refusal of the core begins with one of these words. Most cannot come from what a client of this protocol can ask. */
export const codeOf = {
  'topic-not-found': 'ERR',
  'partition-not-found': 'ERR',
  'topic-exists': 'WRONGTYPE',
  'queue-not-found': 'ERR',
  'queue-exists': 'WRONGTYPE',
  'queue-locked': 'NOPERM',
  'queue-in-use': 'ERR',
  'queue-not-empty': 'ERR',
  'exchange-not-found': 'ERR',
  'exchange-exists': 'ERR',
  'exchange-in-use': 'ERR',
  'namespace-not-found': 'ERR',
  'name-invalid': 'ERR',
  'partition-count-invalid': 'ERR',
  'config-invalid': 'ERR',
  'request-invalid': 'ERR',
  'limit-reached': 'OOM',
  'message-too-large': 'ERR',
  'message-corrupt': 'ERR',
  'message-invalid': 'ERR',
  'timestamp-invalid': 'ERR',
  'compression-unsupported': 'ERR',
  'offset-out-of-range': 'ERR',
  'sequence-out-of-order': 'ERR',
  'sequence-duplicate': 'ERR',
  'producer-unknown': 'ERR',
  'producer-fenced': 'ERR',
  'producer-unmapped': 'ERR',
  'transaction-state-invalid': 'ERR',
  'transaction-abortable': 'ERR',
  'transaction-timeout-invalid': 'ERR',
  'transaction-not-found': 'ERR',
  'epoch-fenced': 'ERR',
  'epoch-unknown': 'ERR',
  'group-not-found': 'NOGROUP',
  'group-not-empty': 'ERR',
  'group-id-invalid': 'ERR',
  'group-full': 'OOM',
  'group-rebalancing': 'ERR',
  'group-generation-stale': 'ERR',
  'group-protocol-mismatch': 'ERR',
  'group-subscribed': 'ERR',
  'member-unknown': 'ERR',
  'member-id-required': 'ERR',
  'member-instance-fenced': 'ERR',
  'member-epoch-fenced': 'ERR',
  'member-epoch-stale': 'ERR',
  'member-instance-unreleased': 'ERR',
  'assignor-unknown': 'ERR',
  'pattern-invalid': 'ERR',
  'session-timeout-invalid': 'ERR',
  'metadata-too-large': 'ERR',
  'user-not-found': 'ERR',
  'credential-invalid': 'WRONGPASS',
  'access-denied': 'NOPERM',
  'storage-full': 'MISCONF',
  'storage-corrupt': 'ERR',
  'timed-out': 'ERR',
  'shutting-down': 'LOADING',
  unsupported: 'ERR',
} as const satisfies Record<ErrorCode, string>

/** The text of the answer to a refusal. Anything else is a bug of ours and is thrown on. */
export function answerToError(error: unknown): string {
  if (error instanceof CommandError) return error.message
  if (error instanceof BrokerError) return `${codeOf[error.code]} ${error.message}`
  throw error
}
