import type { Infer, Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.saslHandshake.request>
type Answer = Write<typeof apis.saslHandshake.response>

/**
 * SaslHandshake 0-1. A way to log in that is not there ends the connection once the client has been told; where nobody can log in,
 * it is told and may go on.
 */
export const handler = defineHandler(apis.saslHandshake, handle)

function handle(exchange: Exchange<Answer>, { mechanism }: Request, version: number): void {
  const answer = exchange.authentication.handshake(mechanism, version)
  if (answer.errorCode === codes.none || answer.mechanisms.length === 0) exchange.reply(answer)
  else exchange.replyLast(answer)
}
