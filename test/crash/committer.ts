import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Admin } from '@platformatic/kafka'

/**
 * A group that commits ever higher offsets.
 *
 * Holds after each start of the broker: the offset that it knows is not lower than the last one it acknowledged, nor
 * higher than the last one it was sent.
 */
export class Committer {
  acknowledged = 0
  readonly #address: string
  readonly #topic: string
  readonly #groupId: string
  readonly #loop: Promise<void>
  #sent = 0
  #stopping = false

  constructor(address: string, topic: string) {
    this.#address = address
    this.#topic = topic
    this.#groupId = `${topic}-commits`
    this.#loop = this.#commit()
  }

  async check(): Promise<void> {
    const acknowledged = this.acknowledged
    const admin = this.#admin()
    const groups = await admin.listConsumerGroupOffsets({ groups: [this.#groupId] })
    await admin.close()
    const committed = Number(groups[0]?.topics[0]?.partitions[0]?.committedOffset ?? 0)
    assert.ok(
      committed >= acknowledged,
      `${this.#groupId}: ${acknowledged} was acknowledged, but ${committed} is known`,
    )
    assert.ok(committed <= this.#sent, `${this.#groupId}: ${committed} is known, but only ${this.#sent} was sent`)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#loop
  }

  async #commit(): Promise<void> {
    let admin = this.#admin()
    while (!this.#stopping) {
      this.#sent = this.acknowledged + 1
      const partitionOffsets = [{ partition: 0, offset: BigInt(this.#sent) }]
      try {
        await admin.alterConsumerGroupOffsets({
          groupId: this.#groupId,
          topics: [{ name: this.#topic, partitionOffsets }],
        })
        this.acknowledged = this.#sent
      } catch {
        // The broker was killed: whether it took the commit is not known, and the same one is sent again.
        await admin.close().catch(() => undefined)
        await sleep(20)
        admin = this.#admin()
      }
    }
    await admin.close().catch(() => undefined)
  }

  #admin(): Admin {
    return new Admin({ clientId: 'committer', bootstrapBrokers: [this.#address], retries: 0, timeout: 5_000 })
  }
}
