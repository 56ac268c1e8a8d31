import { newMessage, type Message } from '../../core/message.ts'
import type { MappedRecord, Origin } from '../../core/origins.ts'
import { messageOfEntry } from './streams/fields.ts'

/** Names this protocol in envelopes. Written to disk: never reuse. */
export const protocolNumber = 5

/** An element of a list, or what was published to a channel, is a body and nothing else: it has no envelope. */
export function toMessage(record: MappedRecord): Message {
  return messageOfEntry(record) ?? newMessage(record.value, record.timestampMs)
}

export const origin: Origin = { protocol: 'resp', number: protocolNumber, toMessage }
