import type { ConsumerInfo } from '../../core/connections.ts'
import type { ChannelHost } from './channel-host.ts'
import { Consuming } from './consuming.ts'
import { AmqpException } from './errors.ts'
import { Publishing } from './publishing.ts'
import { Sending } from './sending.ts'
import type { BasicStatistics } from './statistics.ts'
import { Transaction } from './transaction.ts'

/**
 * What one channel has of the classes basic, confirm and tx: the message that is being published, consumers, what they hold, and what is not
 * confirmed yet.
 */
export class Basic {
  readonly publishing: Publishing
  readonly consuming: Consuming
  readonly #channel: ChannelHost
  #transaction: Transaction | undefined

  constructor(channel: ChannelHost) {
    const sending = new Sending(channel)
    this.#channel = channel
    this.publishing = new Publishing(channel, sending)
    this.consuming = new Consuming(channel, sending, this.publishing)
  }

  get statistics(): BasicStatistics {
    const { publishing, consuming } = this
    return {
      prefetchCount: consuming.prefetchCount,
      globalPrefetchCount: consuming.globalPrefetchCount,
      unacked: consuming.unacked.size,
      unconfirmed: publishing.confirms.pendingCount,
      uncommitted: this.#transaction?.publishedCount ?? 0,
      consumers: consuming.consumerCount,
      confirms: publishing.isConfirming,
      transactional: this.#transaction !== undefined,
    }
  }

  get consumers(): readonly ConsumerInfo[] {
    return this.consuming.consumers
  }

  /**
   * The header of the message behind basic.publish. `properties` (flags and values, as they came) is valid only during the call. No body
   * follows when `bodyBytes` is 0.
   */
  header(bodyBytes: number, properties: Buffer): void {
    this.publishing.header(bodyBytes, properties)
  }

  /** A part of the body, valid only during the call; `left` bytes follow, and with 0 the message is whole. */
  body(part: Buffer, left: number): void {
    this.publishing.body(part, left)
  }

  /** Every message is confirmed from now on. */
  confirm(): void {
    if (this.#transaction) {
      throw new AmqpException('preconditionFailed', 'cannot switch from tx to confirm mode')
    }
    this.publishing.isConfirming = true
  }

  /** Messages and acknowledgements wait for a commit from now on. */
  transact(): void {
    if (this.publishing.isConfirming) {
      throw new AmqpException('preconditionFailed', 'cannot switch from confirm to tx mode')
    }
    this.#transaction ??= new Transaction(this.#channel.connection, this.publishing, this.consuming)
  }

  /** Throws when the channel is not transactional. */
  get transaction(): Transaction {
    if (!this.#transaction) throw new AmqpException('preconditionFailed', 'channel is not transactional')
    return this.#transaction
  }

  /** The channel is over: consumers go, and what they hold goes back. Called once. */
  end(): void {
    this.publishing.end()
    this.#transaction?.end()
    // What was settled in an open transaction goes back, too.
    this.consuming.end()
  }
}
