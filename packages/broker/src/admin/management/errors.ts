import { BrokerError, type ErrorCode } from '../../core/errors.ts'
import { jsonAnswer, type Answer } from '../http/message.ts'

/** Something that a request asks for and does not get: answered with `status`, and the words as clients of this API know them. */
export class Refusal extends Error {
  override name = 'Refusal'
  readonly status: number
  readonly error: string
  constructor(status: number, error: string, reason: string) {
    super(reason)
    this.status = status
    this.error = error
  }
}

export const badRequest = (reason: string): Refusal => new Refusal(400, 'bad_request', reason)
export const notFound = (reason = 'Not Found'): Refusal => new Refusal(404, 'Object Not Found', reason)
/** Who is known, but may not do this, is answered like who is not known. */
export const notAuthorised = (reason: string): Refusal => new Refusal(401, 'not_authorised', reason)

const words: Readonly<Record<number, string>> = {
  400: 'bad_request',
  401: 'not_authorised',
  404: 'not_found',
  412: 'precondition_failed',
  500: 'internal_server_error',
  501: 'not_implemented',
  503: 'service_unavailable',
}

/** What is not named is the client's mistake. */
const statuses: Partial<Record<ErrorCode, number>> = {
  'topic-not-found': 404,
  'partition-not-found': 404,
  'queue-not-found': 404,
  'exchange-not-found': 404,
  'namespace-not-found': 404,
  'user-not-found': 404,
  'group-not-found': 404,
  'access-denied': 401,
  'storage-full': 503,
  'storage-corrupt': 500,
  'timed-out': 503,
  'shutting-down': 503,
  unsupported: 501,
}

/** Rethrows what is neither a refusal of ours nor of the core. */
export function answerToError(error: unknown): Answer {
  if (error instanceof Refusal) return jsonAnswer(error.status, { error: error.error, reason: error.message })
  if (!(error instanceof BrokerError)) throw error
  const status = statuses[error.code] ?? 400
  return jsonAnswer(status, { error: words[status], reason: error.message })
}
