/** Every operating error that a client can meet, once. Each protocol maps all of these to its own codes. */
export const errors = {
  'topic-not-found': { retryable: false, text: 'The topic does not exist' },
  'partition-not-found': { retryable: false, text: 'The partition does not exist' },
  'topic-exists': { retryable: false, text: 'The topic already exists' },
  'queue-not-found': { retryable: false, text: 'The queue does not exist' },
  'queue-exists': { retryable: false, text: 'The queue cannot be declared like this' },
  'queue-locked': { retryable: false, text: 'The queue belongs to another connection' },
  'queue-in-use': { retryable: false, text: 'The queue is in use' },
  'queue-not-empty': { retryable: false, text: 'The queue is not empty' },
  'exchange-not-found': { retryable: false, text: 'The exchange does not exist' },
  'exchange-exists': { retryable: false, text: 'The exchange cannot be declared like this' },
  'exchange-in-use': { retryable: false, text: 'The exchange is in use' },
  'namespace-not-found': { retryable: false, text: 'The namespace does not exist' },
  'name-invalid': { retryable: false, text: 'The name is not allowed' },
  'partition-count-invalid': { retryable: false, text: 'The number of partitions is not allowed' },
  'config-invalid': { retryable: false, text: 'The configuration is not allowed' },
  'request-invalid': { retryable: false, text: 'The request is not allowed' },
  'limit-reached': { retryable: false, text: 'A limit of the broker is reached' },
  'message-too-large': { retryable: false, text: 'The message is larger than allowed' },
  'message-corrupt': { retryable: false, text: 'The message is damaged' },
  'message-invalid': { retryable: false, text: 'The message is not allowed' },
  'timestamp-invalid': { retryable: false, text: 'The timestamp of the message is not allowed' },
  'compression-unsupported': { retryable: false, text: 'The compression is not supported' },
  'offset-out-of-range': { retryable: false, text: 'The offset is outside the log' },
  'sequence-out-of-order': { retryable: false, text: 'The sequence number is not the next one of the producer' },
  'sequence-duplicate': { retryable: false, text: 'The sequence number was already used by the producer' },
  'producer-unknown': { retryable: false, text: 'The producer id is not known' },
  'producer-fenced': { retryable: false, text: 'A newer producer has taken over' },
  'producer-unmapped': { retryable: false, text: 'The producer id is not that of the transactional id' },
  'transaction-state-invalid': { retryable: false, text: 'The transaction is not in a state for this' },
  'transaction-abortable': { retryable: false, text: 'The transaction can only be aborted' },
  'transaction-timeout-invalid': { retryable: false, text: 'The transaction time-out is not allowed' },
  'transaction-not-found': { retryable: false, text: 'The transactional id does not exist' },
  'epoch-fenced': { retryable: true, text: 'The leader epoch is older than the current one' },
  'epoch-unknown': { retryable: true, text: 'The leader epoch is newer than the current one' },
  'group-not-found': { retryable: false, text: 'The group does not exist' },
  'group-not-empty': { retryable: false, text: 'The group still has members' },
  'group-id-invalid': { retryable: false, text: 'The group id is not allowed' },
  'group-full': { retryable: false, text: 'The group has reached its limit of members' },
  'group-rebalancing': { retryable: true, text: 'The group is rebalancing' },
  'group-generation-stale': { retryable: false, text: 'The generation is not the current one of the group' },
  'group-protocol-mismatch': { retryable: false, text: 'The member supports no protocol of the group' },
  'group-subscribed': { retryable: false, text: 'The group is subscribed to the topic' },
  'member-unknown': { retryable: false, text: 'The member is not in the group' },
  'member-id-required': { retryable: true, text: 'The member must join with the id that it is given' },
  'member-instance-fenced': { retryable: false, text: 'Another member has taken over the instance id' },
  'member-epoch-fenced': { retryable: false, text: 'The member must give up its partitions and join again' },
  'member-epoch-stale': { retryable: true, text: 'The member epoch is not the current one of the member' },
  'member-instance-unreleased': { retryable: false, text: 'Another member holds the instance id' },
  'assignor-unknown': { retryable: false, text: 'There is no such assignor' },
  'pattern-invalid': { retryable: false, text: 'The regular expression is not allowed' },
  'session-timeout-invalid': { retryable: false, text: 'The session time-out is not allowed' },
  'metadata-too-large': { retryable: false, text: 'The metadata of the offset is larger than allowed' },
  'user-not-found': { retryable: false, text: 'The user does not exist' },
  'credential-invalid': { retryable: false, text: 'The user or the password is not allowed' },
  'access-denied': { retryable: false, text: 'The access is denied' },
  'storage-full': { retryable: true, text: 'The disk is full' },
  'storage-corrupt': { retryable: false, text: 'The stored data is damaged' },
  'timed-out': { retryable: true, text: 'The request was not completed in time' },
  'shutting-down': { retryable: true, text: 'The broker is shutting down' },
  unsupported: { retryable: false, text: 'The broker does not do this' },
} as const

export type ErrorCode = keyof typeof errors

/** An expected refusal: it is answered in the protocol's words and the connection goes on. */
export class BrokerError extends Error {
  override name = 'BrokerError'
  readonly code: ErrorCode
  constructor(code: ErrorCode, detail: string) {
    super(`${errors[code].text}: ${detail}`)
    this.code = code
  }
}
