import type { NewRecord } from '../../storage/record-batch.ts'
import { withStamp, type Stamp } from './stamp.ts'

/** A message of a queue as its publisher hands it in: the broker stamps it. Its routing key is the record's key. */
export type QueueMessage = Omit<NewRecord, 'timestampMs'> &
  Partial<Stamp> & {
    /** Its publisher does not ask for it to survive anything: queues may be set to leave such messages out. Not stored. */
    readonly isTransient?: boolean
    /** Who takes it only as it passes does so when this block is durable, at the earliest. Not stored. */
    readonly shownAfter?: number
  }

/** The message as it is stored. */
export function recordOf(message: QueueMessage, timestampMs: number): NewRecord {
  const { key = null, value } = message
  return { key, value, headers: withStamp(message.headers, message), timestampMs }
}
