import type { Broker } from '../../core/broker.ts'
import type { RecordView } from '../../core/cursor/record-view.ts'
import { envelopeHeader } from '../../core/message.ts'
import type { Queue } from '../../core/queues/queue.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import { envelopeOf, flagBits } from './mapping.ts'
import type { Content } from './packets.ts'
import type { ClientSubscription } from './subscriptions.ts'
import { Filter, patternOf, swapped } from './topics.ts'

export interface RetainingHost {
  readonly broker: Broker
  readonly namespace: string
  /** The client does not take what it is sent. */
  isSlow(): boolean
  /** Calls `run` when it has. */
  whenTaken(run: () => void): void
  deliver(record: RecordView, key: string, subscription: ClientSubscription): void
}

/** Sends a client what is retained of the topics that it subscribes to: one subscription after the other, and no faster than it takes them. */
export class Retaining {
  readonly #host: RetainingHost
  #last: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(host: RetainingHost) {
    this.#host = host
  }

  /** `filter` is that of the subscription, without what it is shared by. */
  send(subscription: ClientSubscription, filter: string): void {
    const { broker, namespace } = this.#host
    if (broker.retained.countIn(namespace) === 0) return
    this.#last = this.#last
      .then(() => this.#send(subscription, filter))
      .catch(() => {
        // The cell has ended, and the connection with it.
      })
  }

  end(): void {
    this.#isOver = true
  }

  async #send(subscription: ClientSubscription, filter: string): Promise<void> {
    const { broker, namespace } = this.#host
    const { retained } = broker
    const matcher = new Filter(filter)
    const reader = retained.reader()
    try {
      for (const entry of retained.find(namespace, patternOf(filter))) {
        if (!matcher.matches(swapped(entry.key))) continue
        if (this.#host.isSlow()) await new Promise<void>(resolve => this.#host.whenTaken(resolve))
        const record = await reader.read(entry)
        if (this.#isOver) return
        // A newer one has been sent already.
        if (record && retained.isCurrent(entry)) this.#host.deliver(record, entry.key, subscription)
      }
    } finally {
      reader.close()
    }
  }

  /** What is to be acknowledged by a client that may come back waits for it like all else. False: there is no room for it. */
  copyTo(queue: Queue, { payload, properties, flags, expiresMs }: Content, key: string): boolean {
    const envelope = envelopeOf(flags | flagBits.isRetainedCopy, properties)
    const message = {
      key: Buffer.from(key),
      value: payload,
      headers: [{ key: envelopeHeader, value: envelope }],
      exchange: subjectExchange,
      expiresMs,
    }
    let isRefused = false
    // A refusal is told at once.
    queue.publish([message], ({ error }) => (isRefused = error !== undefined))
    return !isRefused
  }
}
