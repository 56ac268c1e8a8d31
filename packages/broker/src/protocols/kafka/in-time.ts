import { codes } from './errors.ts'
import type { Exchange } from './handlers/handler.ts'
import { refused } from './outcome.ts'

/** What was begun may yet be done, as the client must expect after a time-out. */
export const tooLate = refused(codes.requestTimedOut, 'The change was not durable in the time that was given.')

/** A client that gives no time at all would be refused before the first sync. */
const timeoutMsMin = 1000

/** The answer of `work`, or of `late` when it has not come in the time that the client gives. What was begun goes on. */
export function inTime<A>(
  exchange: Pick<Exchange<never>, 'answerWithin'>,
  timeoutMs: number,
  work: Promise<A>,
  late: () => A,
): Promise<A> {
  return new Promise((resolve, reject) => {
    work.then(resolve, reject)
    exchange.answerWithin(Math.max(timeoutMs, timeoutMsMin), () => resolve(late()))
  })
}
