import type { Broker } from '../../core/broker.ts'
import type { ReplyConsumer } from './published.ts'

/** Who consumes from it gets answers without a queue; who publishes says by it where answers go. */
export const replyQueue = 'amq.rabbitmq.reply-to'
const addressPrefix = `${replyQueue}.`
const secretBytes = 16

export const isReplyQueue = (name: string): boolean => name.startsWith(addressPrefix)

/** A name that nobody can guess. */
export const replyAddress = (random: { bytes(count: number): Buffer }): string =>
  addressPrefix + random.bytes(secretBytes).toString('base64url')

/** All channels that take answers in one broker. */
export class ReplyQueues {
  static readonly #all = new WeakMap<Broker, ReplyQueues>()
  readonly #consumers = new Map<string, ReplyConsumer>()

  static of(broker: Broker): ReplyQueues {
    const known = this.#all.get(broker)
    if (known) return known
    const made = new ReplyQueues()
    this.#all.set(broker, made)
    return made
  }

  find(address: string): ReplyConsumer | undefined {
    return this.#consumers.get(address)
  }

  add(consumer: ReplyConsumer): void {
    this.#consumers.set(consumer.address, consumer)
  }

  delete({ address }: ReplyConsumer): void {
    this.#consumers.delete(address)
  }
}
