import { keptCopy } from '@dragoman/wire'
import type { ConsumerInfo } from '../../core/connections.ts'
import type { Connection } from './connection.ts'
import type { Delivery } from './delivery.ts'
import { escaped } from './headers.ts'

/** How a client acknowledges: not at all, all up to a message, or one by one. */
export type AckMode = 'auto' | 'client' | 'client-individual'

/** What becomes of messages. */
export type Outcome = 'ack' | 'requeue' | 'drop'

/** Where a subscription has its messages from, which are named by numbers that it chooses. */
export interface Source {
  readonly isActive?: boolean
  ack(first: number, last: number): number
  reject(first: number, last: number): number
  release(first: number, last: number): number
  pause(): void
  resume(): void
  /** It is over; what it holds goes back. */
  cancel(): void
}

/** One subscription of a client. */
export class Subscription {
  /** What the client calls it; undefined: nothing, which clients of version 1.0 may do. */
  readonly id: string | undefined
  readonly destination: string
  readonly ackMode: AckMode
  /** Among those of its connection. */
  readonly number: number
  source: Source | undefined
  /** The queue that it consumes from. */
  queue = ''
  prefetch = 0
  isExclusive = false
  readonly delivery: { -readonly [K in keyof Delivery]: Delivery[K] }
  /** Delivered and not settled: the number of the message here, and at its source. In the order of delivery. */
  readonly #held = new Map<number, number>()
  #next = 0

  constructor(connection: Connection, number: number, id: string | undefined, destination: string, ackMode: AckMode) {
    this.id = id
    this.destination = destination
    this.ackMode = ackMode
    this.number = number
    const { version, sessionId } = connection
    const name = id === undefined ? '' : `subscription:${escaped(id, version)}\n`
    const messages = `${sessionId}-${number}-`
    const acks = ackMode !== 'auto' && version === '1.2'
    this.delivery = {
      prefix: keptCopy(Buffer.from(`MESSAGE\n${name}message-id:${messages}`)),
      ackPrefix: acks ? keptCopy(Buffer.from(messages)) : undefined,
      number: 0,
      isRedelivered: false,
      more: '',
    }
  }

  get isHolding(): boolean {
    return this.ackMode !== 'auto'
  }

  get heldCount(): number {
    return this.#held.size
  }

  get info(): ConsumerInfo {
    const { id, destination, queue, prefetch, isExclusive, source } = this
    return {
      tag: id ?? destination,
      queue,
      isAcknowledging: this.isHolding,
      isExclusive,
      isActive: source?.isActive !== false,
      prefetchCount: prefetch,
      arguments: [],
    }
  }

  /** The message that is delivered now has this number at its source; returns the one that it has here. */
  deliver(offset: number): number {
    const number = this.#next++
    if (this.isHolding) this.#held.set(number, offset)
    return number
  }

  holds(number: number): boolean {
    return this.#held.has(number)
  }

  /** The message, or all up to it where that is how the client acknowledges. Those that are settled already are passed over. */
  settle(number: number, outcome: Outcome): void {
    const offsets = this.ackMode === 'client' ? this.#takeUpTo(number) : this.#take(number)
    const { source } = this
    if (!source) return
    for (let at = 0; at < offsets.length;) {
      const first = offsets[at]!
      let last = first
      while (offsets[++at] === last + 1) last++
      if (outcome === 'ack') source.ack(first, last)
      else if (outcome === 'drop') source.reject(first, last)
      else source.release(first, last)
    }
  }

  #take(number: number): number[] {
    const offset = this.#held.get(number)
    if (offset === undefined) return []
    this.#held.delete(number)
    return [offset]
  }

  #takeUpTo(number: number): number[] {
    const offsets: number[] = []
    for (const [each, offset] of this.#held) {
      if (each > number) break
      this.#held.delete(each)
      offsets.push(offset)
    }
    return offsets
  }
}
