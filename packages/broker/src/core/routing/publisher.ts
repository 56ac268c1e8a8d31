import type { AppendError, CellClient } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import { bodyOf, releaseBodies, type RecordBody } from '../../storage/batch-builder.ts'
import { stampBatch } from '../../storage/record-batch.ts'
import type { Limits } from '../limits.ts'
import type { Header } from '../message.ts'
import { recordOf, type QueueMessage } from '../queues/message.ts'
import type { PublishResult } from '../queues/queue.ts'
import type { Queues } from '../queues/queues.ts'
import { topicConfig } from '../topic-config.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { partitionOf } from './murmur2.ts'
import { firstSink, keptMessage, Passages } from './passing.ts'
import type { Destination } from './place.ts'

export interface Publication {
  readonly namespace: string
  readonly exchange: string
  /** By which it is routed. */
  readonly key: string
  /** By which it is routed, too; what is stored is the message alone. */
  readonly headers?: readonly Header[]
  readonly message: QueueMessage
  /** An exchange of the kind `delayed` routes it so much later. */
  readonly delayMs?: number
}

export interface PublishOutcome {
  /** Whether it led anywhere. */
  readonly isRouted: boolean
  /** The first refusal of a destination; the others may have taken it. */
  readonly error?: PublishError | undefined
}

/** What was decided of a message. One for all: valid until the next message is posted. */
export interface Posted extends PublishOutcome {
  /** The block with which all of it is durable: who confirms waits for it (`Ledger.whenDurable`). -1: there is nothing to wait for. */
  readonly seq: number
}

export type PublishError =
  | AppendError
  | NonNullable<PublishResult['error']>
  | 'exchange-not-found'
  | 'access-denied'
  | 'limit-reached'

interface PublisherOptions {
  ledger: Ledger
  cell: CellClient
  topics: Topics
  queues: Queues
  limits: Pick<Limits, 'fanOutBytesMax'>
}

/** A message that would put more than this into one block goes to its destinations in several. */
const atomicBytesMax = 4 * 1024 * 1024
/** What a record of a block costs besides its body. */
const recordOverhead = 96

/**
 * Appends messages to all their destinations. Those that come for one destination before the block is written become one batch.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #passages = new Passages()
  readonly #posted: { -readonly [K in keyof Posted]: Posted[K] } = { isRouted: false, error: undefined, seq: -1 }

  /** A message that is posted may make others be posted. */
  #depth = 0

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  refuse(error: PublishError): Posted {
    return this.#tell(false, error, -1)
  }

  /** In one block, unless the destinations are so many that it would be too large: after a crash, all of them have it or none. */
  post(destinations: readonly Destination[], key: string, message: QueueMessage): Posted {
    const { ledger, limits } = this.#options
    const [first] = destinations
    // What is said of it may build on bindings that were removed just now.
    if (!first) return this.#tell(false, undefined, ledger.lastSeq)
    if (destinations.length > 1 && message.isTransient !== true && !this.hasRoom(destinations, message)) {
      return this.#tell(true, 'storage-full', -1)
    }
    if (destinations.at(-1)!.kind === 'sink') return this.#postAndShow(destinations, key, message)
    const isShared = destinations.length > 1
    const sending = new Sending(key, message, ledger.clock.nowMs(), isShared)
    const bytes = isShared ? destinations.length * (sizeOf(message) + recordOverhead) : 0
    this.#depth++
    try {
      if (!isShared) sending.settle(this.#postTo(first, sending))
      else if (bytes > limits.fanOutBytesMax) sending.settle('message-too-large')
      else if (bytes > atomicBytesMax) this.#postAll(destinations, sending)
      else ledger.atomic(() => this.#postAll(destinations, sending))
    } finally {
      if (--this.#depth === 0) releaseBodies()
    }
    // Only now: what a destination drops to make room may have been posted elsewhere.
    return this.#tell(true, sending.error, sending.seq)
  }

  /** Some of the destinations, or all, take messages only as they pass. */
  #postAndShow(destinations: readonly Destination[], key: string, message: QueueMessage): Posted {
    const { ledger } = this.#options
    const nowMs = ledger.clock.nowMs()
    const { shownAfter = -1 } = message
    const first = firstSink(destinations)
    if (first === 0 && shownAfter < 0) {
      this.#passages.show(destinations, 0, key, message, nowMs)
      return this.#tell(true, undefined, -1)
    }
    const kept = keptMessage(message)
    const { seq, error } = first > 0 ? this.post(destinations.slice(0, first), key, message) : notStored
    // Nobody sees it before it is durable where it is stored.
    const show = (): void => this.#passages.show(destinations, first, key, kept, nowMs)
    ledger.whenDurable(Math.max(seq, shownAfter), show, undefined)
    return this.#tell(true, error, seq)
  }

  /**
   * Whether the disk has room for what the destinations would store, if they store anything. When it has not, none of several takes the message:
   * who brings it again would give it twice to those that need no disk.
   */
  hasRoom(destinations: readonly Destination[], message: QueueMessage): boolean {
    if (!this.#options.cell.isFull) return true
    return !destinations.some(one => this.#isStored(one, message) && this.refusal(one, message) === undefined)
  }

  #isStored({ kind, namespace, name }: Destination, { isTransient = false }: QueueMessage): boolean {
    if (kind === 'sink') return false
    const queue = kind === 'queue' ? this.#options.queues.get(namespace, name) : undefined
    return !queue || (queue.definition.isKept && !(isTransient && queue.config.persistentOnly))
  }

  /** Why a destination would refuse the message, for now or for good; undefined: it takes it, if there is room on the disk. */
  refusal({ kind, namespace, name }: Destination, message: QueueMessage): 'later' | 'never' | undefined {
    const { topics, queues } = this.#options
    if (kind === 'sink') return undefined
    if (kind === 'queue') {
      const queue = queues.get(namespace, name)
      return !queue ? 'never' : queue.refuses(message.value?.length ?? 0) ? 'later' : undefined
    }
    const topic = topics.get(namespace, name)
    if (!topic) return 'never'
    const { messageBytesMax, cleanupPolicy } = topicConfig(topic)
    if (cleanupPolicy.compacts && (message.key ?? null) === null) return 'never'
    return new Sending('', message, 0).body.aloneBytes > messageBytesMax ? 'never' : undefined
  }

  #tell(isRouted: boolean, error: PublishError | undefined, seq: number): Posted {
    const posted = this.#posted
    posted.isRouted = isRouted
    posted.error = error
    posted.seq = seq
    return posted
  }

  #postAll(destinations: readonly Destination[], sending: Sending): void {
    for (const destination of destinations) sending.settle(this.#postTo(destination, sending))
  }

  #postTo({ kind, namespace, name }: Destination, sending: Sending): number | PublishError {
    const { topics, queues } = this.#options
    if (kind === 'queue') return queues.get(namespace, name)?.post(sending.body, sending.message) ?? 'stream-not-found'
    const topic = topics.get(namespace, name)
    return topic ? this.#postToTopic(topic, sending) : 'stream-not-found'
  }

  #postToTopic(topic: Topic, { key, message, timestampMs, body }: Sending): number | PublishError {
    const { ledger, cell } = this.#options
    const { partitions } = topic
    const settings = topicConfig(topic)
    // A record's own key keeps together what other producers give that key.
    const partition = partitions[partitionOf(message.key ?? Buffer.from(key), partitions.length)]!
    if (body.aloneBytes > settings.messageBytesMax) return 'message-too-large'
    // What is kept by key must have one.
    if (settings.cleanupPolicy.compacts && (message.key ?? null) === null) return 'message-invalid'
    if (settings.timestampType !== 'append') return cell.gather(partition, body)
    const batch = Buffer.from(body.alone)
    stampBatch(batch, 0, timestampMs)
    let refusal: AppendError | undefined
    cell.append(partition, batch, ({ error }) => (refusal = error))
    return refusal ?? ledger.lastSeq
  }
}

/** A message on its way to its destinations. What they store is encoded once. */
class Sending {
  readonly key: string
  readonly message: QueueMessage
  readonly timestampMs: number
  error: PublishError | undefined
  seq = -1
  readonly #isShared: boolean
  #body: RecordBody | undefined

  constructor(key: string, message: QueueMessage, timestampMs: number, isShared = false) {
    this.key = key
    this.message = message
    this.timestampMs = timestampMs
    this.#isShared = isShared
  }

  get body(): RecordBody {
    if (this.#body) return this.#body
    const body = bodyOf(recordOf(this.message, this.timestampMs))
    body.isShared = this.#isShared
    return (this.#body = body)
  }

  settle(result: number | PublishError): void {
    if (typeof result !== 'number') this.error ??= result
    else if (result > this.seq) this.seq = result
  }
}

function sizeOf({ key, value, headers }: QueueMessage): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers ?? []) bytes += header.key.length + (header.value?.length ?? 0)
  return bytes
}

const notStored = { seq: -1, error: undefined } as const
