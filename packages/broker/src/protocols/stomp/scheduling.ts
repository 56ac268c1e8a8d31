import type { Later } from '../../core/delayed/stored.ts'
import type { Connection } from './connection.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'
import { refusedMessage, StompError } from './errors.ts'
import type { Headers } from './headers.ts'
import { numberOf } from './queue-options.ts'

/** A message that is repeated is kept as often as it will be sent. */
const repeatMax = 1000
const delayMsMax = 100 * 365 * 24 * 3_600_000
const nameBytes = 12

/** When a message is to be published. */
export interface Schedule {
  readonly delayMs: number
  /** Further times, so far apart. */
  readonly repeat: number
  readonly periodMs: number
  /** Again and again, as it says. */
  readonly cron: string | undefined
}

/** Undefined when it is published at once. `isDelayed`: `x-delay` has a meaning. Throws `StompError`. */
export function scheduleOf(headers: Headers, isDelayed: boolean): Schedule | undefined {
  const cron = headers.get('AMQ_SCHEDULED_CRON')
  const own =
    isDelayed && !headers.get('x-delay')?.startsWith('-') ? numberOf(headers, 'x-delay', delayMsMax) : undefined
  const delayMs = numberOf(headers, 'AMQ_SCHEDULED_DELAY', delayMsMax) ?? own ?? 0
  const periodMs = numberOf(headers, 'AMQ_SCHEDULED_PERIOD', delayMsMax) ?? 0
  const repeat = numberOf(headers, 'AMQ_SCHEDULED_REPEAT', repeatMax) ?? 0
  if (cron !== undefined && cron !== '') return { delayMs: 0, repeat: 0, periodMs: 0, cron }
  if (periodMs > 0 && repeat === 0 && !headers.has('AMQ_SCHEDULED_REPEAT')) {
    const explanation = 'AMQ_SCHEDULED_PERIOD needs AMQ_SCHEDULED_REPEAT; what never ends is said by AMQ_SCHEDULED_CRON'
    throw new StompError('invalid_header', explanation)
  }
  return delayMs === 0 && repeat === 0 ? undefined : { delayMs, repeat, periodMs, cron: undefined }
}

/** Returns the block that makes it safe, or a promise of that. Throws `StompError` when it is refused. */
export function schedule(
  { broker, context }: Connection,
  later: Later,
  { delayMs, repeat, periodMs, cron }: Schedule,
  destination: string,
): number | Promise<number> {
  if (cron !== undefined) {
    const name = `stomp-${context.random.bytes(nameBytes).toString('hex')}`
    const definition = { name, expression: cron, timeZone: 'UTC', missed: 'skip', isEnabled: true } as const
    return broker.schedules.set({ ...later, message: owned(later.message), ...definition }).then(() => -1)
  }
  let last = -1
  let refused: StompError | undefined
  broker.router.atomic(() => {
    for (let time = 0; time <= repeat; time++) {
      const { seq, error } = broker.delayed.post(later, delayMs + time * periodMs)
      if (error !== undefined && error !== 'stream-not-found') refused ??= refusedMessage(error, destination)
      last = Math.max(last, seq)
    }
  })
  if (refused) throw refused
  return last
}

/** What is kept for later cannot lie in the bytes that are read next. */
export function owned(message: QueueMessage): QueueMessage {
  return { ...message, value: message.value && Buffer.from(message.value) }
}
