import type { Infer, Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.saslAuthenticate.request>
type Answer = Write<typeof apis.saslAuthenticate.response>

const nothing: Buffer = Buffer.alloc(0)

/** SaslAuthenticate 0-2. A refusal is held back, the longer the more there were from the host, and ends the connection. */
export const handler = defineHandler(apis.saslAuthenticate, (exchange, request) => {
  handle(exchange, request).catch((error: unknown) => exchange.fail(error))
})

async function handle(exchange: Exchange<Answer>, { authBytes }: Request): Promise<void> {
  const { step, delayMs } = await exchange.authentication.next(authBytes)
  if (step.kind !== 'failure') {
    const { data, sessionLifetimeMs } = step
    return exchange.reply({ errorCode: codes.none, errorMessage: null, authBytes: data, sessionLifetimeMs })
  }
  const answer = { errorCode: codes.saslAuthenticationFailed, errorMessage: step.reason, authBytes: nothing }
  exchange.cancel = exchange.connection.clock.after(delayMs, () => exchange.replyLast(answer))
}
