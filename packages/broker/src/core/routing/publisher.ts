import type { AppendError, CellClient } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import { makeBatch, stampBatch } from '../../storage/record-batch.ts'
import type { Header } from '../message.ts'
import type { PublishResult, QueueMessage } from '../queues/queue.ts'
import type { Queues } from '../queues/queues.ts'
import { topicConfig } from '../topic-config.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { partitionOf } from './murmur2.ts'
import type { Destination } from './place.ts'

export interface Publication {
  readonly namespace: string
  readonly exchange: string
  /** By which it is routed. */
  readonly key: string
  /** By which it is routed, too; what is stored is the message alone. */
  readonly headers?: readonly Header[]
  readonly message: QueueMessage
}

export interface PublishOutcome {
  /** Whether it led anywhere. */
  readonly isRouted: boolean
  /** The first refusal of a destination; the others may have taken it. */
  readonly error?: PublishError | undefined
}

type PublishError = AppendError | NonNullable<PublishResult['error']> | 'exchange-not-found' | 'access-denied'

type Settled = (result: { error?: PublishError | undefined }) => void

interface PublisherOptions {
  ledger: Ledger
  cell: CellClient
  topics: Topics
  queues: Queues
}

/** Appends a message to all its destinations. */
export class Publisher {
  readonly #options: PublisherOptions

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** In one block: after a crash, all of them have it or none. */
  deliver(
    destinations: readonly Destination[],
    key: string,
    message: QueueMessage,
    done: (outcome: PublishOutcome) => void,
  ): void {
    const { ledger } = this.#options
    // What is said of it may build on bindings that were removed just now.
    if (destinations.length === 0) return ledger.whenDurable(ledger.openSeq, done, { isRouted: false })
    let left = destinations.length
    let error: PublishError | undefined
    const settled: Settled = (result): void => {
      error ??= result.error
      if (--left === 0) done({ isRouted: true, error })
    }
    ledger.atomic(() => {
      for (const destination of destinations) this.#append(destination, key, message, settled)
    })
  }

  #append({ kind, namespace, name }: Destination, key: string, message: QueueMessage, settled: Settled): void {
    const { topics, queues } = this.#options
    if (kind === 'queue') {
      const queue = queues.get(namespace, name)
      return queue ? queue.publish([message], settled) : settled({ error: 'stream-not-found' })
    }
    const topic = topics.get(namespace, name)
    if (topic) this.#appendToTopic(topic, key, message, settled)
    else settled({ error: 'stream-not-found' })
  }

  #appendToTopic(topic: Topic, key: string, message: QueueMessage, settled: Settled): void {
    const { ledger, cell } = this.#options
    const { partitions } = topic
    const settings = topicConfig(topic)
    // A record's own key keeps together what other producers give that key.
    const partition = partitionOf(message.key ?? Buffer.from(key), partitions.length)
    const timestampMs = ledger.clock.nowMs()
    const { key: own = null, value, headers } = message
    const batch = makeBatch([{ key: own, value, headers: headers ?? [], timestampMs }])
    if (batch.length > settings.messageBytesMax) return settled({ error: 'message-too-large' })
    // What is kept by key must have one.
    if (settings.cleanupPolicy.compacts && (message.key ?? null) === null) return settled({ error: 'message-invalid' })
    if (settings.timestampType === 'append') stampBatch(batch, 0, timestampMs)
    cell.append(partitions[partition]!, batch, settled)
  }
}
