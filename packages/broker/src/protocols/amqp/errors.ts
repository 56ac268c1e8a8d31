import { BrokerError, type ErrorCode } from '../../core/errors.ts'

interface Reply {
  readonly code: number
  /** As clients read it, before the explanation. */
  readonly name: string
  /** What ends with it. */
  readonly closes: 'channel' | 'connection'
}

/** Reply codes. [AMQP 0-9-1 reference, 3] */
export const replies = {
  contentTooLarge: { code: 311, name: 'CONTENT_TOO_LARGE', closes: 'channel' },
  noRoute: { code: 312, name: 'NO_ROUTE', closes: 'channel' },
  noConsumers: { code: 313, name: 'NO_CONSUMERS', closes: 'channel' },
  connectionForced: { code: 320, name: 'CONNECTION_FORCED', closes: 'connection' },
  invalidPath: { code: 402, name: 'INVALID_PATH', closes: 'connection' },
  accessRefused: { code: 403, name: 'ACCESS_REFUSED', closes: 'channel' },
  notFound: { code: 404, name: 'NOT_FOUND', closes: 'channel' },
  resourceLocked: { code: 405, name: 'RESOURCE_LOCKED', closes: 'channel' },
  preconditionFailed: { code: 406, name: 'PRECONDITION_FAILED', closes: 'channel' },
  frameError: { code: 501, name: 'FRAME_ERROR', closes: 'connection' },
  syntaxError: { code: 502, name: 'SYNTAX_ERROR', closes: 'connection' },
  commandInvalid: { code: 503, name: 'COMMAND_INVALID', closes: 'connection' },
  channelError: { code: 504, name: 'CHANNEL_ERROR', closes: 'connection' },
  unexpectedFrame: { code: 505, name: 'UNEXPECTED_FRAME', closes: 'connection' },
  resourceError: { code: 506, name: 'RESOURCE_ERROR', closes: 'connection' },
  notAllowed: { code: 530, name: 'NOT_ALLOWED', closes: 'connection' },
  notImplemented: { code: 540, name: 'NOT_IMPLEMENTED', closes: 'connection' },
  internalError: { code: 541, name: 'INTERNAL_ERROR', closes: 'connection' },
} as const satisfies Record<string, Reply>

export type ReplyName = keyof typeof replies

const replyTextBytesMax = 255

/** A refusal in the protocol's words: it ends the channel, or the connection, that asked. */
export class AmqpException extends Error {
  override name = 'AmqpException'
  readonly reply: ReplyName

  constructor(reply: ReplyName, explanation: string) {
    super(explanation)
    this.reply = reply
  }

  get code(): number {
    return replies[this.reply].code
  }

  get closes(): 'channel' | 'connection' {
    return replies[this.reply].closes
  }

  /** As it goes over the wire: `NOT_FOUND - no queue 'x' in vhost '/'`. */
  get text(): string {
    return shortText(`${replies[this.reply].name} - ${this.message}`)
  }
}

/** What a short string can hold of a text. */
export function shortText(text: string): string {
  if (Buffer.byteLength(text) <= replyTextBytesMax) return text
  const ending = '...'
  const bytes = Buffer.from(text).subarray(0, replyTextBytesMax - ending.length)
  // A character that was cut apart is left out.
  return bytes.toString().replace(/\uFFFD+$/, '') + ending
}

/** Every refusal of the core in the protocol's words. Many cannot come from what a client of this protocol can ask. */
export const replyOf = {
  'topic-not-found': 'notFound',
  'partition-not-found': 'notFound',
  'topic-exists': 'preconditionFailed',
  'queue-not-found': 'notFound',
  'queue-exists': 'preconditionFailed',
  'queue-locked': 'resourceLocked',
  'queue-in-use': 'preconditionFailed',
  'queue-not-empty': 'preconditionFailed',
  'exchange-not-found': 'notFound',
  'exchange-exists': 'preconditionFailed',
  'exchange-in-use': 'preconditionFailed',
  'namespace-not-found': 'notAllowed',
  'name-invalid': 'preconditionFailed',
  'partition-count-invalid': 'preconditionFailed',
  'config-invalid': 'preconditionFailed',
  'request-invalid': 'preconditionFailed',
  'limit-reached': 'preconditionFailed',
  'message-too-large': 'preconditionFailed',
  'message-corrupt': 'preconditionFailed',
  'message-invalid': 'preconditionFailed',
  'timestamp-invalid': 'preconditionFailed',
  'compression-unsupported': 'preconditionFailed',
  'offset-out-of-range': 'notFound',
  'sequence-out-of-order': 'internalError',
  'sequence-duplicate': 'internalError',
  'producer-unknown': 'internalError',
  'producer-fenced': 'internalError',
  'producer-unmapped': 'internalError',
  'transaction-state-invalid': 'internalError',
  'transaction-abortable': 'internalError',
  'transaction-timeout-invalid': 'internalError',
  'transaction-not-found': 'internalError',
  'epoch-fenced': 'internalError',
  'epoch-unknown': 'internalError',
  'group-not-found': 'notFound',
  'group-not-empty': 'preconditionFailed',
  'group-id-invalid': 'preconditionFailed',
  'group-full': 'preconditionFailed',
  'group-rebalancing': 'internalError',
  'group-generation-stale': 'internalError',
  'group-protocol-mismatch': 'internalError',
  'group-subscribed': 'internalError',
  'member-unknown': 'internalError',
  'member-id-required': 'internalError',
  'member-instance-fenced': 'internalError',
  'member-epoch-fenced': 'internalError',
  'member-epoch-stale': 'internalError',
  'member-instance-unreleased': 'internalError',
  'assignor-unknown': 'internalError',
  'pattern-invalid': 'preconditionFailed',
  'session-timeout-invalid': 'preconditionFailed',
  'metadata-too-large': 'preconditionFailed',
  'user-not-found': 'accessRefused',
  'credential-invalid': 'accessRefused',
  'access-denied': 'accessRefused',
  'storage-full': 'preconditionFailed',
  'storage-corrupt': 'internalError',
  'timed-out': 'internalError',
  'shutting-down': 'connectionForced',
  unsupported: 'notImplemented',
} as const satisfies Record<ErrorCode, ReplyName>

/** The refusal in the protocol's words; undefined for anything else, which is a bug of ours. */
export function asException(error: unknown): AmqpException | undefined {
  if (error instanceof AmqpException) return error
  if (error instanceof BrokerError) return new AmqpException(replyOf[error.code], error.message)
  return undefined
}
