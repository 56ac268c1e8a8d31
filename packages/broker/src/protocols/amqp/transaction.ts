import { storageFull } from '../../core/refusals.ts'
import { Commit } from './commit.ts'
import type { Connection } from './connection.ts'
import type { Consuming, HeldSettlement } from './consuming.ts'
import { AmqpException } from './errors.ts'
import type { Published } from './published.ts'
import type { Publishing } from './publishing.ts'

/** What a message costs in memory besides its body. */
const messageOverhead = 512

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
  /** The one under way. */
  #commit: { finish(): void } | undefined

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
    const { bodies, broker } = this.#connection
    // What is settled must not go when what is published with it finds no room.
    if (!this.#hasRoom()) throw storageFull()
    const commit = new Commit(this.#publishing, this.#consuming, this.#published, this.#settled)
    const bytes = this.#bytes
    this.#forget()
    this.#commit = commit
    let seq: number
    try {
      const added = commit.begin(broker)
      seq = typeof added === 'number' ? added : await added
    } finally {
      this.#commit = undefined
      bodies.give(bytes)
    }
    await new Promise<void>(resolve => broker.router.whenDurable(seq, resolve, undefined))
    if (commit.isPartial) throw new AmqpException('preconditionFailed', 'partial tx completion')
  }

  #hasRoom(): boolean {
    const { cell, router } = this.#connection.broker
    if (!cell.isFull) return true
    return this.#published.every(({ destinations, message, delayMs }) => {
      return delayMs === 0 && router.hasRoom(destinations, message)
    })
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
    this.#commit?.finish()
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
