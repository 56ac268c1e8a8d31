import type { LongBlock } from '../../cell/long-blocks.ts'
import { orRefused } from '../../core/refusals.ts'
import type { Connection } from './connection.ts'
import type { Consuming, HeldSettlement } from './consuming.ts'
import { AmqpException } from './errors.ts'
import type { Published } from './published.ts'
import type { Publishing } from './publishing.ts'

/** What a message costs in memory besides its body. */
const messageOverhead = 512
/** A commit that puts so many messages into queues, and settles so many, is one piece of work; a larger one takes its turns. */
const pieceMax = 256
/** So many of a larger one are one step; bodies of so many bytes count as one more. */
const stepMax = 32
const weightyBytes = 16 * 1024

/**
 * What was published and settled in a channel since the last commit. It takes effect together, within one block.
 */
export class Transaction {
  #published: Published[] = []
  #settled: HeldSettlement[] = []
  #bytes = 0
  readonly #connection: Connection
  readonly #publishing: Publishing
  readonly #consuming: Consuming
  /** A commit that takes several turns. */
  #committing: LongBlock | undefined

  constructor(connection: Connection, publishing: Publishing, consuming: Consuming) {
    this.#connection = connection
    this.#publishing = publishing
    this.#consuming = consuming
    publishing.hold = published => this.#publish(published)
    consuming.hold = settlement => void this.#settled.push(settlement)
  }

  get publishedCount(): number {
    return this.#published.length
  }

  #publish(published: Published): void {
    const bytes = messageOverhead + (published.message.value?.length ?? 0)
    this.#connection.bodies.take(bytes)
    this.#bytes += bytes
    this.#published.push(published)
  }

  /** Resolves when all of it is durable. Rejects when a part of it was refused. */
  async commit(): Promise<void> {
    const { router } = this.#connection.broker
    const commit = new Commit(this.#publishing, this.#consuming, this.#published, this.#settled)
    const bytes = this.#bytes
    this.#forget()
    let seq: number
    try {
      // What is short is done within the call.
      seq = commit.cost <= pieceMax ? router.atomic(commit.whole) : await this.#inTurns(commit)
    } finally {
      this.#connection.bodies.give(bytes)
    }
    await new Promise<void>(resolve => router.whenDurable(seq, resolve, undefined))
    if (commit.isPartial) throw new AmqpException('preconditionFailed', 'partial tx completion')
  }

  async #inTurns(commit: Commit): Promise<number> {
    const committing = this.#connection.broker.ledger.longBlocks.add(commit.step)
    this.#committing = committing
    try {
      return await orRefused(committing.added)
    } finally {
      this.#committing = undefined
    }
  }

  /** What was settled is unsettled again. */
  rollback(): void {
    const { unacked } = this.#consuming
    const settled = this.#settled
    this.#clear()
    for (const { deliveries } of settled) for (const delivery of deliveries) unacked.restore(delivery)
  }

  /** The channel is over: what is not committed takes no effect, and what is being committed does. */
  end(): void {
    this.#committing?.finish()
    this.#clear()
  }

  #clear(): void {
    this.#connection.bodies.give(this.#bytes)
    this.#forget()
  }

  #forget(): void {
    this.#published = []
    this.#settled = []
    this.#bytes = 0
  }
}

/** What a commit does, at once or bit by bit. */
class Commit {
  /** Some of it was refused. */
  isPartial = false
  readonly #publishing: Publishing
  readonly #consuming: Consuming
  readonly #published: readonly Published[]
  readonly #settled: readonly HeldSettlement[]
  #nextPublished = 0
  #nextSettled = 0
  /** Within that one. */
  #nextDelivery = 0

  constructor(
    publishing: Publishing,
    consuming: Consuming,
    published: readonly Published[],
    settled: readonly HeldSettlement[],
  ) {
    this.#publishing = publishing
    this.#consuming = consuming
    this.#published = published
    this.#settled = settled
  }

  /** Messages that go into queues, and those that are settled. */
  get cost(): number {
    let cost = 0
    for (const { destinations } of this.#published) cost += Math.max(1, destinations.length)
    for (const { deliveries } of this.#settled) cost += deliveries.length
    return cost
  }

  /** All of it. */
  readonly whole = (): void => {
    while (this.step());
  }

  /** A part of it. Returns whether there is more. */
  readonly step = (): boolean => {
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

/** So many of those that were settled together are one step. */
const settledMax = 1024
