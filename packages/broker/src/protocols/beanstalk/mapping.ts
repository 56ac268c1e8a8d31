import { envelopeHeader, envelopeIn, newMessage, type Message } from '../../core/message.ts'
import type { MappedRecord, Origin } from '../../core/origins.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'

/**
 * Jobs and the message between protocols. A job has a body, and three numbers that travel in its envelope:
 *
 *   version u8 = 1, protocol u8, priority u32, delay u32 (seconds), time to run u32 (seconds)
 */
export interface JobNumbers {
  priority: number
  delaySeconds: number
  /** How long a worker may keep the job. */
  ttrSeconds: number
}

const envelopeVersion = 1
/** Names this protocol in envelopes. Written to disk: never reuse. */
const protocolNumber = 9
const envelopeBytes = 14

/** What a job has that another protocol has published. */
export const ordinary: JobNumbers = { priority: 1024, delaySeconds: 0, ttrSeconds: 60 }

export function jobRecord(body: Uint8Array, { priority, delaySeconds, ttrSeconds }: JobNumbers): QueueMessage {
  const envelope = Buffer.allocUnsafe(envelopeBytes)
  envelope[0] = envelopeVersion
  envelope[1] = protocolNumber
  envelope.writeUInt32BE(priority, 2)
  envelope.writeUInt32BE(delaySeconds, 6)
  envelope.writeUInt32BE(ttrSeconds, 10)
  return { value: body, headers: [{ key: envelopeHeader, value: envelope }] }
}

/** Undefined when another protocol has written the envelope, or none has. */
function readEnvelope(envelope: Buffer | undefined): JobNumbers | undefined {
  if (envelope?.length !== envelopeBytes) return undefined
  if (envelope[0] !== envelopeVersion || envelope[1] !== protocolNumber) return undefined
  return {
    priority: envelope.readUInt32BE(2),
    delaySeconds: envelope.readUInt32BE(6),
    ttrSeconds: envelope.readUInt32BE(10),
  }
}

export const numbersOf = (envelope: Buffer | undefined): JobNumbers => readEnvelope(envelope) ?? ordinary

/** What is more urgent than ordinary keeps its distance from it; what is less urgent has the default of the others, 0. */
export function toMessage(record: MappedRecord): Message {
  const message = newMessage(record.value, record.timestampMs)
  const envelope = envelopeIn(record.headers)
  const numbers = readEnvelope(envelope)
  if (!envelope || !numbers) return message
  message.priority = Math.max(0, ordinary.priority - numbers.priority)
  if (numbers.delaySeconds > 0) message.delayUntilMs = record.timestampMs + numbers.delaySeconds * 1000
  message.origin = { protocol: 'beanstalk', bytes: envelope }
  return message
}

export const origin: Origin = { protocol: 'beanstalk', number: protocolNumber, toMessage }

/** A job has no place for headers and properties: what is left is body, priority and delay. */
export function fromMessage(message: Message, nowMs: number): { body: Uint8Array } & JobNumbers {
  const origin = message.origin?.protocol === 'beanstalk' ? readEnvelope(Buffer.from(message.origin.bytes)) : undefined
  const delaySeconds = Math.max(0, Math.ceil(((message.delayUntilMs ?? 0) - nowMs) / 1000))
  const priority = Math.max(0, ordinary.priority - Math.max(0, message.priority))
  const { ttrSeconds } = origin ?? ordinary
  return { body: message.body ?? new Uint8Array(), priority: origin?.priority ?? priority, delaySeconds, ttrSeconds }
}
