import type { Header } from '../../core/message.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'
import type { Destination } from '../../core/routing/place.ts'
import type { Content } from './content.ts'
import { envelopeHeadBytes } from './mapping.ts'

/** A message that was published, with all that is decided of it. */
export interface Published {
  readonly exchange: string
  readonly key: string
  readonly isMandatory: boolean
  readonly message: QueueMessage
  readonly destinations: readonly Destination[]
  readonly replyTo: ReplyConsumer | undefined
  /** Its own time to live; -1: it has none. */
  readonly ttlMs: number
  /** It is to be routed so many milliseconds later; 0: now. */
  readonly delayMs: number
  /** Only of one that is routed later. */
  readonly headers: readonly Header[]
}

/** Who answers are sent to. */
export interface ReplyConsumer {
  /** What answers are published to, by the default exchange. */
  readonly address: string
  deliver(answer: Published): void
}

/** What a publisher has sent, as consumers get it. */
export function contentOf({ headers: [envelope] = [], value }: QueueMessage): Content {
  return { properties: asBuffer(envelope?.value).subarray(envelopeHeadBytes), body: asBuffer(value) }
}

const asBuffer = (bytes: Uint8Array | null | undefined): Buffer =>
  bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : noBytes

const noBytes = Buffer.alloc(0)
