import type { LongBlock } from '../../cell/long-blocks.ts'
import type { Broker } from '../../core/broker.ts'
import { orRefused } from '../../core/refusals.ts'
import type { Published } from './published.ts'
import type { Publishing } from './publishing.ts'

/** What puts no more messages into queues and settles no more is one piece of work; what is larger takes its turns. */
const pieceMax = 256
/** So many of those to publish are one step; bodies of so many bytes count as one more. */
const stepMax = 32
const weightyBytes = 16 * 1024
/** So many of those that were settled together are one step. */
const settledMax = 128

/** What becomes of messages that are settled. */
export type Outcome = 'ack' | 'requeue' | 'drop'

/** Deliveries that were settled together. */
export interface Settlement<D> {
  readonly outcome: Outcome
  readonly deliveries: readonly D[]
}

interface Settling<D> {
  apply(outcome: Outcome, deliveries: readonly D[]): void
}

/** Publishes and settles messages within one block: at once, or bit by bit if they are many. */
export class Commit<D> {
  /** Some of it was refused. */
  isPartial = false
  /** What takes several turns. */
  #block: LongBlock | undefined
  readonly #publishing: Publishing
  readonly #consuming: Settling<D>
  readonly #published: readonly Published[]
  readonly #settled: readonly Settlement<D>[]
  #nextPublished = 0
  #nextSettled = 0
  /** Within that one. */
  #nextDelivery = 0

  constructor(
    publishing: Publishing,
    consuming: Settling<D>,
    published: readonly Published[],
    settled: readonly Settlement<D>[],
  ) {
    this.#publishing = publishing
    this.#consuming = consuming
    this.#published = published
    this.#settled = settled
  }

  /** Messages that go into queues, and those that are settled. */
  get #cost(): number {
    let cost = 0
    for (const { destinations } of this.#published) cost += Math.max(1, destinations.length)
    for (const { deliveries } of this.#settled) cost += deliveries.length
    return cost
  }

  /** Returns the block that it is part of: a promise, rejected with `BrokerError` when the broker ends, if it takes several turns. */
  begin({ router, longBlocks }: Broker): number | Promise<number> {
    if (this.#cost <= pieceMax) return router.atomic(this.#whole)
    this.#block = longBlocks.add(this.#step)
    return orRefused(this.#block.added)
  }

  /** Does the rest now. */
  finish(): void {
    this.#block?.finish()
  }

  readonly #whole = (): void => {
    while (this.#step());
  }

  /** A part of it. Returns whether there is more. */
  readonly #step = (): boolean => {
    for (let left = stepMax; left > 0;) {
      const published = this.#published[this.#nextPublished]
      if (!published) return this.#settleSome()
      this.#nextPublished++
      left -= Math.max(1, published.destinations.length) + (published.message.value?.length ?? 0) / weightyBytes
      const result = this.#publishing.sendHeld(published)
      if (typeof result !== 'number' && result !== 'stream-not-found') this.isPartial = true
    }
    return true
  }

  #settleSome(): boolean {
    const settled = this.#settled[this.#nextSettled]
    if (!settled) return false
    const { outcome, deliveries } = settled
    const from = this.#nextDelivery
    const end = from + settledMax
    this.#consuming.apply(outcome, from === 0 && end >= deliveries.length ? deliveries : deliveries.slice(from, end))
    this.#nextDelivery = end
    if (end >= deliveries.length) {
      this.#nextSettled++
      this.#nextDelivery = 0
    }
    return true
  }
}
