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
    const [published, settled] = [this.#published, this.#settled]
    this.#clear()
    let seq = -1
    let isPartial = false
    const last = router.atomic(() => {
      for (const each of published) {
        const result = this.#publishing.sendHeld(each)
        if (typeof result === 'number') seq = Math.max(seq, result)
        else if (result !== 'stream-not-found') isPartial = true
      }
      for (const { outcome, deliveries } of settled) this.#consuming.apply(outcome, deliveries)
    })
    await new Promise<void>(resolve => router.whenDurable(Math.max(seq, last), resolve, undefined))
    if (isPartial) throw new AmqpException('preconditionFailed', 'partial tx completion')
  }

  /** What was settled is unsettled again. */
  rollback(): void {
    const { unacked } = this.#consuming
    const settled = this.#settled
    this.#clear()
    for (const { deliveries } of settled) for (const delivery of deliveries) unacked.restore(delivery)
  }

  /** Nothing of it takes effect. */
  end(): void {
    this.#clear()
  }

  #clear(): void {
    this.#connection.bodies.give(this.#bytes)
    this.#published = []
    this.#settled = []
    this.#bytes = 0
  }
}
